"""Waiting times from queues and from what jobs really took."""

from datetime import timedelta

import pytest
from test_moving import Fleet


@pytest.fixture
def fleet(make):
    return Fleet(make, "a")


def waited(fleet, number):
    score = fleet.decide(number, "a").scores[0]
    return score.wait_seconds, score.jobs_ahead


def test_our_own_decisions_are_waited_for(fleet):
    """Each job runs 2 s."""
    assert [waited(fleet, number) for number in range(3)] == [(0.0, 0), (2.0, 1), (4.0, 2)]


def test_what_runs_counts_what_is_left_of_it_or_the_queue_that_the_backend_reports(fleet):
    routed = fleet.decide(0, "a")
    fleet.hear(routed)
    fleet.hear(routed, "RUNNING")
    fleet.time += timedelta(seconds=0.5)
    assert waited(fleet, 1)[0] == pytest.approx(1.5)
    fleet.becomes("a", queue_seconds=60.0)
    assert waited(fleet, 2)[0] == pytest.approx(62.0)  # 60 as reported, with ours in it, and the one that is not there yet


def test_the_pace_is_learned_from_what_jobs_took(fleet):
    for number in range(5):
        routed = fleet.decide(number, "a")
        fleet.hear(routed)
        fleet.hear(routed, "RUNNING")
        started = fleet.time
        fleet.time += timedelta(seconds=6)
        done = {"state": "DONE", "started_at": started, "updated_at": fleet.time, "routed": None}
        status = _status(fleet, routed).model_copy(update=done)
        fleet.scheduler.ledger.hear(status)
    assert fleet.scheduler.ledger.pace("a") == pytest.approx(3.0)
    fleet.decide(10, "a")
    assert waited(fleet, 11)[0] == pytest.approx(6.0)


def _status(fleet, routed):
    from schemas.jobs import JobStatus  # noqa: PLC0415

    return JobStatus(
        job_id=routed.job_id,
        tenant="default",
        state="QUEUED",
        backend="a",
        queued_at=fleet.time,
        routed_event_id="e",
        routed=routed,
    )


def test_a_decision_that_nobody_took_up_is_forgotten(fleet):
    fleet.decide(0, "a")
    fleet.time += timedelta(seconds=61)
    assert waited(fleet, 1) == (0.0, 0)


def test_equal_work_has_one_batch_and_other_work_another(fleet):
    one, other = fleet.decide(0, "a"), fleet.decide(1, "a")
    assert one.batch == other.batch != ""
    fleet.calibrations["b"] = fleet.make.calibration("b", published_at=fleet.time)
    assert fleet.decide(2, "b").batch != one.batch
