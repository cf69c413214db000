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

from rich.console import Console
from rich.table import Table

from schemas import cloudevents
from schemas.codec import encode
from schemas.threats import ThreatObserved, ThreatScored
from streams.client import Client
from streams.connection import connected, writer
from streams.platform import down, up
from streams.settings import Settings
from threat import synthetic
from threat.classical import Classical
from threat.features import COLUMNS, features
from threat.feeds.normalise import normalise
from threat.scoring import Scorer
from threat.vqc.model import shipped

WARM_SECONDS = 5.0
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
    console.print(table)


async def send(brokers: str, prefix: str, per_second: int, seconds: float) -> dict[str, float]:
    """Publishes events at a steady rate, like a feed; returns when each was handed over, by event id."""
    made = list(synthetic.events(2000, seed=3, attacks=0.02))
    lines = [synthetic.line(one, synthetic.FORMS[place % 5]) for place, one in enumerate(made)]
    sent: dict[str, float] = {}
    async with connected(writer(brokers), brokers) as producer:
        began, step = time.time(), 0.01
        for tick in range(int(seconds / step)):
            for number in range(int(per_second * step)):
                place = tick * int(per_second * step) + number
                event = normalise(lines[place % len(lines)], f"{prefix}/{place}")
                headers = cloudevents.headers(ThreatObserved, event.event_id, "/benchmark", cloudevents.timestamp())
                sent[event.event_id] = time.time()
                await producer.send(event.topic, encode(event), key=event.key, headers=headers)
            await asyncio.sleep(max(0.0, began + (tick + 1) * step - time.time()))
        await producer.flush()
    return sent


async def latencies(brokers: str, sent: dict[str, float]) -> list[float]:
    """Seconds from handing an event over to its score's append on the broker; both by this machine's clock."""
    scored: dict[str, float] = {}
    async with Client(brokers) as client:
        deadline = time.monotonic() + 60
        while len(scored) < len(sent) and time.monotonic() < deadline:
            async for event in client.records(ThreatScored):
                if event.record.event_id in sent:
                    scored.setdefault(event.record.event_id, event.timestamp.timestamp())
    return [scored[event_id] - at for event_id, at in sent.items() if event_id in scored]


def end_to_end(console: Console, per_second: int, seconds: float) -> None:
    """Event in -> threat.scored, broker and the threat agent on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(home=Path(folder), brokers="127.0.0.1:9092")
        try:
            ready = up(settings, ["threat"], port=0, environment={"OMP_NUM_THREADS": "1", "QUANTUMAI_ESCALATIONS": "0"})
            brokers = str(ready.brokers)
            asyncio.run(send(brokers, "warm", per_second // 5, WARM_SECONDS))
            began = time.time()
            sent = asyncio.run(send(brokers, "timed", per_second, seconds))
            achieved = len(sent) / (time.time() - began)
            found = sorted(asyncio.run(latencies(brokers, sent)))
        finally:
            down(Path(folder))
    table = Table(
        "events/s asked", "sent", "scored", "lost", *(f"p{at} ms" for at in PERCENTILES), title="event in -> threat.scored"
    )
    cuts = statistics.quantiles(found, n=100, method="inclusive")
    shown = [f"{cuts[at - 1] * 1000:.1f}" for at in PERCENTILES]
    table.add_row(f"{per_second:,}", f"{achieved:,.0f}/s", f"{len(found):,}", f"{len(sent) - len(found):,}", *shown)
    console.print(table)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5000, help="events per second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--lines", type=Path, nargs="*", default=[])
    arguments = parser.parse_args()
    console, part = Console(width=120), 0.1 if arguments.quick else 1.0
    normalising(console, arguments.lines, 5 * part)
    scoring(console, 3 * part)
    end_to_end(console, arguments.rate, max(2.0, arguments.seconds * part))


if __name__ == "__main__":
    main()
