"""Job metrics under exactly the names that dashboards ask for, counted from what was published."""

import re
import urllib.request
import uuid

import pytest
from fake_pipeline import BELL, completed, status

from schemas.jobs import JobRequested
from schemas.manifests import KmsAudit
from streams import metrics
from streams.handling import Outgoing
from streams.health import Health, serve

JOB = JobRequested(job_id="job", circuits=(BELL,))


@pytest.fixture
def backend():
    """A label of this test's own: counters live as long as the process."""
    return f"backend-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def port():
    server = serve("127.0.0.1", 0, Health("executor"))
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def scrape(port):
    """What Prometheus would store: sample with its labels -> value."""

    def scrape():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {sample: float(value) for sample, value in (line.rsplit(" ", 1) for line in lines)}

    return scrape


def published(*records):
    return [Outgoing(record.topic, 0, record.key, b"", [], record) for record in records]


def test_jobs_are_counted_under_the_agreed_names(backend, scrape):
    done = completed(JOB).model_copy(update={"backend": backend, "queue_seconds": 0.3, "execution_seconds": 40.0})
    states = [status(JOB, state).model_copy(update={"backend": backend}) for state in ("QUEUED", "RUNNING", "DONE", "QUEUED")]
    ended = [done.model_copy(update={"status": outcome, "error": "a sentence"}) for outcome in ("ERROR", "CANCELLED")]
    metrics.observe("executor", published(*states, done, *ended))
    found = {sample: value for sample, value in scrape().items() if backend in sample}
    assert found[f'quantum_jobs_submitted_total{{backend="{backend}"}}'] == 2
    assert found[f'quantum_jobs_completed_total{{backend="{backend}",method="zne"}}'] == 1
    assert found[f'quantum_jobs_failed_total{{backend="{backend}",status="ERROR"}}'] == 1
    assert found[f'quantum_jobs_failed_total{{backend="{backend}",status="CANCELLED"}}'] == 1
    assert found[f'quantum_job_queue_time_seconds_sum{{backend="{backend}"}}'] == pytest.approx(0.9)
    assert found[f'quantum_job_execution_time_seconds_sum{{backend="{backend}"}}'] == pytest.approx(120)
    assert found[f'quantum_job_execution_time_seconds_bucket{{backend="{backend}",le="30.0"}}'] == 0
    assert found[f'quantum_job_execution_time_seconds_bucket{{backend="{backend}",le="60.0"}}'] == 3
    names = {re.split(r"[{ ]", sample)[0] for sample in found}
    assert {re.sub("_(bucket|count|sum|created)$", "", name) for name in names if not name.endswith("_created")} == {
        "quantum_jobs_submitted_total",
        "quantum_jobs_completed_total",
        "quantum_jobs_failed_total",
        "quantum_job_queue_time_seconds",
        "quantum_job_execution_time_seconds",
    }


def test_what_is_published_is_counted_by_topic(backend, scrape):
    record = KmsAudit(kid="k", actor="a", action="b", outcome="SUCCESS", algorithm="none")
    metrics.observe(backend, published(record, record, JOB))
    found = scrape()
    assert found[f'quantumai_events_published_total{{agent="{backend}",topic="kms.audit"}}'] == 2
    assert found[f'quantumai_events_published_total{{agent="{backend}",topic="job.requested"}}'] == 1
