"""The benchmark's chaos in its short form: kill -9 of workers and of the broker, and what came out, counted."""

import logging
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.chaos import Report, chaos


@pytest.fixture(autouse=True)
def _expected_noise() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # of a broker that is killed


async def test_two_killed_workers_and_a_killed_broker_lose_double_and_disorder_nothing(tmp_path: Path) -> None:
    report = Report(events=8000, seed=1)
    await chaos(tmp_path, report, rate=400.0, every=6.0, kills="wwb")
    counted = asdict(report)
    assert report.worker_kills >= 2 and report.broker_kills >= 1, counted
    assert report.exact, counted
    assert report.outputs >= 8000
    assert report.longest_standstill_seconds <= 30, counted
