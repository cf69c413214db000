"""Where a job is: the same view, in whatever order its records arrive."""

from datetime import UTC, datetime, timedelta

import pytest
from fake_pipeline import completed, dead_letter, job_fields, routed, status
from hypothesis import given
from hypothesis.strategies import permutations

from schemas.jobs import JobRequested
from schemas.manifests import KmsAudit
from streams.progress import Job, JobFailedError

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB = JobRequested(**job_fields(job_id="j"), requested_at=START)


def _at(seconds, record, field):
    return record.model_copy(update={field: START + timedelta(seconds=seconds)})


HISTORY = (
    JOB,
    _at(1, dead_letter("em.recommended", 0, b"j", b"", (), reason="no calibration"), "failed_at"),
    _at(2, routed(JOB, backend="first"), "decided_at"),
    _at(3, status(JOB, "QUEUED"), "updated_at"),
    _at(4, routed(JOB, backend="second"), "decided_at"),
    _at(5, status(JOB, "RUNNING"), "updated_at"),
    _at(6, completed(JOB), "completed_at"),
)
STATES = ("REQUESTED", "DEAD_LETTERED", "ROUTED", "QUEUED", "QUEUED", "RUNNING", "DONE")


def _fold(records):
    job = Job("j")
    for record in records:
        job = job.fold(record)
    return job


@pytest.mark.parametrize("seen", range(1, len(HISTORY) + 1))
def test_the_state_is_what_the_latest_record_says(seen):
    assert _fold(HISTORY[:seen]).state == STATES[seen - 1]


@given(permutations(HISTORY))
def test_order_and_repetition_do_not_matter(records):
    job = _fold([*records, *records])
    assert job == _fold(HISTORY)
    assert (job.state, job.backend, job.status.state, job.changed_at) == ("DONE", "second", "RUNNING", START + timedelta(seconds=6))


def test_a_status_that_says_done_is_not_yet_a_result():
    job = _fold([JOB, status(JOB, "DONE")])
    assert (job.state, job.over) == ("DONE", False)
    with pytest.raises(JobFailedError):
        job.result()


def test_what_is_not_about_its_way_changes_nothing():
    job = Job("j")
    assert job.fold(dead_letter("manifest.requested", 0, b"j", b"", ())) is job
    assert job.fold(KmsAudit(kid="j", actor="a", action="sign", outcome="SUCCESS", algorithm="x")) is job
    assert job.state == "UNKNOWN"
