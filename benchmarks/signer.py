"""The signer agent through Kafka: manifests signed per second on two processes, and the time from input to checkpoint.

    python -m benchmarks.signer --manifests 100000 --seconds 20

Payloads come ready in manifest.requested, one log per partition, four partitions. Every checkpoint is signed with ECDSA P-384
and ML-DSA-65 in the token. The control signs each manifest by itself, in process, without Kafka.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.manifest_signing import routed
from benchmarks.processes import Child, measured
from cli.token import prepare
from kms.algorithms import LOG_SUITES
from kms.keyring import KeyRing
from kms.keys import LOG_USE, Key
from kms.manifest import routed_manifest
from kms.token import open_token
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas.cloudevents import headers, output_id, timestamp
from schemas.codec import decode, encode
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from streams.admin import ensure_topics
from streams.broker import LocalBroker
from streams.settings import Settings

PARTITIONS = 4


class Input:
    """A few hundred manifests, encoded once and sent over and over: the signer does the same work for each."""

    def __init__(self, brokers: str, manifests: Sequence[ManifestRequested]) -> None:
        self._producer = Producer(
            {"bootstrap.servers": brokers, "log_level": 0, "linger.ms": 5, "queue.buffering.max.messages": 10_000_000}
        )
        self._encoded = [(manifest.key, encode(manifest)) for manifest in manifests]
        self._number = 0

    def send(self) -> int:
        """Sends one; returns its partition."""
        key, value = self._encoded[self._number % len(self._encoded)]
        event_id = output_id("bench", 0, self._number, ManifestRequested, 0)
        partition = self._number % PARTITIONS
        head = headers(ManifestRequested, event_id, "/bench", timestamp())
        self._producer.produce(ManifestRequested.topic, value=value, key=key, partition=partition, headers=head)
        self._number += 1
        return partition

    def send_all(self, count: int) -> None:
        """Sends `count` and waits until the broker has them."""
        for _ in range(count):
            self.send()
        self._producer.flush()

    def poll(self) -> None:
        """Lets the producer work."""
        self._producer.poll(0)


class Checkpoints:
    """Follows log.checkpoint, read committed: how many leaves are signed, and when each batch was seen to be."""

    def __init__(self, brokers: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "bench",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(LogCheckpoint.topic, partition, 0) for partition in range(PARTITIONS)])
        self.sizes = [0] * PARTITIONS
        self.seen: list[tuple[int, int, float]] = []

    def read(self, timeout: float = 0.02) -> int:
        """Takes what has come; returns the leaves signed so far."""
        for message in self._consumer.consume(1000, timeout=timeout):
            if message.error() is None:
                size = decode(LogCheckpoint, message.value()).tree_size
                self.sizes[message.partition()] = size
                self.seen.append((message.partition(), size, time.monotonic()))
        return sum(self.sizes)

    def close(self) -> None:
        """Leaves the broker."""
        self._consumer.close()


def latencies(inputs: Input, checkpoints: Checkpoints, rate: int, seconds: int) -> list[float]:
    """Seconds from each input's sending to the arrival of the first checkpoint that covers it, at a steady rate."""
    waiting: list[deque[float]] = [deque() for _ in range(PARTITIONS)]
    covered, checkpoints.seen[:] = list(checkpoints.sizes), []
    found: list[float] = []
    started, sent, total = time.monotonic(), 0, rate * seconds
    while len(found) < total:
        due = min(total, int((time.monotonic() - started) * rate) + 1)
        for _ in range(sent, due):
            waiting[inputs.send()].append(time.monotonic())
        sent = due
        inputs.poll()
        checkpoints.read(0.002)
        for partition, size, at in checkpoints.seen:
            found += [at - waiting[partition].popleft() for _ in range(size - covered[partition])]
            covered[partition] = size
        checkpoints.seen.clear()
    return found


def one_by_one(environment: Mapping[str, str], home: Path, pin: str, count: int = 100) -> float:
    """The control: manifests per second when each gets its own two signatures."""
    module = Path(environment["QUANTUMAI_PKCS11_MODULE"])
    keys: list[Key] = KeyRing.open(home / "keys.db", open_token(module, "quantumai", pin, home / "token")).ensure(
        LOG_USE, LOG_SUITES
    )
    started = time.perf_counter()
    for number in range(count):
        for key in keys:
            key.sign(f"manifest {number}".encode() * 50)
    return count / (time.perf_counter() - started)


def verified_per_second(brokers: str, trust: TrustRoot) -> tuple[int, float]:
    """Replays manifest.signed and log.checkpoint from the topics and verifies every leaf; decoding is inside the time."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "verify", "isolation.level": "read_committed", "log_level": 0})
    raw: dict[str, list[bytes]] = {ManifestSigned.topic: [], LogCheckpoint.topic: []}
    for topic, values in raw.items():
        sources = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
        consumer.assign(sources)
        batches = iter(lambda: consumer.consume(20_000, timeout=3), [])
        values.extend(message.value() for batch in batches for message in batch if message.error() is None)
    consumer.close()
    started = time.process_time()
    verifier = LogVerifier(trust)
    for value in raw[LogCheckpoint.topic]:
        verifier.checkpoint(decode(LogCheckpoint, value))
    for value in raw[ManifestSigned.topic]:
        verifier.manifest(decode(ManifestSigned, value))
    report = verifier.finish()
    return report.manifests, report.manifests / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifests", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rates", default="1000,5000", help="inputs per second, one after the other, at which waits are measured")
    parser.add_argument("--seconds", type=int, default=20, help="how long at each rate, after half as long to warm up")
    parser.add_argument("--backends", type=int, default=1, help="backends per decision: 1 makes payloads of about 1 kB, 6 of 3 kB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, LocalBroker(Path(temporary) / "broker") as broker:
        home = Path(temporary) / "home"
        environment = dict(prepare(Settings.load(home=home)))
        environment |= {"QUANTUMAI_BROKERS": broker.bootstrap, "QUANTUMAI_METRICS_PORT": "0"}
        asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS, retention_days=30))
        manifests = [routed_manifest(None, routed(number, arguments.backends)) for number in range(500)]
        inputs, checkpoints = Input(broker.bootstrap, manifests), Checkpoints(broker.bootstrap)
        children = [
            Child(["cli.main", "worker", "signer"], environment, Path(temporary) / f"log-{number}")
            for number in range(arguments.processes)
        ]
        try:
            warm = arguments.manifests // 2  # the broker's virtual machine compiles what it has run often
            inputs.send_all(warm)
            while checkpoints.read() < warm:
                for child in children:
                    child.cpu_seconds()
            time.sleep(5)
            spent = measured(
                children, lambda: inputs.send_all(arguments.manifests), lambda: checkpoints.read() - warm, arguments.manifests
            )
            waits: dict[int, list[float]] = {}
            for each in map(int, arguments.rates.split(",")):
                latencies(inputs, checkpoints, each, arguments.seconds // 2)
                waits[each] = sorted(latencies(inputs, checkpoints, each, arguments.seconds))
        finally:
            checkpoints.close()
            for child in children:
                child.stop()
        pin = (home / "token" / "pin").read_text().strip()
        control = one_by_one(environment, home, pin)
        count, verified = verified_per_second(broker.bootstrap, TrustRoot.load(home / "trust.json"))
    rate = arguments.manifests / spent.wall_seconds
    table = Table("figure", "value", "x control", title=f"{arguments.manifests:,} manifests of {len(manifests[0].payload):,} bytes")
    table.add_row("two signatures for each manifest, in process (control)", f"{control:,.0f} / s", "1")
    table.add_row(f"signer agent, {arguments.processes} processes", f"{rate:,.0f} / s", f"{rate / control:.0f}")
    table.add_row("CPU per manifest", f"{spent.cpu_seconds / arguments.manifests * 1e6:.1f} us", "")
    for each, found in waits.items():
        table.add_row(f"input to checkpoint at {each:,} / s, p50", f"{statistics.median(found) * 1000:.0f} ms", "")
        table.add_row(f"input to checkpoint at {each:,} / s, p99", f"{found[int(len(found) * 0.99)] * 1000:.0f} ms", "")
    table.add_row(f"verified from the topics, {count:,} manifests, one core", f"{verified:,.0f} / s", f"{verified / control:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
