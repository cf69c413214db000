"""What one event costs between two topics: our agent beside raw aiokafka, stock Faust and Quix Streams, all in one run.

    python -m benchmarks.throughput --events 50000 --rounds 3

Each runs alone against a broker of its own with 4 partitions: the process is stopped, the events are laid out, it is let go.
CPU is the process's user and system time per event, consuming and producing included. "Avro" reads threat.observed and
writes threat.scored with fastavro; ours does that with models, CloudEvents headers and ids, exactly once.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import uvloop
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from rich.console import Console
from rich.table import Table

from benchmarks.chain import CHAIN, observed
from benchmarks.processes import Child, Spent, measured
from schemas.avro import fingerprint, schema_of
from schemas.cloudevents import headers, output_id, timestamp
from schemas.codec import HEADER_BYTES, MARKER, encode
from schemas.threats import ThreatObserved, ThreatScored
from streams.admin import ensure_topics
from streams.broker import LocalBroker
from streams.settings import Settings
from streams.worker import run

SOURCE, TARGET = ThreatObserved.topic, ThreatScored.topic


def avro() -> Callable[[bytes], bytes]:
    """threat.observed -> threat.scored on dictionaries, with fastavro alone."""
    reader, writer = parse_schema(schema_of(ThreatObserved)), parse_schema(schema_of(ThreatScored))
    prefix = MARKER + fingerprint(schema_of(ThreatScored))

    def convert(value: bytes) -> bytes:
        source = BytesIO(value)
        source.seek(HEADER_BYTES)
        event: Any = schemaless_reader(source, reader, None)
        target = BytesIO()
        target.write(prefix)
        schemaless_writer(
            target,
            writer,
            {
                "event_id": event["entity"],
                "entity": event["event_id"],
                "risk_score": 12.5,
                "risk_level": "LOW",
                "confidence": 0.9,
                "model": "constant",
                "model_version": "1",
                "escalated": False,
                "job_id": None,
                "fallback_reason": None,
                "finding": event["ocsf"],
                "latency_seconds": 0.0,
                "scored_at": event["observed_at"],
            },
        )
        return target.getvalue()

    return convert


def raw_avro(brokers: str) -> None:
    """The control: aiokafka's consumer and idempotent producer in a loop, nothing else."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    convert = avro()

    async def loop() -> None:
        consumer = AIOKafkaConsumer(SOURCE, bootstrap_servers=brokers, group_id="raw", auto_offset_reset="earliest")
        producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True, linger_ms=20)
        await consumer.start()
        await producer.start()
        while True:
            for messages in (await consumer.getmany(timeout_ms=500, max_records=5000)).values():
                for message in messages:
                    await producer.send(TARGET, key=message.key, value=convert(message.value), headers=list(message.headers))

    uvloop.run(loop())


def ours(brokers: str) -> None:
    """The declared agent on the worker: exactly once."""
    sys.exit(run(CHAIN["first"], Settings.load(brokers=brokers)))


def stock_faust(brokers: str) -> None:
    """Faust as it comes: at least once."""
    import faust

    convert = avro()
    app = faust.App(
        "stock",
        broker=f"kafka://{brokers}",
        consumer_auto_offset_reset="earliest",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        producer_linger=0.02,
        datadir=Path(tempfile.mkdtemp()),
    )
    target = app.topic(TARGET, value_serializer="raw", key_serializer="raw")

    @app.agent(app.topic(SOURCE, value_serializer="raw", key_serializer="raw"))
    async def copy(stream: Any) -> None:
        async for event in stream.events():
            await target.send(key=event.message.key, value=convert(event.value), headers=list(event.message.headers))

    faust.Worker(app, loglevel="ERROR").execute_from_commandline()


def _quix(brokers: str, convert: Callable[[bytes], bytes]) -> None:
    from quixstreams import Application

    app = Application(
        broker_address=brokers,
        consumer_group="quix",
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        auto_create_topics=False,
        loglevel="ERROR",
        commit_interval=0.5,
    )
    frame = app.dataframe(app.topic(SOURCE, value_deserializer="bytes", key_deserializer="bytes"))
    frame.apply(convert).to_topic(app.topic(TARGET, value_serializer="bytes", key_serializer="bytes"))
    app.run()


def quix_avro(brokers: str) -> None:
    """Quix Streams, exactly once, with the same Avro work."""
    _quix(brokers, avro())


def quix_bare(brokers: str) -> None:
    """Quix Streams, exactly once, copying bytes: the floor."""
    _quix(brokers, lambda value: value)


VARIANTS: Mapping[str, tuple[str, Callable[[str], None]]] = {
    "raw": ("raw aiokafka, idempotent, Avro (control)", raw_avro),
    "ours": ("our agent, exactly once, Avro", ours),
    "quix": ("Quix Streams, exactly once, Avro", quix_avro),
    "quix-bare": ("Quix Streams, exactly once, bytes", quix_bare),
    "faust": ("stock Faust, at least once, Avro", stock_faust),
}


def lay_out(brokers: str, events: int, start: int) -> None:
    """Writes inputs `start` … to all partitions, with librdkafka, which takes no time to speak of."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "log_level": 0, "linger.ms": 50, "queue.buffering.max.messages": 10_000_000})
    time = timestamp()
    for number in range(start, start + events):
        record = observed(number)
        event_id = output_id("bench", 0, number, ThreatObserved, 0)
        producer.produce(
            SOURCE,
            value=encode(record),
            key=record.key,
            partition=number % 4,
            headers=headers(ThreatObserved, event_id, "/bench", time),
        )
    producer.flush()


class Counter:
    """Counts committed records of the output topic."""

    def __init__(self, brokers: str) -> None:
        from confluent_kafka import Consumer, TopicPartition

        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "counter",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(TARGET, partition, 0) for partition in range(4)])
        self._count = 0

    def close(self) -> None:
        """Leaves the broker before it is stopped."""
        self._consumer.close()

    def __call__(self) -> int:
        self._count += sum(message.error() is None for message in self._consumer.consume(100_000, timeout=0.05))
        return self._count


def measure(name: str, events: int) -> Spent:
    """One variant against a broker of its own, after a warm-up of a tenth of the events."""
    with tempfile.TemporaryDirectory() as folder, LocalBroker(Path(folder) / "broker", optimise=True) as broker:
        asyncio.run(ensure_topics(broker.bootstrap, 4, retention_days=30))
        warm = events // 10
        environment = {"BENCHMARK_VARIANT": name, "QUANTUMAI_BROKERS": broker.bootstrap}
        child = Child(["benchmarks.throughput"], environment, Path(folder) / "log")
        count = Counter(broker.bootstrap)
        try:
            lay_out(broker.bootstrap, warm, 0)
            while count() < warm:
                child.cpu_seconds()
            return measured([child], lambda: lay_out(broker.bootstrap, events, warm), lambda: count() - warm, events)
        finally:
            count.close()
            child.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    arguments = parser.parse_args()
    names = arguments.variants.split(",")
    spent: dict[str, list[Spent]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            spent[name].append(measure(name, arguments.events))
    control = statistics.median(each.cpu_seconds for each in spent[names[0]])
    table = Table(
        "variant",
        "us CPU / event",
        "min … max",
        "x control",
        "events / s",
        title=f"{arguments.events:,} events, {arguments.rounds} rounds",
    )
    for name in names:
        microseconds = [each.cpu_seconds / arguments.events * 1e6 for each in spent[name]]
        median = statistics.median(microseconds)
        rate = statistics.median(arguments.events / each.wall_seconds for each in spent[name])
        ratio = median * arguments.events / 1e6 / control
        table.add_row(
            VARIANTS[name][0], f"{median:.1f}", f"{min(microseconds):.1f} … {max(microseconds):.1f}", f"{ratio:.2f}", f"{rate:,.0f}"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    if "BENCHMARK_VARIANT" in os.environ:
        VARIANTS[os.environ["BENCHMARK_VARIANT"]][1](os.environ["QUANTUMAI_BROKERS"])
    else:
        main()
