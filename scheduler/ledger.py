"""What is under way: the load of each backend and of each tenant, how long jobs really take, and whose turn it is.

Everything is learned from `job.status`, record by record; between a decision and its first status stands the decision itself.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from scheduler.fair import FairQueue
from schemas.jobs import JobRouted, JobState, JobStatus

_FINAL = ("DONE", "ERROR", "CANCELLED")
_UNHEARD_SECONDS = 60.0
"""A decision that no executor took up for so long is not counted as load any more: the job was over, or withdrawn."""

_REMEMBERED, _ENOUGH = 32, 4  # runs of a backend that its pace is the median of, and the fewest that say anything
_SLOWEST, _QUICKEST = 20.0, 0.05


@dataclass(frozen=True, slots=True)
class Open:
    """A job that is not over.

    Attributes:
        routed: the decision that it obeys.
        event_id: of the decision; empty until its status is heard.
        state: DECIDED, QUEUED or RUNNING.
        seconds: expected on the backend.
        usd: expected price.
        since: of this state.
    """

    routed: JobRouted
    event_id: str
    state: JobState | str
    seconds: float
    usd: float
    since: datetime


@dataclass(slots=True)
class Load:
    """What waits on one backend for jobs of ours.

    Attributes:
        jobs: that wait or run.
        waiting_seconds: expected work of those that do not run yet.
        running: job id -> the job, of those that run.
    """

    jobs: int
    waiting_seconds: float
    running: dict[str, Open]


class Ledger:
    """Follows all jobs that are not over; what is over leaves nothing but a few numbers for each backend."""

    def __init__(self) -> None:
        self.turns = FairQueue()
        self._open: dict[str, Open] = {}
        self._unheard: deque[tuple[datetime, str]] = deque()
        self._loads: dict[str, Load] = {}
        self._owed: dict[str, tuple[int, float]] = {}
        self._ratios: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def hear(self, status: JobStatus) -> None:
        """Takes the latest status of a job."""
        before = self._open.get(status.job_id)
        if status.state in _FINAL or status.routed is None:
            if before is not None and status.state == "DONE" and status.started_at is not None:
                self._ran(before, (status.updated_at - status.started_at).total_seconds())
            self._drop(status.job_id)
            return
        since = status.started_at if status.state == "RUNNING" and status.started_at else status.updated_at
        self._put(_opened(status.routed, status.routed_event_id, status.state, since))
        if status.state == "RUNNING":
            self.turns.started(status.routed.turn, status.routed.job.priority)

    def decided(self, routed: JobRouted) -> None:
        """Counts a decision as load before its status is heard; that of a moved job keeps the place of the old one until then."""
        if routed.decision == "ROUTED":
            self._put(_opened(routed, "", "DECIDED", routed.decided_at))
            self._unheard.append((routed.decided_at, routed.job_id))

    def forget_unheard(self, at: datetime) -> None:
        """Drops decisions that nobody took up."""
        while self._unheard and (at - self._unheard[0][0]).total_seconds() > _UNHEARD_SECONDS:
            _, job_id = self._unheard.popleft()
            found = self._open.get(job_id)
            if found is not None and found.state == "DECIDED":
                self._drop(job_id)

    def find(self, job_id: str) -> Open | None:
        """A job that is not over."""
        return self._open.get(job_id)

    def queued(self) -> Iterator[Open]:
        """The jobs that are known to wait, so that they can be moved."""
        return (job for job in self._open.values() if job.state == "QUEUED")

    def backlogs(self, at: datetime) -> Iterator[tuple[str, int, float, float]]:
        """(backend, jobs, seconds until those that run are over, seconds that those behind them take) where there are any."""
        for backend, load in self._loads.items():
            if load.jobs:
                pace = self.pace(backend)
                left = sum(max(0.0, job.seconds * pace - (at - job.since).total_seconds()) for job in load.running.values())
                yield backend, load.jobs, left, max(0.0, load.waiting_seconds) * pace

    def pace(self, backend: str) -> float:
        """Real seconds from start to end over expected ones, the median of the last runs; 1 while there are too few."""
        ratios = self._ratios.get(backend, ())
        return min(max(median(ratios), _QUICKEST), _SLOWEST) if len(ratios) >= _ENOUGH else 1.0

    def owed(self, tenant: str) -> tuple[int, float]:
        """(jobs, USD) of a tenant that are not over."""
        return self._owed.get(tenant, (0, 0.0))

    def _ran(self, job: Open, seconds: float) -> None:
        if job.seconds > 0 and job.routed.backend:
            self._ratios.setdefault(job.routed.backend, deque(maxlen=_REMEMBERED)).append(seconds / job.seconds)

    def _put(self, job: Open) -> None:
        self._drop(job.routed.job_id)
        self._open[job.routed.job_id] = job
        self._count(job, 1)

    def _drop(self, job_id: str) -> None:
        job = self._open.pop(job_id, None)
        if job is not None:
            self._count(job, -1)

    def _count(self, job: Open, sign: int) -> None:
        load = self._loads.setdefault(job.routed.backend or "", Load(0, 0.0, {}))
        load.jobs += sign
        if job.state != "RUNNING":
            load.waiting_seconds += sign * job.seconds
        elif sign > 0:
            load.running[job.routed.job_id] = job
        else:
            load.running.pop(job.routed.job_id, None)
        jobs, usd = self.owed(job.routed.job.tenant)
        self._owed[job.routed.job.tenant] = (jobs + sign, usd + sign * job.usd if jobs + sign else 0.0)
        if not self._owed[job.routed.job.tenant][0]:
            del self._owed[job.routed.job.tenant]
        if not load.jobs:
            load.waiting_seconds = 0.0  # what rounding has left


def _opened(routed: JobRouted, event_id: str, state: str, since: datetime) -> Open:
    advice = routed.recommendation
    usd = next((score.price_usd for score in routed.scores if score.backend == routed.backend), 0.0)
    return Open(routed, event_id, state, advice.execution_seconds if advice else 0.0, usd, since)
