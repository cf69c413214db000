"""The verifier's memory: does it grow with the log?

    python -m benchmarks.verifier_memory --entries 100000 1000000

Logs of four partitions are written to a file by the real signer and token, in batches of 256; a process of its own then reads the
file and verifies it as `quantumai verify` does, each event beside its manifest, and halfway a policy epoch changes. Its peak is the
resident set that the kernel counted (VmHWM). The control keeps the records and verifies them at the end.
"""

import argparse
import json
import re
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.manifest_signing import routed
from kms.epoch_leaf import EPOCH_TOPIC
from kms.epochs import DUAL, PHASES, POST_QUANTUM, Policy
from kms.keyring import KeyRing
from kms.keys import LOG_USE
from kms.manifest import routed_manifest
from kms.modules import installed_module
from kms.provision import init_token
from kms.signing import LogSigner
from kms.token import open_token
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas.codec import decode, encode
from schemas.jobs import JobRouted
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Record, now

BATCH, PARTITIONS = 256, 4
_FRAME = struct.Struct(">BI")
_KINDS: tuple[type[Record], ...] = (ManifestSigned, LogCheckpoint)


class Requests:
    """Manifests of events that differ in id and digest; each costs a few microseconds."""

    def __init__(self) -> None:
        self._template = routed_manifest(None, routed(0, 1))
        self._id, self._digest = self._template.event_id.encode(), self._template.event_digest.hex().encode()

    def __call__(self, number: int) -> ManifestRequested:
        event_id, digest = str(uuid.UUID(int=number)), number.to_bytes(32, "big")
        payload = self._template.payload.replace(self._id, event_id.encode()).replace(self._digest, digest.hex().encode())
        fields = {**self._template.__dict__, "payload": payload, "event_id": event_id, "event_digest": digest}
        return ManifestRequested.unchecked(fields)


def write(folder: Path, ring: KeyRing, entries: int) -> Path:
    """Logs of that many manifests together, all their records in one file."""
    keys, heads, requests, policy = ring.ensure(LOG_USE, PHASES[DUAL]), dict[int, LogCheckpoint](), Requests(), [Policy()]
    signer = LogSigner(lambda: keys, "memory.example", heads.get, policy=lambda: policy[0])
    path = folder / f"log-{entries}"
    with path.open("wb") as file:
        for batch, first in enumerate(range(0, entries, BATCH)):
            if first >= entries // 2 and len(policy[0].epochs) == 1:
                policy[0] = policy[0].following(PHASES[POST_QUANTUM], now() - timedelta(seconds=1))
            partition = batch % PARTITIONS
            made = signer.sign(partition, [requests(number) for number in range(first, min(first + BATCH, entries))])
            head = made[-1]
            assert isinstance(head, LogCheckpoint)
            heads[partition] = head
            for record in made:
                value = encode(record)
                file.write(_FRAME.pack(_KINDS.index(type(record)), len(value)) + value)
    replace(ring.public(), epochs=policy[0].epochs, required_suites=policy[0].newest.required).save(path.with_suffix(".json"))
    return path


def records(path: Path) -> Iterator[Record]:
    """The records of a file, one by one."""
    with path.open("rb") as file:
        while head := file.read(_FRAME.size):
            kind, size = _FRAME.unpack(head)
            yield decode(_KINDS[kind], file.read(size))


def peak_bytes() -> int:
    """This process's largest resident set so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def verify(path: Path, keep: bool) -> None:
    """The measured process: prints what it found and its peak."""
    base = peak_bytes()
    verifier = LogVerifier(TrustRoot.load(path.with_suffix(".json")), audited=[JobRouted.topic])
    started = time.process_time()
    for record in list(records(path)) if keep else records(path):
        if isinstance(record, ManifestSigned):
            if record.event_topic != EPOCH_TOPIC:
                verifier.event(record.event_topic, record.event_id, record.event_digest)
            verifier.manifest(record)
        elif isinstance(record, LogCheckpoint):
            verifier.checkpoint(record)
    report = verifier.finish()
    spent = time.process_time() - started
    print(json.dumps({"matched": report.matched, "base": base, "peak": peak_bytes(), "rate": report.manifests / spent}))


def measured(path: Path, *, keep: bool = False) -> dict[str, float]:
    """A verifier in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.verifier_memory", "--verify", str(path), *(["--keep"] if keep else [])]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--verify", type=Path, help="be the measured process")
    parser.add_argument("--keep", action="store_true", help="with --verify: keep every record first (the control)")
    arguments = parser.parse_args()
    if arguments.verify:
        verify(arguments.verify, arguments.keep)
        return
    table = Table("verifier", "entries", "peak MB", "above start MB", "verified / CPU s", title="Memory of the verifier")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        module = installed_module(folder)
        token = init_token(module, "memory", folder / "token")
        opened = open_token(module, "memory", token.pin_file.read_text(), token.folder)
        ring = KeyRing.open(folder / "keys.db", opened)
        for place, entries in enumerate(arguments.entries):
            path = write(folder, ring, entries)
            for keep in (True, False) if place == 0 else (False,):
                found = measured(path, keep=keep)
                assert found["matched"] == entries
                name = "keeps all records (control)" if keep else "as it reads"
                above, peak = (found["peak"] - found["base"]) / 1e6, found["peak"] / 1e6
                table.add_row(name, f"{entries:,}", f"{peak:,.0f}", f"{above:,.0f}", f"{found['rate']:,.0f}")
            path.unlink()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
