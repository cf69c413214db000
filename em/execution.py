"""The executor's domain: routed jobs become runs on backends, runs become results, whoever is killed in between.

A job's state lives in `job.status` alone. `accept` says QUEUED and touches nothing; `poll`, once that is committed, submits
under the decision's id as the vendor's tag, or attaches to what an earlier process submitted under it.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from backends.adapter import Backend
from backends.errors import BackendBusyError, BackendError
from backends.registry import Fleet
from em.completion import completed, failed
from em.errors import EmError
from em.planning import Plan, plan
from schemas.cloudevents import Event
from schemas.errors import InputError
from schemas.jobs import JobCancel, JobCompleted, JobRouted, JobStatus, Superseded
from schemas.record import Record, now

FINAL = ("DONE", "ERROR", "CANCELLED")

MAX_ATTEMPTS = 6
"""Failures of a backend before a job is given up: with the pauses between them about six seconds."""

FIRST_PAUSE = timedelta(seconds=0.2)


class Held(Protocol):
    """The statuses of the jobs of the partitions that this worker holds."""

    def partition(self, partition: int) -> Mapping[str, JobStatus]:
        """Job id -> status, of one partition."""

    def find(self, key: str) -> JobStatus | None:
        """The status of a job in whichever partition held here, None where there is none."""


@dataclass(slots=True)
class _Flight:
    """What this process knows of a job beyond its status."""

    decision: str
    backend: str
    vendor_job_id: str | None = None
    attempts: int = 0
    not_before: datetime | None = None
    plan: Plan | None = None


class Execution:
    """Runs routed jobs.

    Args:
        backends: by name.
        held: this worker's jobs, which it alone writes.
        cancels: job id -> its withdrawal.
        at_once: jobs submitted and not yet finished, all partitions together; the others stay QUEUED, so that the
            pool is not flooded and a job of higher priority can overtake.
        clock: the time, UTC.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        held: Held,
        cancels: Mapping[str, JobCancel],
        at_once: int = 64,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._backends = backends
        self._held = held
        self._cancels = cancels
        self._at_once = at_once
        self._clock = clock
        self._flights: dict[str, _Flight] = {}

    def start(self) -> None:
        """Warms what simulates, so that the first job need not wait for it."""
        if isinstance(self._backends, Fleet):
            self._backends.warm()

    def stop(self) -> None:
        """Ends what simulates."""
        if isinstance(self._backends, Fleet):
            self._backends.close()

    def accept(self, routed: Event[JobRouted]) -> JobStatus | None:
        """QUEUED, with the decision inside; None if there is nothing to run: rejected, run before, or replaced since."""
        decision = routed.record
        if decision.decision == "REJECTED" or decision.backend is None:
            return None
        earlier = self._held.find(decision.job_id)
        if not _replaces(routed, earlier):
            return None
        at = self._clock()
        return JobStatus(
            job_id=decision.job_id,
            tenant=decision.job.tenant,
            state="QUEUED",
            backend=decision.backend,
            queued_at=at,
            updated_at=at,
            routed_event_id=routed.event_id,
            routed=decision,
            superseded=_superseded(earlier),
        )

    def poll(self, partition: int) -> list[Record]:
        """What has happened to the jobs of a partition since the last call; submits what can start. Never waits."""
        open_jobs = [status for status in self._held.partition(partition).values() if status.state not in FINAL]
        records: list[Record] = []
        waiting: list[JobStatus] = []
        for status in open_jobs:
            flight = self._flight(status)
            if status.job_id in self._cancels:
                records += self._safely(self._cancelled, status, flight)
            elif flight.vendor_job_id is not None:
                records += self._safely(self._followed, status, flight)
            elif flight.not_before is None or flight.not_before <= self._clock():
                waiting.append(status)
        for status in sorted(heapq.nsmallest(self._free(), waiting, key=_urgency), key=_batch) if waiting else ():
            records += self._safely(self._launched, status, self._flight(status))
        return records

    def _free(self) -> int:
        """How many more jobs may be submitted; forgets those whose partition another worker has taken over."""
        for job_id in list(self._flights):
            if self._held.find(job_id) is None:
                self._flights.pop(job_id, None)
        return max(0, self._at_once - sum(flight.vendor_job_id is not None for flight in list(self._flights.values())))

    def _flight(self, status: JobStatus) -> _Flight:
        """The job's flight under its present decision; a run under an earlier one is cancelled."""
        flight = self._flights.get(status.job_id)
        if flight is not None and flight.decision == status.routed_event_id:
            return flight
        if flight is not None and flight.vendor_job_id is not None:
            self._backends[flight.backend].cancel(flight.vendor_job_id)
        self._flights[status.job_id] = _Flight(status.routed_event_id, status.backend)
        return self._flights[status.job_id]

    def _safely(
        self, step: Callable[[JobStatus, _Flight, Backend], list[Record]], status: JobStatus, flight: _Flight
    ) -> list[Record]:
        """A step; what the job or its counts are to blame for ends it, what the backend is to blame for is tried again."""
        backend = self._backends.get(status.backend)
        if backend is None:
            return self._over(status, failed(status, "ERROR", f"this executor has no backend {status.backend!r}", self._clock()))
        try:
            return step(status, flight, backend)
        except (InputError, EmError) as error:
            return self._over(status, failed(status, "ERROR", str(error), self._clock()))
        except BackendBusyError as busy:
            flight.not_before = self._clock() + timedelta(seconds=busy.seconds)
            return []
        except Exception as error:  # whatever befalls one job must not stop the others of its partition
            flight.attempts += 1
            flight.vendor_job_id = None
            flight.not_before = self._clock() + FIRST_PAUSE * 2 ** (flight.attempts - 1)
            if flight.attempts < MAX_ATTEMPTS:
                return []
            last = str(error) if isinstance(error, BackendError) else f"{type(error).__name__}: {error}"
            sentence = f"{status.backend} failed {flight.attempts} times, last: {last}"
            return self._over(status, failed(status, "ERROR", sentence, self._clock()))

    def _launched(self, status: JobStatus, flight: _Flight, backend: Backend) -> list[Record]:
        tag = status.routed_event_id
        vendor_job_id = backend.attach(tag)
        if vendor_job_id is None:
            deadline = status.routed.job.deadline if status.routed else None
            if deadline is not None and deadline < self._clock() and status.state == "QUEUED":
                sentence = f"the deadline {deadline.isoformat()} passed before the job could start"
                return self._over(status, failed(status, "ERROR", sentence, self._clock()))
            self._withdrawn(status)
            vendor_job_id = backend.submit(self._plan(status, flight).work, tag)
        flight.vendor_job_id = vendor_job_id
        return self._running(status, vendor_job_id)

    def _withdrawn(self, status: JobStatus) -> None:
        """Takes back what a process submitted for a superseded decision just before it was killed, and could not say."""
        for decision in status.superseded:
            before = self._backends.get(decision.backend)
            vendor_job_id = before.attach(decision.routed_event_id) if before is not None else None
            if before is not None and vendor_job_id is not None:
                before.cancel(vendor_job_id)

    def _followed(self, status: JobStatus, flight: _Flight, backend: Backend) -> list[Record]:
        vendor_job_id = flight.vendor_job_id or ""
        if status.state == "QUEUED" or status.vendor_job_id != vendor_job_id:
            return self._running(status, vendor_job_id)
        result = backend.result(vendor_job_id)
        if result is None:
            return []
        with _ours():
            over = completed(status, self._plan(status, flight), result, self._clock())
        return self._over(status, over)

    def _running(self, status: JobStatus, vendor_job_id: str) -> list[Record]:
        """RUNNING under a vendor's id, said once."""
        if status.state == "RUNNING" and status.vendor_job_id == vendor_job_id:
            return []
        at = self._clock()
        started_at = status.started_at or at
        return [
            status.model_copy(
                update={"state": "RUNNING", "vendor_job_id": vendor_job_id, "started_at": started_at, "updated_at": at}
            )
        ]

    def _cancelled(self, status: JobStatus, flight: _Flight, backend: Backend) -> list[Record]:
        cancel = self._cancels[status.job_id]
        vendor_job_id = flight.vendor_job_id or backend.attach(status.routed_event_id)
        if vendor_job_id is not None:
            backend.cancel(vendor_job_id)
        sentence = f"cancelled by {cancel.cancelled_by}: {cancel.reason}"
        return self._over(status, failed(status, "CANCELLED", sentence, self._clock()))

    def _over(self, status: JobStatus, records: tuple[JobStatus, JobCompleted]) -> list[Record]:
        self._flights.pop(status.job_id, None)
        return list(records)

    def _plan(self, status: JobStatus, flight: _Flight) -> Plan:
        if flight.plan is None:
            if status.routed is None:
                raise EmError(f"job {status.job_id} is in flight without its decision")
            with _ours():
                flight.plan = plan(status.routed)
        return flight.plan


@contextmanager
def _ours() -> Iterator[None]:
    """Steps of this program: no backend is to blame for what fails here, and trying again cannot help."""
    try:
        yield
    except (InputError, EmError):
        raise
    except Exception as error:
        raise EmError(f"a fault of this program, not of the job or the backend: {type(error).__name__}: {error}") from error


def subject(record: Record) -> tuple[str, str]:
    """What names an output of `poll`: (job id, state), the state with all that makes it another event when said again."""
    if isinstance(record, JobStatus):
        return record.job_id, f"{record.topic}/{record.state}/{record.routed_event_id}/{record.vendor_job_id or ''}"
    if isinstance(record, JobCompleted):
        return record.job_id, f"{record.topic}/{record.status}/{record.routed_event_id}"
    raise TypeError(f"the executor does not write {type(record).__name__}")


def _replaces(routed: Event[JobRouted], earlier: JobStatus | None) -> bool:
    """Whether a decision takes the place of the run that `earlier` tells of, or is the job's first."""
    if earlier is None:
        return routed.record.moves_from is None  # what is moved must be held here, or it would run twice
    if earlier.state in FINAL or routed.event_id == earlier.routed_event_id:
        return False
    if routed.record.moves_from is not None and earlier.state != "QUEUED":
        return False  # it is moved only as long as it does not run
    return routed.record.supersedes == earlier.routed_event_id


def _superseded(earlier: JobStatus | None) -> tuple[Superseded, ...]:
    return (
        ()
        if earlier is None
        else (*earlier.superseded, Superseded(backend=earlier.backend, routed_event_id=earlier.routed_event_id))
    )


def _urgency(status: JobStatus) -> tuple[bool, float, int, datetime, str]:
    """Jobs that ran before a crash first, then by their turn among the tenants, then by priority, then by age."""
    turn, priority = (status.routed.turn, status.routed.job.priority) if status.routed else (0.0, 0)
    return status.state != "RUNNING", turn, -priority, status.queued_at, status.job_id


def _batch(status: JobStatus) -> str:
    """Of those that start together, what compiles alike starts one behind the other."""
    return status.routed.batch if status.routed else ""
