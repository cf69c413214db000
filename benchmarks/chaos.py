"""Kills workers and the broker with SIGKILL while events run through two agents, and counts what came out.

    python -m benchmarks.chaos --events 100000 --rate 1500 --every 6

Fault: SIGKILL of one of four workers or of the broker, in turn, at random by seed. Load: a steady rate into
threat.observed -> threat.scored -> kms.audit, two workers each. Counts: lost, doubled, out of order (per entity), and the
longest time without any output after the broker was back.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from benchmarks.chain import observed
from schemas.cloudevents import headers, output_id, timestamp
from schemas.codec import decode, encode
from schemas.manifests import KmsAudit
from schemas.threats import ThreatObserved
from streams.admin import ensure_topics
from streams.broker import LocalBroker
from streams.connection import connected, reader, writer
from streams.errors import StreamsError

PARTITIONS = 4
QUIET_SECONDS = 45.0
"""Without any output for so long, with the broker there, nothing more is to come; longer than any stand-still that is allowed."""

PATIENCE_SECONDS = 120.0
"""Without any output for so long, a run has hung for ever."""


@dataclass
class Report:
    """What a run counted. Times in seconds."""

    events: int
    seed: int
    worker_kills: int = 0
    broker_kills: int = 0
    worker_exits: int = 0
    inputs: int = 0
    outputs: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    longest_standstill_seconds: float = 0.0
    seconds: float = 0.0
    exit_codes: dict[str, int] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Every input came out once, and in order."""
        return self.inputs >= self.events and not (self.lost or self.doubled or self.out_of_order)


class Workers:
    """Two processes of each agent; one that exits is started again, as the platform's supervisor does."""

    def __init__(self, brokers: str, folder: Path, report: Report) -> None:
        self._environment = {**os.environ, "QUANTUMAI_BROKERS": brokers, "QUANTUMAI_METRICS_PORT": "0"}
        self._folder, self._report = folder, report
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restart_at: dict[str, float] = {}
        for name in ("first-1", "first-2", "second-1", "second-2"):
            self._start(name)

    def _start(self, name: str) -> None:
        log = (self._folder / f"{name}.log").open("ab")
        command = [sys.executable, "-m", "benchmarks.chain", name.split("-", maxsplit=1)[0]]
        self._processes[name] = subprocess.Popen(command, env=self._environment, stderr=log, stdout=log)

    def supervise(self) -> None:
        """Starts again whoever is gone, half a second later."""
        for name, process in self._processes.items():
            if process.poll() is None:
                continue
            if name not in self._restart_at:
                self._report.worker_exits += 1
                code = str(process.returncode)
                self._report.exit_codes[code] = self._report.exit_codes.get(code, 0) + 1
                self._restart_at[name] = time.monotonic() + 0.5
            elif time.monotonic() > self._restart_at[name]:
                del self._restart_at[name]
                self._start(name)

    def kill(self, chance: random.Random) -> None:
        """SIGKILL to one of them."""
        self._processes[chance.choice(sorted(self._processes))].kill()
        self._report.worker_kills += 1

    def stop(self) -> None:
        """Ends them all."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


async def produce(brokers: str, events: int, rate: float) -> None:
    """Sends `events` at `rate` per second; what is not acknowledged is sent again, so an input may stand twice."""
    sent, started = 0, time.monotonic()
    while sent < events:
        try:
            async with connected(writer(brokers), brokers) as producer:
                while sent < events:
                    due = min(events, sent + 200, int((time.monotonic() - started) * rate))
                    batch = [_message(number) for number in range(sent, due)]
                    futures = [
                        await producer.send(ThreatObserved.topic, key=key, value=value, headers=head) for key, value, head in batch
                    ]
                    await asyncio.wait_for(asyncio.gather(*futures), 30)
                    sent = max(sent, due)
                    await asyncio.sleep(0.05)
        except (KafkaError, StreamsError, TimeoutError):
            await asyncio.sleep(0.5)


def _message(number: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    record = observed(number)
    event_id = output_id("chaos", 0, number, ThreatObserved, 0)
    return record.key, encode(record), headers(ThreatObserved, event_id, "/chaos", timestamp())


class Meter:
    """Watches the outputs grow, and times every silence after the broker was back until the next output."""

    def __init__(self, brokers: str, report: Report, expected: int) -> None:
        self._brokers, self._report, self._expected = brokers, report, expected
        self.count = 0
        self.back_at: float | None = None

    async def run(self) -> None:
        """Asks five times a second for the committed end of kms.audit."""
        sources = [TopicPartition(KmsAudit.topic, partition) for partition in range(PARTITIONS)]
        moved = time.monotonic()
        while True:
            try:
                async with connected(reader(self._brokers, ()), self._brokers) as consumer:
                    while True:
                        count = sum((await asyncio.wait_for(consumer.end_offsets(sources), 5)).values())
                        now = time.monotonic()
                        if count != self.count:
                            if self.back_at is not None:
                                silence = now - max(moved, self.back_at)
                                self._report.longest_standstill_seconds = max(self._report.longest_standstill_seconds, silence)
                            self.count, moved = count, now
                        await asyncio.sleep(0.2)
            except (KafkaError, StreamsError, TimeoutError, OSError):
                await asyncio.sleep(0.2)


async def read_all(brokers: str, kind: type) -> list[tuple[int, str, str]]:
    """(partition, entity, event id) of every committed record of a topic, in order."""
    field_of = {ThreatObserved: ("entity", "event_id"), KmsAudit: ("kid", "actor")}[kind]
    found: list[tuple[int, str, str]] = []
    async with connected(reader(brokers, [kind.topic]), brokers) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while not all([await consumer.position(source) >= end for source, end in ends.items()]):
            for source, messages in (await consumer.getmany(timeout_ms=500)).items():
                for message in messages:
                    record = decode(kind, message.value)
                    found.append((source.partition, getattr(record, field_of[0]), getattr(record, field_of[1])))
    return found


async def judge(brokers: str, report: Report) -> None:
    """Compares what went in with what came out."""
    inputs, outputs = await read_all(brokers, ThreatObserved), await read_all(brokers, KmsAudit)
    before, after = Counter(event for _, _, event in inputs), Counter(event for _, _, event in outputs)
    report.inputs, report.outputs = len(inputs), len(outputs)
    report.lost, report.doubled = (before - after).total(), (after - before).total()
    latest: dict[str, int] = {}
    for _, entity, event in outputs:
        number = int(event.removeprefix("e-"))
        report.out_of_order += number < latest.get(entity, -1)
        latest[entity] = max(number, latest.get(entity, -1))


async def chaos(folder: Path, report: Report, rate: float, every: float, kills: str) -> None:
    """One run: starts everything, kills on schedule until the inputs are in, waits for the outputs, counts."""
    chance, started = random.Random(report.seed), time.monotonic()
    broker = LocalBroker(folder / "broker").start()
    await ensure_topics(broker.bootstrap, PARTITIONS, retention_days=30)
    workers, meter = Workers(broker.bootstrap, folder, report), Meter(broker.bootstrap, report, report.events)
    metering = asyncio.create_task(meter.run())
    producing = asyncio.create_task(produce(broker.bootstrap, report.events, rate))
    next_kill, schedule = time.monotonic() + every, 0
    last, last_moved = 0, time.monotonic()
    try:
        while time.monotonic() - last_moved < PATIENCE_SECONDS:
            workers.supervise()
            if time.monotonic() > next_kill and not producing.done():
                if kills[schedule % len(kills)] == "b":
                    broker.kill()
                    report.broker_kills += 1
                    await asyncio.to_thread(broker.start)
                    meter.back_at = time.monotonic()
                else:
                    workers.kill(chance)
                schedule += 1
                next_kill = time.monotonic() + every
            if meter.count != last:
                last, last_moved = meter.count, time.monotonic()
            elif producing.done() and time.monotonic() - max(last_moved, meter.back_at or 0.0) > QUIET_SECONDS:
                break
            await asyncio.sleep(0.1)
    finally:
        metering.cancel()
        producing.cancel()
        await judge(broker.bootstrap, report)
        workers.stop()
        broker.stop()
        report.seconds = time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=1500.0, help="events per second")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between kills")
    parser.add_argument("--kills", default="wwb", help="what is killed in turn: w(orker), b(roker)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep data and logs here")
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a killed broker is what we want to see
    report = Report(arguments.events, arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(chaos(folder, report, arguments.rate, arguments.every, arguments.kills))
    print(json.dumps(asdict(report), indent=2))
    print("exactly once" if report.exact else "NOT exactly once")
    return 0 if report.exact else 1


if __name__ == "__main__":
    sys.exit(main())
