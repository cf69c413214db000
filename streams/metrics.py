"""What a worker counts, for Prometheus. Job metrics are read off the events it publishes, so no room has to count them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from schemas.jobs import JobCompleted, JobStatus
from schemas.record import Record
from streams.handling import Outgoing

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG_SECONDS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0)
_EVENTS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)

EVENTS = Counter("quantumai_events_consumed", "Input events answered for", ["agent", "topic"])
PUBLISHED = Counter("quantumai_events_published", "Events published, by topic", ["agent", "topic"])
DEAD = Counter("quantumai_dead_letters", "Inputs sent to dead.letter", ["agent", "topic"])
RETRIES = Counter("quantumai_retries", "Times a handler was called again for an input", ["agent", "topic"])
BATCH = Histogram("quantumai_batch_events", "Input events per transaction", ["agent"], buckets=_EVENTS)
TRANSACTION = Histogram("quantumai_transaction_seconds", "From begin to committed", ["agent"], buckets=_SECONDS)
HANDLING = Histogram("quantumai_handling_seconds", "Decode, handle and encode one batch", ["agent"], buckets=_SECONDS)
LAG = Gauge("quantumai_consumer_lag", "Committed records not yet answered for", ["agent", "topic", "partition"])
ASSIGNED = Gauge("quantumai_partitions_assigned", "Input partitions that this worker holds", ["agent"])
REBALANCES = Counter("quantumai_rebalances", "Assignments received", ["agent"])

_SUBMITTED = Counter("quantum_jobs_submitted", "Jobs accepted for a backend", ["backend"])
_COMPLETED = Counter("quantum_jobs_completed", "Jobs that ran to a result", ["backend", "method"])
_FAILED = Counter("quantum_jobs_failed", "Jobs that ended without a result", ["backend", "status"])
_QUEUE = Histogram("quantum_job_queue_time_seconds", "From routed to started", ["backend"], buckets=_LONG_SECONDS)
_EXECUTION = Histogram("quantum_job_execution_time_seconds", "Time on the backend", ["backend"], buckets=_LONG_SECONDS)


def _job_status(status: JobStatus) -> None:
    if status.state == "QUEUED":
        _SUBMITTED.labels(status.backend).inc()


def _job_completed(done: JobCompleted) -> None:
    if done.status == "DONE":
        _COMPLETED.labels(done.backend, done.method).inc()
    else:
        _FAILED.labels(done.backend, done.status).inc()
    _QUEUE.labels(done.backend).observe(done.queue_seconds)
    _EXECUTION.labels(done.backend).observe(done.execution_seconds)


_OBSERVERS: Mapping[type[Record], Callable[[Any], None]] = MappingProxyType({JobStatus: _job_status, JobCompleted: _job_completed})


def observe(agent: str, outgoing: Sequence[Outgoing]) -> None:
    """Counts what a committed transaction published."""
    topics: dict[str, int] = {}
    for message in outgoing:
        topics[message.topic] = topics.get(message.topic, 0) + 1
        observer = _OBSERVERS.get(type(message.record))
        if observer is not None:
            observer(message.record)
    for topic, count in topics.items():
        PUBLISHED.labels(agent, topic).inc(count)
