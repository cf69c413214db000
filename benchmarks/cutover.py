"""A cutover under load, classical to dual to post-quantum: what is lost, what does not verify, and how long it stands still.

    python -m benchmarks.cutover --rate 1000 --seconds 20

A real broker, signer agents in processes of their own, and the commands that an operator types (`quantumai crypto migrate …`),
which run beside the load on the same cores, as does a verifier before each step. Each phase lasts `--seconds`; the time before the
first step, with the same load, is the control, after as long a time to warm up. A wait is from sending an input to the arrival of
the first checkpoint that covers it; a pause is the longest time in which no checkpoint of a log arrived although inputs waited.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.manifest_signing import routed
from benchmarks.processes import Child
from benchmarks.signer import PARTITIONS, Checkpoints, Input
from cli.token import open_or_make, prepare
from kms.epoch_leaf import EPOCH_TOPIC
from kms.epoch_memory import Memory
from kms.epochs import CLASSICAL, PHASES
from kms.keyring import KeyRing
from kms.manifest import routed_manifest
from kms.migration import begin, standing_under
from kms.trust import TrustRoot
from kms.verification import LogVerifier, Report
from schemas.codec import decode
from schemas.manifests import LogCheckpoint, ManifestSigned
from schemas.record import Record
from streams.admin import ensure_topics
from streams.broker import LocalBroker
from streams.settings import Settings

R = TypeVar("R", bound=Record)
WARM_INPUTS = 50_000
_MIGRATE = ("cli.main", "crypto", "migrate")
_VERIFY = ("benchmarks.cutover", "--verify")
STEPS = {
    "migrate start": ((*_MIGRATE, "start"),),
    "advance to dual": (_VERIFY, (*_MIGRATE, "advance")),
    "advance to post-quantum": (_VERIFY, (*_MIGRATE, "advance")),
}


@dataclass(slots=True)
class Window:
    """What was seen between two steps."""

    name: str
    waits: list[float] = field(default_factory=list)
    pause: float = 0.0


class Followed(Checkpoints):
    """`log.checkpoint`, with the inputs that each log's checkpoints cover: leaves about epochs are none."""

    def __init__(self, brokers: str) -> None:
        super().__init__(brokers)
        self.waiting: list[deque[float]] = [deque() for _ in range(PARTITIONS)]
        self.covered, self.moved = [0] * PARTITIONS, [time.monotonic()] * PARTITIONS

    def take(self, window: Window) -> None:
        """Takes what has come, and notes waits and pauses."""
        for message in self._consumer.consume(1000, timeout=0.002):
            if message.error() is not None:
                continue
            head, at, partition = decode(LogCheckpoint, message.value()), time.monotonic(), message.partition()
            inputs, waiting = head.tree_size - (standing_under(head) - 1), self.waiting[partition]
            if waiting:
                window.pause = max(window.pause, at - max(self.moved[partition], waiting[0]))
            window.waits += [at - waiting.popleft() for _ in range(inputs - self.covered[partition])]
            self.covered[partition], self.moved[partition] = inputs, at


class Operator(threading.Thread):
    """Types the commands of each step, one after the other, while the load goes on."""

    def __init__(self, environment: Mapping[str, str], seconds: float) -> None:
        super().__init__(daemon=True)
        self._environment, self._seconds, self.window = {**os.environ, **environment}, seconds, Window("warming up")
        self.windows, self.problem = list[Window](), ""

    def run(self) -> None:
        time.sleep(self._seconds)
        self._enter("classical (control)")
        time.sleep(self._seconds)
        for name, commands in STEPS.items():
            self._enter(name)
            for command in commands:
                done = subprocess.run(
                    [sys.executable, "-m", *command], env=self._environment, capture_output=True, text=True, check=False
                )
                if done.returncode:
                    self.problem = f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-500:]}"
                    return
            time.sleep(self._seconds)

    def _enter(self, name: str) -> None:
        self.window = Window(name)
        self.windows.append(self.window)


def warm_up(inputs: Input, followed: Followed, count: int) -> None:
    """Has `count` inputs signed before anything is measured: the broker's virtual machine compiles what it has run often."""
    for _ in range(count):
        followed.waiting[inputs.send()].append(time.monotonic())
    started = time.monotonic()
    while any(followed.waiting):
        inputs.poll()
        followed.take(Window("before"))
        assert time.monotonic() - started < 300, "some inputs were never covered"


def drive(inputs: Input, followed: Followed, operator: Operator, rate: int) -> int:
    """Sends at a steady rate until the operator is through, and waits until all is covered; how many were sent."""
    started, sent = time.monotonic(), 0
    operator.start()
    while operator.is_alive() or any(followed.waiting):
        due = int((time.monotonic() - started) * rate) + 1 if operator.is_alive() else sent
        for _ in range(sent, due):
            followed.waiting[inputs.send()].append(time.monotonic())
        sent = due
        inputs.poll()
        followed.take(operator.window)
        assert time.monotonic() - started < 600, "some inputs were never covered"
    return sent


def replayed(brokers: str, trust: TrustRoot) -> tuple[Report, int]:
    """The report over all that stands in the topics now, every signature checked; and how many leaves are manifests of inputs.

    Checkpoints are read first, manifests up to them: what comes meanwhile is not looked at.
    """
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "verify", "isolation.level": "read_committed", "log_level": 0})
    verifier, manifests = LogVerifier(trust, every_signature=True, collect=True), 0
    sizes: dict[str, int] = {}
    for head in _standing(consumer, LogCheckpoint):
        verifier.checkpoint(head)
        sizes[head.log_id] = head.tree_size
    for manifest in _standing(consumer, ManifestSigned):
        if manifest.index < sizes.get(manifest.log_id, 0):
            manifests += manifest.event_topic != EPOCH_TOPIC
            verifier.manifest(manifest)
    consumer.close()
    return verifier.finish(), manifests


def _standing(consumer: Consumer, kind: type[R]) -> Iterator[R]:
    """The records of a topic up to the ends that it has now."""
    places = [TopicPartition(kind.topic, partition, 0) for partition in range(PARTITIONS)]
    ends = [consumer.get_watermark_offsets(place)[1] for place in places]
    for place, end in zip(places, ends, strict=True):
        consumer.assign([place])
        while consumer.position([place])[0].offset < end:  # a transaction's marker takes an offset, too
            for message in consumer.consume(5000, timeout=0.5):
                if message.error() is None and message.offset() < end:
                    yield decode(kind, message.value())


def verify() -> None:
    """A verifier: checks the logs, and remembers the epochs that it has seen."""
    settings = Settings.load()
    trust = TrustRoot.load(settings.home / "trust.json")
    report, _ = replayed(settings.brokers, trust)
    assert not report.errors, report.errors[0]
    Memory().seen(trust.policy, {log: found.epoch for log, found in report.logs.items()}).save(settings.home / "trust.seen.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each phase lasts")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--verify", action="store_true", help="be the verifier of a running benchmark")
    arguments = parser.parse_args()
    if arguments.verify:
        verify()
        return
    with tempfile.TemporaryDirectory() as temporary, LocalBroker(Path(temporary) / "broker", optimise=True) as broker:
        home = Path(temporary) / "home"
        settings = Settings.load(home=home)
        begin(KeyRing.open(settings.ring(), open_or_make(settings)[0]), PHASES[CLASSICAL], None)
        environment = {**prepare(settings), "QUANTUMAI_BROKERS": broker.bootstrap, "QUANTUMAI_METRICS_PORT": "0"}
        asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS, retention_days=30))
        inputs = Input(broker.bootstrap, [routed_manifest(None, routed(number, 1)) for number in range(500)])
        followed, operator = Followed(broker.bootstrap), Operator(environment, arguments.seconds)
        children = [
            Child(["cli.main", "worker", "signer"], environment, Path(temporary) / f"log-{number}")
            for number in range(arguments.processes)
        ]
        try:
            warm_up(inputs, followed, WARM_INPUTS)
            sent = WARM_INPUTS + drive(inputs, followed, operator, arguments.rate)
        finally:
            followed.close()
            for child in children:
                child.stop()
        assert not operator.problem, operator.problem
        report, manifests = replayed(broker.bootstrap, TrustRoot.load(home / "trust.json"))
    _show(operator.windows, report, sent, manifests, arguments.rate)


def _show(windows: list[Window], report: Report, sent: int, manifests: int, rate: int) -> None:
    table = Table("from", "inputs", "wait p50", "wait p99", "longest wait", "longest pause", title=f"{rate:,} manifests per second")
    for window in windows:
        waits = sorted(window.waits)
        figures = (statistics.median(waits), waits[int(len(waits) * 0.99)], waits[-1], window.pause)
        table.add_row(window.name, f"{len(waits):,}", *(f"{seconds * 1000:.0f} ms" for seconds in figures))
    out = Console(width=120)
    out.print(table)
    epochs = sorted({log.epoch for log in report.logs.values()})
    out.print(f"{sent:,} sent, {sent - manifests:,} lost, {len(report.errors):,} unverifiable; every log ends under epoch {epochs}")
    out.print(f"{report.checkpoints:,} checkpoints, {report.signatures:,} with all their signatures checked")
    for error in report.errors[:5]:
        out.print(str(error))


if __name__ == "__main__":
    main()
