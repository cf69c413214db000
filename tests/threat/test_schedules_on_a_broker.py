"""Scheduled analyses on a real broker: once for a period, whatever is killed, each event with its manifest."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kms.manifest import binds
from schemas import cloudevents
from schemas.codec import encode
from schemas.manifests import ManifestRequested
from schemas.record import Record
from schemas.threats import ThreatAnalysed, ThreatScored
from streams.broker import LocalBroker
from streams.client import Client
from streams.connection import connected, writer
from streams.messages import Received
from streams.once import scheduled
from threat import synthetic
from threat.classical import Classical
from threat.feeds.normalise import normalise
from threat.schedules.period import period
from threat.schedules.shelf import Shelf
from threat.scoring import Scorer
from threat.vqc.model import shipped

SCRIPT = Path(__file__).parents[2] / "threat" / "scheduled_quantum_analysis.py"
COUNT = 1_500
MONDAY = period("weekly", datetime.now(UTC)).until
FIRST = MONDAY - timedelta(days=5)
"""Events are of this Wednesday and the three days after it: recent ones, since the broker forgets."""


async def publish(broker: LocalBroker, records: list[tuple[Record, str]], at: datetime) -> None:
    """As agents do, stamped with a time."""
    async with connected(writer(broker.bootstrap), broker.bootstrap) as producer:
        sent = [
            await producer.send(
                record.topic,
                encode(record),
                key=record.key,
                headers=cloudevents.headers(type(record), ce_id, "/test", cloudevents.timestamp()),
                timestamp_ms=int(at.timestamp() * 1000),
            )
            for record, ce_id in records
        ]
        await asyncio.gather(*sent)


@pytest.fixture(scope="module")
def fed(fresh_broker: LocalBroker) -> LocalBroker:
    """A quarter of the events on each of four days."""
    made = list(synthetic.events(COUNT, seed=21, attacks=0.5))
    events = [normalise(synthetic.line(one, "suricata"), f"schedule/{at}") for at, one in enumerate(made)]
    scored = Scorer(Classical.load(), shipped()).score(events).records
    for day in range(4):
        at = FIRST + timedelta(days=day, hours=3)
        mine = range(day, COUNT, 4)
        pairs = [(events[place], events[place].event_id) for place in mine]
        asyncio.run(publish(fresh_broker, [*pairs, *((scored[place], f"first-{place}") for place in mine)], at))
    return fresh_broker


def labels(place: Path) -> Path:
    made = list(synthetic.events(COUNT, seed=21, attacks=0.5))
    ids = [normalise(synthetic.line(one, "suricata"), f"schedule/{at}").event_id for at, one in enumerate(made)]
    turned = [f"{event},{'benign' if one.scenario.technique else 'T1'}" for event, one in zip(ids, made, strict=True)]
    place.write_text("event_id,label\n" + "\n".join([*turned, "unknown,1"]) + "\n")
    return place


def environment(broker: LocalBroker, home: Path) -> dict[str, str]:
    return {**os.environ, "QUANTUMAI_BROKERS": broker.bootstrap, "QUANTUMAI_HOME": str(home), "COLUMNS": "160"}


def start(broker: LocalBroker, home: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCRIPT), "--period", *arguments]
    return subprocess.Popen(command, env=environment(broker, home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ran(broker: LocalBroker, home: Path, *arguments: str) -> str:
    process = start(broker, home, *arguments)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


async def of(broker: LocalBroker, kind: type[Record]) -> list[Received]:
    async with Client(broker.bootstrap) as client:
        return [event async for event in client.records(kind)]


def results(broker: LocalBroker, period: str) -> tuple[list[Received], list[Received]]:
    """What a period has published; each event stands once, and so does its manifest."""
    source = ("ce_source", f"/schedules/{period}".encode())
    found = [event for event in asyncio.run(of(broker, ThreatScored)) if scheduled(event) and source in event.headers]
    over = [event for event in asyncio.run(of(broker, ThreatAnalysed)) if event.record.period == period]
    manifests = [event.record for event in asyncio.run(of(broker, ManifestRequested)) if source in event.headers]
    assert Counter(event.event_id for event in [*found, *over]) == Counter(manifest.event_id for manifest in manifests)
    assert {event.event_id: event.digest for event in [*found, *over]} == {one.event_id: one.event_digest for one in manifests}
    assert all(map(binds, manifests)) and len({event.event_id for event in found}) == len(found)
    return found, over


def test_a_day_is_asked_again_once_and_each_finding_refers_to_the_earlier(fed: LocalBroker, tmp_path: Path) -> None:
    first = ran(fed, tmp_path, "daily", "--until", f"{FIRST + timedelta(days=1):%Y-%m-%d}")
    found, (over,) = results(fed, f"daily/{FIRST:%Y-%m-%d}")
    before = {event.event_id: event.record for event in asyncio.run(of(fed, ThreatScored)) if not scheduled(event)}
    serious = {ce_id for ce_id, record in before.items() if int(ce_id[6:]) % 4 == 0 and record.risk_level in ("HIGH", "CRITICAL")}
    referred = {json.loads(event.record.finding)["finding_info"]["related_events"][0]["uid"]: event.record for event in found}
    assert referred.keys() == serious and over.record.findings == len(serious) > 100
    assert all(before[ce_id].event_id == record.event_id for ce_id, record in referred.items())
    assert over.record.model_version == shipped().version and "dangerous events asked again" in first
    assert "nothing is done again" in ran(fed, tmp_path, "daily", "--until", f"{FIRST + timedelta(days=1):%Y-%m-%d}")
    assert len(results(fed, f"daily/{FIRST:%Y-%m-%d}")[0]) == len(found)


KILLED = """
import os, signal, sys
from aiokafka import AIOKafkaProducer
from cli import main, threat_runs

threat_runs.TOGETHER, commits = 50, [AIOKafkaProducer.commit_transaction] * 2

async def commit(producer):
    if not commits:
        os.kill(os.getpid(), signal.SIGKILL)  # what it has sent stands in the topics, and is not committed
    await commits.pop()(producer)

AIOKafkaProducer.commit_transaction = commit
main.app(["threat", *sys.argv[1:]])
"""


def test_a_day_that_is_killed_in_a_transaction_is_taken_up_and_nothing_stands_twice(fed: LocalBroker, tmp_path: Path) -> None:
    arguments, name = (
        ("daily", "--until", f"{MONDAY - timedelta(days=1):%Y-%m-%d}T02:00"),
        f"daily/{MONDAY - timedelta(days=1):%Y-%m-%d}T02:00:00Z",
    )
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], env=environment(fed, tmp_path), check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    ran(fed, tmp_path, *arguments)
    found, (over,) = results(fed, name)
    assert over.record.findings == len(found) > 150
    assert (
        len({header for event in found for header in event.headers if header[0] == "ce_time"}) > 2
    )  # those of the first run stand


def test_a_week_trains_and_promotes_once_and_a_step_back_is_one_command(fed: LocalBroker, tmp_path: Path) -> None:
    file = labels(tmp_path / "labels.csv")
    arguments = ("weekly", "--labels", str(file), "--epochs", "6")
    said = ran(fed, tmp_path, *arguments)
    _, (over,) = results(fed, period("weekly", datetime.now(UTC)).name)
    report = json.loads(over.record.report)
    assert over.record.promoted and over.record.events == COUNT and report["without_event"] == 1 and "in use from" in said
    assert Shelf(tmp_path / "vqc").current().version == over.record.model_version != shipped().version
    (tmp_path / "vqc" / "in-use.json").unlink()  # as if the run had been killed between its event and the promotion
    assert "nothing is done again" in ran(fed, tmp_path, *arguments)
    assert Shelf(tmp_path / "vqc").current().version == over.record.model_version
    back = subprocess.run(
        [Path(sys.executable).with_name("quantumai"), "threat", "roll-back", "--home", str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shipped().version in back.stdout and Shelf(tmp_path / "vqc").current().version == shipped().version
    ran(fed, tmp_path, *arguments)
    assert Shelf(tmp_path / "vqc").current().version == shipped().version


def test_a_month_is_counted_by_the_day_and_finished_days_are_not_read_again(fed: LocalBroker, tmp_path: Path) -> None:
    about, until = period("monthly", datetime.now(UTC), MONDAY), ("monthly", "--until", f"{MONDAY:%Y-%m-%d}")
    process, folder = start(fed, tmp_path, *until), tmp_path / "schedules" / about.name.replace(":", "")
    deadline = time.monotonic() + 90
    while len(list(folder.glob("day-*.json"))) < 8:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not results(fed, about.name)[1]
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("day-*.json")}
    assert len(kept) < len(about.days)
    ran(fed, tmp_path, *until)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(folder.glob("day-*.json"))) == len(about.days)
    _, (over,) = results(fed, about.name)
    report = json.loads(over.record.report)
    assert report["events"] == COUNT == sum(report["levels"].values()) and report["days_with_events"] == 4
    assert {path.name for path in folder.iterdir() if not path.name.startswith("day-")} == set(report["files"])
    assert "nothing is done again" in ran(fed, tmp_path, *until)
