"""The demonstration's threats: the sample feeds in, scores out, some of them with a quantum backend's answer."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from rich.console import Group
from rich.markup import escape

from cli import screen
from cli.feed import feed_files
from schemas.dead_letter import DeadLetter
from schemas.manifests import ManifestSigned
from schemas.threats import ThreatEscalated, ThreatObserved, ThreatScored
from streams.client import Client
from threat.escalation import OPEN
from threat.feeds.answer import FEED_HEADER
from threat.levels import LEVELS

FEEDS = Path(__file__).resolve().parents[1] / "examples" / "feeds"
BUDGET = "8"
"""Escalations an hour: a demonstration shows a few, and shows that what is over is marked."""

PATIENCE_SECONDS = 60.0
SHOWN = 10


def ask_for_few() -> None:
    """Sets the budget of the platform that is about to start, unless somebody has set one."""
    os.environ.setdefault("QUANTUMAI_ESCALATIONS", BUDGET)


async def feed_samples(brokers: str) -> None:
    """Streams the sample feeds into threat.observed."""
    await feed_files(brokers, str(FEEDS))


async def scores(client: Client) -> dict[str, list[ThreatScored]]:
    """All scores by event, once every event has one and no escalation is open; what there is after a minute."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        found: defaultdict[str, list[ThreatScored]] = defaultdict(list)
        async for scored in client.records(ThreatScored):
            found[scored.record.event_id].append(scored.record)
        observed = {event.record.event_id async for event in client.records(ThreatObserved)}
        states = {event.record.event_id: event.record.state async for event in client.records(ThreatEscalated)}
        settled = observed == found.keys() and not any(state in OPEN for state in states.values())
        if settled or asyncio.get_running_loop().time() > deadline:
            return dict(found)
        await asyncio.sleep(0.3)


async def show_threats(client: Client) -> tuple[Group, list[str]]:
    """A table of levels, one of those that were escalated, and what is not as it should be."""
    found = await scores(client)
    dead = [event.record async for event in client.records(DeadLetter) if _from_feed(event.record)]
    levels = Counter(scored[-1].risk_level for scored in found.values())
    counts = ", ".join(f"{levels[level]} {level}" for level in reversed(LEVELS) if levels[level])
    summary = f"{len(found)} events scored: {counts}; {len(dead)} lines that could not be read are in dead.letter"
    table = screen.table(
        "entity", "level", "technique", "boosting", "VQC, exact", "backend", "shots", "VQC, backend", "signed in the log at"
    )
    answered = [scored for scored in found.values() if any(each.escalated for each in scored)]
    shown = answered[:SHOWN]
    signed = await _manifests(client, {scored[0].event_id: len(scored) for scored in shown})
    for scored in shown:
        table.add_row(*(escape(cell) for cell in _row(scored, signed[scored[0].event_id])))
    over = sum("budget" in (scored[-1].fallback_reason or "") for scored in found.values())
    problems = [] if found and answered else ["no threat was escalated"]
    problems += [f"{len(open_)} escalations are open"] if (open_ := [each for each in answered if len(each) != 2]) else []
    unsigned = sum(len(signed[scored[0].event_id]) < len(scored) for scored in shown)
    problems += [f"{unsigned} of the escalated threats shown lack a signed manifest"] if unsigned else []
    return Group(summary, table, f"{over} more were over the budget of escalations and are marked"), problems


async def _manifests(client: Client, due: Mapping[str, int]) -> Mapping[str, list[int]]:
    """The places in the log of the manifests of each event's scores, once all are signed; what there is after a minute."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        found: defaultdict[str, list[int]] = defaultdict(list)
        async for signed in client.records(ManifestSigned):
            if signed.record.event_topic == ThreatScored.topic and signed.record.subject in due:
                found[signed.record.subject].append(signed.record.index)
        if all(len(found[event]) >= count for event, count in due.items()) or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.3)


def _row(scored: list[ThreatScored], signed: list[int]) -> tuple[str, ...]:
    last = orjson.loads(scored[-1].finding)
    opinions = last["evidences"][0]["data"]["models"]
    technique = next((attack["technique"]["uid"] for attack in last["finding_info"].get("attacks", ())), "")
    exact: dict[str, Any] = next(
        (opinion for opinion in opinions if opinion["name"].startswith("vqc") and "shots" not in opinion), {}
    )
    device: dict[str, Any] = next((opinion for opinion in opinions if "shots" in opinion), {})
    said = [f"{opinion['probability']:.3f}" if opinion else "" for opinion in (opinions[0], exact, device)]
    where = (str(device.get("backend", "")), str(device.get("shots", "")))
    answer = f"{said[2]} ± {device['standard_error']:.3f}" if device else last["status_detail"]
    places = ", ".join(map(str, signed))
    return scored[-1].entity, scored[-1].risk_level, technique, said[0], said[1], *where, answer, places


def _from_feed(letter: DeadLetter) -> bool:
    return any(header.key == FEED_HEADER for header in letter.original_headers)
