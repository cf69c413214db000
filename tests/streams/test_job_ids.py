"""Job ids: valid for every name, never the same, and honest about their time."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import text
from pydantic import TypeAdapter

from schemas.record import Identifier
from streams.job_ids import job_id, not_before


@given(text())
def test_every_name_makes_an_id_that_says_when_it_was_made(name):
    made = TypeAdapter(Identifier).validate_python(job_id(name))
    assert timedelta(minutes=9) < datetime.now(UTC) - not_before(made) < timedelta(minutes=11)


def test_ids_differ_and_sort_by_time():
    first = job_id("a")
    time.sleep(0.002)
    ids = [first, *(job_id("a") for _ in range(2000))]
    assert len(set(ids)) == len(ids)
    assert min(ids) == first


@pytest.mark.parametrize("other", ["", "job-1", "a-" + "z" * 15, "a-" + "0" * 15, "h2-energy", "x" * 15, "ä" * 20])
def test_ids_of_others_say_nothing(other):
    assert not_before(other) is None


def test_a_job_id_of_a_future_clock_says_nothing(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: int((time.time() + 86_400) * 1e9))
    assert not_before(job_id("tomorrow")) is None
