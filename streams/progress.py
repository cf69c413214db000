"""Where a job is: one view folded from its records, in whatever order they arrive."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schemas.dead_letter import DeadLetter
from schemas.jobs import EmRecommended, JobCompleted, JobRequested, JobRouted, JobStatus
from schemas.record import Record
from streams.errors import StreamsError

FOLLOWED: tuple[type[Record], ...] = (JobRouted, JobStatus, JobCompleted, DeadLetter)
"""Topics that say how a job goes on once it is requested."""

_PATH = {kind.topic for kind in (JobRequested, EmRecommended, JobRouted)}  # a dead letter from here stops the job


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of one job.

    Attributes:
        job_id: its id.
        requested: what was asked for; None where it was not read.
        routed: the latest decision of the scheduler.
        status: the latest word of the executor.
        completed: the result.
        dead: why an agent could not handle it.
    """

    job_id: str
    requested: JobRequested | None = None
    routed: JobRouted | None = None
    status: JobStatus | None = None
    completed: JobCompleted | None = None
    dead: DeadLetter | None = None

    @property
    def state(self) -> str:
        """UNKNOWN, REQUESTED, ROUTED, QUEUED, RUNNING; at the end REJECTED, DEAD_LETTERED, DONE, ERROR or CANCELLED."""
        if self.completed is not None:
            return self.completed.status
        if self.dead is not None and self.dead.failed_at == self.changed_at:  # nothing has gone on since: it was not retried
            return "DEAD_LETTERED"
        if self.routed is not None and self.routed.decision == "REJECTED":
            return "REJECTED"
        if self.status is not None:
            return self.status.state
        if self.routed is not None:
            return "ROUTED"
        return "UNKNOWN" if self.requested is None else "REQUESTED"

    @property
    def over(self) -> bool:
        """Nothing more is to be expected; what there is to know is here, the result of a run included."""
        return self.completed is not None or self.state in ("REJECTED", "DEAD_LETTERED")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was rejected or failed, or why the chosen backend won."""
        if self.completed is not None and self.completed.error:
            return (self.completed.error,)
        if self.dead is not None and self.state == "DEAD_LETTERED":
            return (f"the {self.dead.agent} agent could not handle it: {self.dead.reason}",)
        return self.routed.reasons if self.routed is not None else ()

    @property
    def request(self) -> JobRequested | None:
        """What was asked for, wherever it was read."""
        return self.requested or (self.routed.job if self.routed is not None else None)

    @property
    def backend(self) -> str:
        """The chosen backend, empty while there is none."""
        return (self.routed.backend if self.routed is not None else None) or (
            self.status.backend if self.status is not None else ""
        )

    @property
    def method(self) -> str:
        """The chosen mitigation method, empty while there is none."""
        if self.completed is not None:
            return self.completed.method
        recommendation = self.routed.recommendation if self.routed is not None else None
        return recommendation.method if recommendation is not None else ""

    @property
    def changed_at(self) -> datetime | None:
        """The time of its latest record."""
        return max((when for field in _TIMES if (when := _time(getattr(self, field), field)) is not None), default=None)

    def fold(self, record: Record) -> "Job":
        """The job with one more of its records; an older record than the one at hand changes nothing."""
        field = _FIELDS.get(type(record))
        if field is None or (isinstance(record, DeadLetter) and record.original_topic not in _PATH):
            return self
        held, new = _time(getattr(self, field), field), _time(record, field)
        if held is not None and new is not None and held > new:
            return self
        change: dict[str, Any] = {field: record}
        return replace(self, **change)

    def result(self) -> JobCompleted:
        """The result of a job that is DONE.

        Raises:
            JobRejectedError: the scheduler rejected it.
            JobFailedError: it ended otherwise, or has not ended.
        """
        if self.completed is not None and self.completed.status == "DONE":
            return self.completed
        if self.state == "REJECTED":
            raise JobRejectedError(self)
        raise JobFailedError(self)


class JobFailedError(StreamsError):
    """A job that has no result.

    Attributes:
        job: what is known of it.
        reasons: all reasons, in sentences.
    """

    verb = "ended as {state}"

    def __init__(self, job: Job) -> None:
        self.job, self.reasons = job, job.reasons
        because = "; ".join(job.reasons) or "no reason was given"
        super().__init__(f"job {job.job_id} {self.verb.format(state=job.state)}: {because}")


class JobRejectedError(JobFailedError):
    """The scheduler found no backend that may run the job."""

    verb = "was rejected"


class JobTimeoutError(StreamsError):
    """A job was not over in time; it goes on."""


_FIELDS: dict[type[Record], str] = {
    JobRequested: "requested",
    JobRouted: "routed",
    JobStatus: "status",
    JobCompleted: "completed",
    DeadLetter: "dead",
}
_TIMES = {
    "requested": "requested_at",
    "routed": "decided_at",
    "status": "updated_at",
    "completed": "completed_at",
    "dead": "failed_at",
}


def _time(record: Record | None, field: str) -> datetime | None:
    return None if record is None else getattr(record, _TIMES[field])
