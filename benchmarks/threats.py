"""Threats: how fast lines become events, and how soon an event has its score while thousands a second come in.

python -m benchmarks.threats                 # 5,000 events/s for 20 s, broker included
python -m benchmarks.threats --quick         # a tenth of it
python -m benchmarks.threats --lines FILE…   # normalising real lines too, gzip or not
"""

import argparse
import asyncio
import gzip
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aiokafka.structs import ConsumerRecord
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from agents.threat import build
from benchmarks.processes import Child
from schemas import cloudevents
from schemas.codec import encode
from schemas.threats import ThreatObserved, ThreatScored
from schemas.topics import TOPICS
from streams.admin import ensure_topics
from streams.broker import LocalBroker
from streams.handling import Handling, Incoming
from streams.partitioning import partition_of
from streams.settings import Settings
from streams.views import HeldByKey
from threat import synthetic
from threat.classical import Classical
from threat.features import COLUMNS, features
from threat.feeds.normalise import normalise
from threat.scoring import Scorer
from threat.vqc.model import shipped

WARM_SECONDS = 15.0
PARTITIONS = 4
PATIENCE_SECONDS = 30.0
PERCENTILES = (50, 95, 99)


def naive(line: bytes) -> dict[str, object]:
    """The control: the standard library's json, a path walked for every field, uuid5, strptime; what one writes first."""
    source = json.loads(line)

    def at(path: str) -> object:
        value: object = source
        for step in path.split("/"):
            value = value.get(step) if isinstance(value, dict) else None
        return value

    fields = ("src_ip", "src_port", "dest_ip", "dest_port", "proto", "app_proto", "flow/bytes_toserver", "flow/bytes_toclient")
    fields += ("flow/pkts_toserver", "flow/pkts_toclient", "flow/age", "flow/state", "alert/severity", "event_type", "host")
    ocsf = {field: at(field) for field in fields}
    when = datetime.strptime(str(source["timestamp"]), "%Y-%m-%dT%H:%M:%S.%f%z")
    ocsf["time"] = int(when.timestamp() * 1000)
    return ThreatObserved(
        event_id=str(uuid.uuid5(uuid.NAMESPACE_URL, line.decode())),
        entity=str(source["src_ip"]),
        class_uid=4001,
        source="suricata",
        ocsf=json.dumps(ocsf),
        raw=line,
        observed_at=when,
    ).model_dump()


def rate(work: Callable[[bytes], object], lines: list[bytes], least: float) -> float:
    """Lines per second of CPU time."""
    done, began = 0, time.process_time()
    while time.process_time() - began < least:
        for line in lines:
            work(line)
        done += len(lines)
    return done / (time.process_time() - began)


def normalising(console: Console, files: list[Path], least: float) -> None:
    """Ours beside the control, in one run."""
    made = list(synthetic.events(2000, seed=1))
    sets = {form: [synthetic.line(one, form) for one in made] for form in ("suricata", "zeek", "zeek-stream", "ocsf")}
    for file in files:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        sets[file.name] = content.splitlines()
    table = Table("lines", "bytes a line", "events/s a core", "control", "ratio", title="normalising, by CPU time")
    control = rate(naive, sets["suricata"], least)
    for name, lines in sets.items():
        ours = rate(lambda line: normalise(line, "benchmark/0"), lines, least)
        against = (f"{control:,.0f}", f"{ours / control:.1f}") if name == "suricata" else ("", "")
        table.add_row(name, f"{statistics.mean(map(len, lines)):,.0f}", f"{ours:,.0f}", *against)
    console.print(table)


def scoring(console: Console, least: float) -> None:
    """CPU time of the parts of a score, by the batch and one by one."""
    made = list(synthetic.events(2000, seed=2, attacks=0.02))
    events = [normalise(synthetic.line(one, "suricata"), f"{place}") for place, one in enumerate(made)]
    scorer = Scorer(Classical.load(columns=COLUMNS), shipped())
    scorer.warm()
    table = Table("step", "µs an event", title="scoring, by CPU time")
    steps: dict[str, tuple[int, Callable[[list[ThreatObserved]], object]]] = {
        "features": (500, features),
        "score, 500 at a time": (500, scorer.score),
        "score, 10 at a time": (10, scorer.score),
        "score, one at a time": (1, scorer.score),
    }
    for name, (size, step) in steps.items():
        done, began = 0, time.process_time()
        while time.process_time() - began < least:
            step(events[done % 1500 : done % 1500 + size])
            done += size
        table.add_row(name, f"{(time.process_time() - began) / done * 1e6:,.1f}")
    handling, inputs = answering(events)
    for size in (500, 25):
        done, began = 0, time.process_time()
        while time.process_time() - began < least:
            partition_of.cache_clear()
            done += handling.handle(inputs[done % 1500 : done % 1500 + size]).done
        table.add_row(f"all but Kafka, {size} at a time", f"{(time.process_time() - began) / done * 1e6:,.1f}")
    console.print(table)


def answering(events: list[ThreatObserved]) -> tuple[Handling, list[Incoming]]:
    """The agent as the worker calls it: reads, scores, names, writes events and manifests. And its inputs."""
    agent = build(Settings(home=Path(tempfile.gettempdir(), uuid.uuid4().hex), escalations=0))
    for view in agent.views:
        if isinstance(view, HeldByKey):
            view.assign(0)
    inputs: list[Incoming] = []
    for offset, event in enumerate(events):
        headers = cloudevents.headers(ThreatObserved, event.event_id, "/benchmark", cloudevents.timestamp())
        inputs.append(ConsumerRecord("threat.observed", 0, offset, 0, 0, event.key, encode(event), None, 0, 0, tuple(headers)))
    return Handling(agent, dict.fromkeys(TOPICS, PARTITIONS)), inputs


class Traffic:
    """Events made beforehand, sent at a steady rate; their scores, read committed as any consumer reads them.

    Args:
        brokers: bootstrap addresses.
        count: how many events there will be.
    """

    def __init__(self, brokers: str, count: int) -> None:
        lines = [
            synthetic.line(one, synthetic.FORMS[at % len(synthetic.FORMS)])
            for at, one in enumerate(synthetic.events(2000, seed=3, attacks=0.02))
        ]
        made = (normalise(lines[place % len(lines)], f"benchmark/{place}") for place in range(count))
        self._events = iter([(event.event_id, event.key, encode(event)) for event in made])
        self._producer = Producer({"bootstrap.servers": brokers, "log_level": 0, "linger.ms": 2})
        settings = {"bootstrap.servers": brokers, "group.id": "benchmark", "isolation.level": "read_committed", "log_level": 0}
        self._consumer = Consumer({**settings, "fetch.wait.max.ms": 5, "enable.auto.commit": False})
        partitions = self._consumer.list_topics(ThreatScored.topic).topics[ThreatScored.topic].partitions
        self._consumer.assign([TopicPartition(ThreatScored.topic, partition, 0) for partition in partitions])

    def run(self, per_second: int, seconds: float) -> tuple[int, list[float]]:
        """How many were sent, and the seconds from handing each over to holding its score."""
        total, waiting, found = int(per_second * seconds), dict[str, float](), list[float]()
        began, sent = time.monotonic(), 0
        while sent < total or (waiting and time.monotonic() < began + seconds + PATIENCE_SECONDS):
            due = min(total, int((time.monotonic() - began) * per_second) + 1)
            for _ in range(sent, due):
                waiting[self._send()] = time.monotonic()
            sent = due
            self._producer.poll(0)
            for message in self._consumer.consume(1000, timeout=0.002):
                if message.error() is None and (at := waiting.pop(message.key().decode(), None)) is not None:
                    found.append(time.monotonic() - at)
        return sent, found

    def close(self) -> None:
        """Leaves the broker."""
        self._producer.flush()
        self._consumer.close()

    def _send(self) -> str:
        event_id, key, value = next(self._events)
        headers = cloudevents.headers(ThreatObserved, event_id, "/benchmark", cloudevents.timestamp())
        self._producer.produce(ThreatObserved.topic, value=value, key=key, headers=headers)
        return event_id


def end_to_end(console: Console, per_second: int, seconds: float) -> None:
    """Event in -> threat.scored seen by a consumer; broker, threat agent and this client on one machine."""
    with tempfile.TemporaryDirectory() as folder, LocalBroker(Path(folder) / "broker", optimise=True) as broker:
        asyncio.run(ensure_topics(broker.bootstrap, PARTITIONS, retention_days=30))
        environment = {"QUANTUMAI_BROKERS": broker.bootstrap, "QUANTUMAI_HOME": folder, "QUANTUMAI_METRICS_PORT": "0"}
        environment |= {"QUANTUMAI_ESCALATIONS": "0", "OMP_NUM_THREADS": "1"}
        agent = Child(["cli.main", "worker", "threat"], environment, Path(folder) / "agent.log")
        traffic = Traffic(broker.bootstrap, int(per_second * (seconds + WARM_SECONDS)))
        try:
            traffic.run(per_second, WARM_SECONDS)  # the broker's virtual machine compiles what it has run often
            began, before = time.process_time(), agent.cpu_seconds()
            sent, found = traffic.run(per_second, seconds)
            spent = agent.cpu_seconds() - before, time.process_time() - began
        finally:
            traffic.close()
            agent.stop()
    shown = ("events/s", "sent", "lost", *(f"p{at} ms" for at in PERCENTILES), "largest ms", "agent, µs an event", "client")
    table = Table(*shown, title="event in -> threat.scored")
    cuts = [*(statistics.quantiles(found, n=100, method="inclusive")[at - 1] for at in PERCENTILES), max(found)]
    used = (f"{each / sent * 1e6:.0f}" for each in spent)
    table.add_row(f"{per_second:,}", f"{sent:,}", f"{sent - len(found):,}", *(f"{cut * 1000:.1f}" for cut in cuts), *used)
    console.print(table)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5000, help="events per second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", choices=("normalising", "scoring", "end-to-end"), help="one of the three parts")
    parser.add_argument("--lines", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    console, part = Console(width=120), 0.1 if arguments.quick else 1.0
    parts: dict[str, Callable[[], None]] = {
        "normalising": lambda: normalising(console, arguments.lines, 5 * part),
        "scoring": lambda: scoring(console, 3 * part),
        "end-to-end": lambda: end_to_end(console, arguments.rate, max(2.0, arguments.seconds * part)),
    }
    for name, run in parts.items():
        if arguments.only in (None, name):
            run()


if __name__ == "__main__":
    main()
