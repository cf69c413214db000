"""Feeds on a real broker: nothing lost and nothing doubled, whatever is killed, rotated, truncated or alike."""

import asyncio
import gzip
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

from cli.feed import feed_files
from schemas.dead_letter import DeadLetter
from schemas.threats import FeedPosition, ThreatObserved
from streams.broker import LocalBroker
from streams.client import Client

QUANTUMAI = Path(sys.executable).with_name("quantumai")


PADDING = "x" * 400


def line(number: object, mark: str) -> bytes:
    """An EVE line that no other test writes."""
    host = f"{mark}/{number}"
    return json.dumps(
        {"timestamp": "2026-11-21T08:00:00+0000", "event_type": "flow", "src_ip": "192.0.2.1", "host": host, "padding": PADDING}
    ).encode()


def lines(count: int, mark: str, first: int = 0) -> bytes:
    return b"".join(line(number, mark) + b"\n" for number in range(first, first + count))


async def fed(broker: LocalBroker, mark: str) -> Counter[str]:
    """How often each line of that mark is in threat.observed."""
    async with Client(broker.bootstrap) as client:
        began = datetime.now(UTC) - timedelta(seconds=100)
        hosts = [json.loads(event.record.raw)["host"] async for event in client.records(ThreatObserved, began)]
    return Counter(host.removeprefix(f"{mark}/") for host in hosts if host.startswith(f"{mark}/"))


def once(count: int) -> dict[str, int]:
    return {str(number): 1 for number in range(count)}


async def test_a_file_that_grows_is_read_on_from_where_it_was_left(broker: LocalBroker, tmp_path: Path) -> None:
    file = tmp_path / "eve.json"
    file.write_bytes(lines(3, "grows") + line(3, "grows")[:20])
    told = await feed_files(broker.bootstrap, str(file))
    assert (sum(told.events.values()), sum(told.dead.values())) == (3, 1)
    told = await feed_files(broker.bootstrap, str(file))
    assert not told.events and not told.dead  # the unfinished line is told once
    file.write_bytes(lines(5, "grows"))
    await feed_files(broker.bootstrap, str(file))
    assert await fed(broker, "grows") == once(5)


async def test_a_last_line_without_its_end_is_an_event_once(broker: LocalBroker, tmp_path: Path) -> None:
    file = tmp_path / "eve.json"
    file.write_bytes(lines(2, "unended").rstrip(b"\n"))
    await feed_files(broker.bootstrap, str(file))
    file.write_bytes(lines(4, "unended"))
    await feed_files(broker.bootstrap, str(file))
    assert await fed(broker, "unended") == once(4)


async def test_files_that_begin_alike_are_told_apart_and_a_copy_is_recognised(broker: LocalBroker, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(lines(3, "alike"))
    (tmp_path / "b.json").write_bytes(lines(1, "alike") + lines(2, "alike", first=3))
    (tmp_path / "copy.json.gz").write_bytes(gzip.compress(lines(3, "alike")))
    for _ in range(2):
        await feed_files(broker.bootstrap, str(tmp_path))
    assert await fed(broker, "alike") == {"0": 2, "1": 1, "2": 1, "3": 1, "4": 1}  # the first line stands in two files


async def test_what_was_rotated_away_between_two_runs_is_read_first(broker: LocalBroker, tmp_path: Path) -> None:
    file = tmp_path / "eve.json"
    (tmp_path / "eve.json.9").write_bytes(lines(2, "older than the feed"))
    os.utime(tmp_path / "eve.json.9", (1, 1))
    file.write_bytes(lines(3, "rotated"))
    await feed_files(broker.bootstrap, str(file))
    (tmp_path / "eve.json.2").write_bytes(lines(5, "rotated"))
    (tmp_path / "eve.json.1").write_bytes(lines(2, "rotated", first=5))
    file.write_bytes(lines(2, "rotated", first=7))
    for age, name in enumerate(("eve.json", "eve.json.1", "eve.json.2")):
        os.utime(tmp_path / name, (time.time() - age * 60, time.time() - age * 60))
    await feed_files(broker.bootstrap, str(file))
    assert await fed(broker, "rotated") == once(9)
    assert await fed(broker, "older than the feed") == {}


async def test_dead_letters_of_all_kinds_of_damage_stand_beside_the_events(broker: LocalBroker, tmp_path: Path) -> None:
    file = tmp_path / "damaged.json"
    file.write_bytes(lines(1, "damage") + b"x" * (1024 * 1024 + 5) + b"\n\n\xff\xfe{\n" + lines(1, "damage", first=1))
    await feed_files(broker.bootstrap, str(file))
    async with Client(broker.bootstrap) as client:
        letters = [event.record async for event in client.records(DeadLetter) if event.record.original_topic == str(file)]
        positions = [event.record async for event in client.records(FeedPosition) if event.record.path == str(file)]
    assert await fed(broker, "damage") == once(2)
    assert [(letter.original_partition, len(letter.original_value or b"")) for letter in letters] == [(2, 4096), (4, 3)]
    assert positions[-1].offset == file.stat().st_size and positions[-1].line == 5


@pytest.mark.parametrize("moment", [0.0, pytest.param(0.1, marks=pytest.mark.slow), pytest.param(0.3, marks=pytest.mark.slow)])
async def test_a_feed_that_is_killed_half_way_loses_and_doubles_nothing(broker: LocalBroker, tmp_path: Path, moment: float) -> None:
    mark, count = f"killed-{moment}", 10_000
    file = tmp_path / "eve.json"
    file.write_bytes(lines(count, mark))
    environment = {**os.environ, "QUANTUMAI_BROKERS": broker.bootstrap}
    process = _start(["feed", str(file)], environment)
    deadline = time.monotonic() + 60
    while not await fed(broker, mark) and process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - as below
        await asyncio.sleep(0.05)
    await asyncio.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(await fed(broker, mark))
    await feed_files(broker.bootstrap, str(file))
    assert 0 < before <= count
    assert await fed(broker, mark) == once(count)


async def test_a_followed_file_is_read_past_rotation_and_truncation(broker: LocalBroker, tmp_path: Path) -> None:
    file, environment = tmp_path / "eve.json", {**os.environ, "QUANTUMAI_BROKERS": broker.bootstrap}
    file.write_bytes(lines(2, "followed"))
    process = _start(["feed", str(file), "--follow"], environment)
    try:
        await _until(broker, "followed", 2)
        with file.open("ab") as log:
            log.write(lines(1, "followed", first=2) + line(3, "followed")[:10])
        await _until(broker, "followed", 3)
        with file.open("ab") as log:
            log.write(line(3, "followed")[10:] + b"\n")
        file.rename(tmp_path / "eve.json.1")
        file.write_bytes(lines(2, "followed", first=4))
        await _until(broker, "followed", 6)
        file.write_bytes(lines(1, "followed", first=6))  # truncated, and shorter than before
        await _until(broker, "followed", 7)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert await fed(broker, "followed") == once(7)


def _start(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([QUANTUMAI, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _until(broker: LocalBroker, mark: str, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await fed(broker, mark)) < count:  # noqa: ASYNC110 - the broker does not tell
            await asyncio.sleep(0.5)
