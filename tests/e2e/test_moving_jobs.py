"""A job that waits at a backend which goes away is decided again and runs once, somewhere else: real broker, real workers."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from backends.registry import load
from em.methods import METHODS
from schemas.cloudevents import headers, timestamp
from schemas.codec import decode, encode
from schemas.jobs import EmRecommended, JobCompleted, JobRequested, JobRouted, JobStatus
from schemas.manifests import ManifestRequested
from schemas.mitigation import Recommendation
from schemas.record import now
from streams.connection import connected, reader, writer

QUANTUMAI = Path(sys.executable).with_name("quantumai")
BELL = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nh q[0];\ncx q[0], q[1];\n'
BUSY, FREE = "mock:busy-99999", "mock"
JOBS = 20


@contextmanager
def workers(brokers, folder):
    """A scheduler and an executor with one backend that takes no job and one that takes all."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QUANTUMAI_")},
        "QUANTUMAI_BROKERS": brokers,
        "QUANTUMAI_BACKENDS": f"{BUSY},{FREE}",
        "QUANTUMAI_HOME": str(folder),
    }
    started = [
        subprocess.Popen([QUANTUMAI, "worker", name], env=variables, stderr=(folder / f"{name}.log").open("w"))
        for name in ("scheduler", "executor")
    ]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)


def advice(backend, calibration):
    return Recommendation(
        backend=backend,
        calibration_id=calibration.calibration_id,
        method="raw",
        method_version=METHODS["raw"].version,
        parameters={},
        shot_overhead=1.0,
        total_shots=100,
        circuit_count=1,
        expected_error=0.1,
        expected_fidelity=0.95,
        fidelity_low=0.9,
        fidelity_high=1.0,
        confidence=0.9,
        execution_seconds=0.1,
        reason="a test",
        qubits=2,
    )


async def send(brokers, *records):
    async with connected(writer(brokers), brokers) as producer:
        for record in records:
            head = headers(type(record), str(uuid.uuid4()), "/test", timestamp())
            await producer.send_and_wait(record.topic, encode(record), key=record.key, headers=head)


class Heard:
    """All records of some topics, as they come."""

    def __init__(self, consumer, *kinds):
        self.consumer, self.kinds = consumer, {kind.topic: kind for kind in kinds}
        self.records = {kind: [] for kind in kinds}

    async def until(self, condition, seconds=60):
        async with asyncio.timeout(seconds):
            while not condition(self.records):
                for messages in (await self.consumer.getmany(timeout_ms=200)).values():
                    for message in messages:
                        kind = self.kinds[message.topic]
                        self.records[kind].append(decode(kind, message.value))


async def test_jobs_that_wait_at_a_backend_that_goes_away_run_once_elsewhere(fresh_broker, tmp_path):
    brokers = fresh_broker.bootstrap
    fleet = {name: backend.calibration() for name, backend in load([BUSY, FREE]).items()}
    cheap = fleet[BUSY].price.model_copy(update={"per_second_usd": fleet[BUSY].price.per_second_usd / 1e3})
    fleet[BUSY] = fleet[BUSY].model_copy(update={"price": cheap})
    fleet[FREE] = fleet[FREE].model_copy(update={"queue_seconds": 600.0})  # so that all would rather wait for the other
    kinds = (JobRouted, JobStatus, JobCompleted, ManifestRequested)
    with workers(brokers, tmp_path):
        async with connected(reader(brokers, [kind.topic for kind in kinds]), brokers) as consumer:
            heard = Heard(consumer, *kinds)
            await send(brokers, *fleet.values())
            jobs = [JobRequested(job_id=f"job-{number}", circuits=(BELL,), shots=100) for number in range(JOBS)]
            candidates = tuple(advice(name, calibration) for name, calibration in fleet.items())
            await asyncio.sleep(1)
            await send(
                brokers,
                *[EmRecommended(job_id=job.job_id, job=job, candidates=candidates, model_version="test") for job in jobs],
            )
            await heard.until(lambda records: sum(status.state == "QUEUED" for status in records[JobStatus]) == JOBS)
            assert {routed.backend for routed in heard.records[JobRouted]} == {BUSY}
            await send(brokers, fleet[BUSY].model_copy(update={"availability": 0.0, "published_at": now()}))
            await heard.until(lambda records: len(records[JobCompleted]) == JOBS)
            await asyncio.sleep(1)
            await heard.until(lambda records: True)
            records = heard.records
    moved = [routed for routed in records[JobRouted] if routed.supersedes]
    first = {status.job_id: status.routed_event_id for status in records[JobStatus] if status.backend == BUSY}
    assert {routed.job_id: routed.supersedes for routed in moved} == first
    assert all(routed.backend == FREE and routed.moves_from == BUSY for routed in moved)
    assert all("it is down" in routed.reasons[0] for routed in moved)
    done = Counter(completed.job_id for completed in records[JobCompleted])
    assert done == {f"job-{number}": 1 for number in range(JOBS)}
    assert {(completed.backend, completed.status) for completed in records[JobCompleted]} == {(FREE, "DONE")}
    assert all(status.backend == FREE for status in records[JobStatus] if status.state == "RUNNING")
    signed = Counter(manifest.subject for manifest in records[ManifestRequested] if manifest.event_topic == JobRouted.topic)
    assert signed == {f"job-{number}": 2 for number in range(JOBS)}  # both decisions of each
