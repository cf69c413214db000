"""Signing and verifying manifests without Kafka: batches against one pair of signatures per manifest, as ratios of one run.

Rates are per second of CPU time on one core, so that they bear a machine with other work; the slowest batch is by the clock. Then
as many processes as the target has cores, each with a log of its own, as signers have: both by the clock, which needs idle cores,
and by CPU time.

python -m benchmarks.manifest_signing [--manifests 20000] [--module PATH]
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

from kms.algorithms import LOG_SUITES
from kms.keyring import KeyRing
from kms.keys import LOG_USE, Key
from kms.manifest import PAYLOAD_TYPE, routed_manifest
from kms.modules import installed_module
from kms.provision import Provisioned, init_token
from kms.signing import LogSigner
from kms.token import open_token
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas.cloudevents import Event
from schemas.jobs import BackendScore, JobRequested, JobRouted
from schemas.manifests import LogCheckpoint, ManifestRequested
from schemas.mitigation import Recommendation
from schemas.record import Record

CORES, BATCH = 2, 256
"""Of the target, and a batch as a signer makes it."""

SOURCE = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; h q[0]; cx q[0], q[1]; c = measure q;'


def routed(number: int, backends: int = 6) -> Event[JobRouted]:
    """A decision between some backends."""
    advice = Recommendation(
        backend="fake_sherbrooke",
        calibration_id="c" * 64,
        method="zne",
        method_version="1",
        parameters={"scale_factors": [1.0, 3.0, 5.0]},
        shot_overhead=3.0,
        total_shots=12288,
        circuit_count=3,
        expected_error=0.031,
        expected_fidelity=0.9845,
        fidelity_low=0.97,
        fidelity_high=0.99,
        confidence=0.9,
        execution_seconds=2.5,
        reason="depth 12 on 2 qubits",
    )
    scores = tuple(
        BackendScore(
            backend=f"fake_backend_{place}", calibration_id="c" * 64, method="zne", expected_fidelity=0.98 - place / 50,
            expected_error=0.03 + place / 50, cost_usd=0.61 + place / 7, availability_penalty=0.97, crypto_compatibility=1.0,
            score=1.6 / (1 + place), wait_seconds=31.0, execution_seconds=2.5, route="direct",
        )
        for place in range(backends)
    )  # fmt: skip
    job = JobRequested(job_id=f"job-{number}", circuits=(SOURCE,))
    record = JobRouted(
        job_id=job.job_id, decision="ROUTED", job=job, backend="fake_sherbrooke", recommendation=advice, scores=scores,
        reasons=("highest score",), scoring_policy="score-v1", model_version="closed-form-v1",
    )  # fmt: skip
    return Event(record, str(uuid.uuid4()), number.to_bytes(32, "big"))


class Log:
    """Remembers a partition's last checkpoint, as the signer agent's view does."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.last: LogCheckpoint | None = None
        self.signer = LogSigner(lambda: keys, "bench", lambda _: self.last)

    def sign(self, requests: Sequence[ManifestRequested]) -> list[Record]:
        records = self.signer.sign(0, requests)
        assert isinstance(records[-1], LogCheckpoint)
        self.last = records[-1]
        return records


def signed(keys: Sequence[Key], requests: Sequence[ManifestRequested], batch: int) -> tuple[float, float, list[Record]]:
    """(manifests per second, slowest batch in seconds, records)."""
    log, records, slowest = Log(keys), list[Record](), 0.0
    start = time.process_time()
    for at in range(0, len(requests), batch):
        before = time.perf_counter()
        records += log.sign(requests[at : at + batch])
        slowest = max(slowest, time.perf_counter() - before)
    return len(requests) / (time.process_time() - start), slowest, records


def verified(trust: TrustRoot, records: Sequence[Record], every_signature: bool) -> float:
    """Manifests per second, each matched with its event."""
    start = time.process_time()
    verifier = LogVerifier(trust, audited=("job.routed",), every_signature=every_signature)
    count = 0
    for record in records:
        if isinstance(record, LogCheckpoint):
            verifier.checkpoint(record)
        else:
            count += 1
            verifier.event(record.event_topic, record.event_id, record.event_digest)
            verifier.manifest(record)
    assert verifier.finish().matched == count
    return count / (time.process_time() - start)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=int, default=20_000)
    parser.add_argument("--module", type=Path, help="the PKCS#11 module; the best installed one by default")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="quantumai-bench-"))
    try:
        made = init_token(options.module or installed_module(folder), "bench", folder / "token")
        ring = KeyRing.open(folder / "keys.db", open_token(made.module, "bench", made.pin_file.read_text(), made.folder))
        report(ring.ensure(LOG_USE, LOG_SUITES), ring.public(), options.manifests, made.module.name)
        side_by_side(made, folder / "keys.db", options.manifests)
    finally:
        shutil.rmtree(folder)


def report(keys: Sequence[Key], trust: TrustRoot, count: int, module: str) -> None:
    """Measures and prints."""
    events = [routed(number) for number in range(min(count, 1000))]
    start = time.process_time()
    built = [routed_manifest(None, event) for event in events]
    build = (time.process_time() - start) / len(built)
    size = statistics.mean(len(manifest.payload) for manifest in built)
    requests = [built[number % len(built)] for number in range(count)]
    assert all(request.payload_type == PAYLOAD_TYPE for request in requests)
    print(f"{module}; {count:,} manifests of {size:,.0f} bytes, each built in {build * 1e6:,.0f} us (upstream)\n")
    print("| batch | signed/s | x one by one | slowest batch, ms | verified/s | with every checkpoint's signatures/s |")
    print("|---|---|---|---|---|---|")
    alone, _, _ = signed(keys, requests[:300], 1)
    for batch in (16, 64, 256, 1000):
        some = requests[: min(count, batch * 200)]
        rate, slowest, records = signed(keys, unique(some), batch)
        newest, every = verified(trust, records, False), verified(trust, records, True)
        print(f"| {batch} | {rate:,.0f} | {rate / alone:,.1f} | {slowest * 1e3:,.1f} | {newest:,.0f} | {every:,.0f} |")


def side_by_side(made: Provisioned, ring: Path, count: int) -> None:
    """Measures processes that sign at the same time by keys of one token, and prints their rate together."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as shared:
        begin = shared.Barrier(CORES)
        with context.Pool(CORES) as pool:
            spans = pool.starmap(signed_at_once, [(made, ring, count, begin)] * CORES, chunksize=1)
    seconds = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    clock, used = CORES * count / seconds, sum(count / cpu for _, _, cpu in spans)
    print(f"\n{CORES} processes, batches of {BATCH}: {clock:,.0f} signed/s by the clock, {used:,.0f} by CPU time")


def signed_at_once(made: Provisioned, ring: Path, count: int, begin: Barrier) -> tuple[float, float, float]:
    """One of them: (when it began and when it ended, by the machine's clock; its CPU seconds)."""
    opened = KeyRing.open(ring, open_token(made.module, "bench", made.pin_file.read_text(), made.folder))
    keys = opened.ensure(LOG_USE, LOG_SUITES)
    built = [routed_manifest(None, routed(number)) for number in range(min(count, 1000))]
    requests, log = [built[number % len(built)] for number in range(count)], Log(keys)
    log.sign(requests[:BATCH])
    begin.wait()
    start, used = time.perf_counter(), time.process_time()
    for at in range(0, count, BATCH):
        log.sign(requests[at : at + BATCH])
    return start, time.perf_counter(), time.process_time() - used


def unique(requests: Sequence[ManifestRequested]) -> Sequence[ManifestRequested]:
    """The requests, each about an event of its own."""
    found = []
    for number, request in enumerate(requests):
        event_id = f"{number:036d}"
        payload = request.payload.replace(request.event_id.encode(), event_id.encode())
        found.append(request.model_copy(update={"event_id": event_id, "payload": payload}))
    return found


if __name__ == "__main__":
    main()
