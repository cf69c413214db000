"""Scheduled analyses on a whole platform: jobs on a backend, a run killed while it waits for them, and what an auditor finds."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from local_platform import LocalPlatform, eventually

from cli.feed import feed_files
from schemas.jobs import JobCompleted, JobRequested
from schemas.threats import ThreatAnalysed, ThreatObserved, ThreatScored
from streams.once import scheduled
from threat.schedules.daily import PREFIX
from threat.schedules.shelf import Shelf
from threat.vqc.model import Model, shipped

QUANTUMAI = Path(sys.executable).with_name("quantumai")
FEEDS = Path(__file__).parents[2] / "examples" / "feeds"
JOBS = 3

pytestmark = pytest.mark.slow


def promoted() -> Model:
    model = shipped()
    return Model(model.architecture, model.encoding, model.weights + 0.01, model.readout, model.baseline, model.about)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """With another model in use, one backend, and no escalations of its own."""
    local = LocalPlatform(tmp_path_factory.mktemp("platform"))
    shelf = Shelf(local.home / "vqc")
    shelf.keep(promoted())
    shelf.promote(promoted().version, "weekly/2026-W01")
    try:
        local.up({"QUANTUMAI_ESCALATIONS": "0", "QUANTUMAI_BACKENDS": "aer_noisy", "QUANTUMAI_BACKEND_WORKERS": "1"})
        yield local
    finally:
        local.down()


def start(command: list[str | Path]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ran(command: list[str | Path], **environment: str) -> str:
    given = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_jobs_of_a_run_that_is_killed_are_asked_once_and_all_is_signed(local: LocalPlatform) -> None:
    await feed_files(local.brokers, str(FEEDS))

    async def all_scored() -> bool:
        return len(await local.records(ThreatScored)) == len(await local.records(ThreatObserved)) > 100

    await eventually(all_scored)
    first = {event.event_id: event.record for event in await local.records(ThreatScored)}
    assert any(record.model_version.endswith(f"/{promoted().version}") for record in first.values())  # the agent uses the shelf's
    command = [QUANTUMAI, "threat", "daily", "--until", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}", "--backend", "aer_noisy"]
    command += ["--jobs", str(JOBS), "--home", str(local.home)]
    process = start(command)

    async def asked() -> bool:
        return len([event for event in await local.records(JobRequested) if event.record.job_id.startswith(PREFIX)]) > 0

    await eventually(asked)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert f"{JOBS} of {JOBS} jobs answered by aer_noisy" in ran(command)
    jobs = Counter(event.record.job_id for event in await local.records(JobRequested))
    assert len(jobs) == JOBS and set(jobs.values()) == {1}
    results = {event.record.job_id: event.record for event in await local.records(JobCompleted)}
    again = [event.record for event in await local.records(ThreatScored) if scheduled(event)]
    answered = [record for record in again if record.job_id]
    assert len(answered) == JOBS and len(again) == len({record.event_id for record in again}) > JOBS
    for record in answered:
        finding = orjson.loads(record.finding)
        assert first[finding["finding_info"]["related_events"][0]["uid"]].event_id == record.event_id
        said = finding["evidences"][0]["data"]["models"][-1]
        result = results[str(record.job_id)]
        assert (said["expectation"], said["shots"]) == (result.expectations[0].value, result.shots)
        assert said["backend"] == "aer_noisy" and abs(said["probability"] - said["exact"]) < 0.5

    async def signed() -> bool:
        return (await local.verify()).matched >= len(first) + len(again) + 1

    await eventually(signed)
    report = await local.verify()
    assert report.errors == () and len(await local.records(ThreatAnalysed)) == 1


def test_a_backend_that_does_not_answer_in_time_leaves_the_exact_answer(local: LocalPlatform) -> None:
    command = [QUANTUMAI, "threat", "daily", "--until", "1s", "--backend", "aer_noisy", "--jobs", "1", "--home", str(local.home)]
    assert "0 of 1 jobs answered" in ran(command, QUANTUMAI_ESCALATION_SECONDS="0.01")
