"""A fleet with finite capacity, day after day, under a scoring policy: the live scheduler on a clock that does not wait.

Decisions, moves, turns and the order in which jobs start are the live code's (`Scheduler`, `Ledger`, `FairQueue`); played is what
lies outside: arrivals, one job at a time on each backend, new calibrations once a day, and the fidelity that a run achieves.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Protocol

import numpy as np

from scheduler.ledger import Ledger
from scheduler.market import DAY_SECONDS
from scheduler.routing import Scheduler
from scheduler.tenants import Tenant
from scheduler.workload import Arrival
from schemas.calibration import CalibrationUpdated
from schemas.jobs import EmRecommended, JobRequested, JobRouted, JobState, JobStatus
from schemas.mitigation import Recommendation

_SPREAD = 0.1  # standard deviation of the logarithm of real over expected seconds


class World(Protocol):
    """What is outside the scheduler; whoever simulates brings it."""

    def calibrations(self, day: int) -> Sequence[CalibrationUpdated]:
        """Of each backend, as published on a day."""

    def advice(self, job: JobRequested, kind: str, day: int) -> EmRecommended:
        """The policy's advice under a day's calibrations."""

    def achieved(self, kind: str, day: int, advice: Recommendation) -> float:
        """The fidelity that a run really has on a day's device, in [0, 1]; no prediction."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one job; times in seconds since the beginning.

    Attributes:
        backend: empty where the job was rejected.
        moved: how often it was decided again.
        hit: whether it was over in time and good enough.
    """

    job_id: str
    tenant: str
    kind: str
    backend: str
    method: str
    arrived: float
    started: float
    finished: float
    fidelity: float
    expected_fidelity: float
    cost_usd: float
    moved: int
    hit: bool
    reasons: str = ""


@dataclass(slots=True)
class _Job:
    arrival: Arrival
    routed: JobRouted
    event_id: str
    queued_at: datetime
    moved: int = 0
    started: float = 0.0


@dataclass(slots=True)
class _Device:
    queue: list[tuple[float, int, datetime, str, str]] = field(default_factory=list)
    running: bool = False


class Simulation:
    """One run of a workload.

    Args:
        arrivals: by time.
        world: what is outside.
        scoring: name of the scoring policy.
        start: the date of day 0.
        seed: of real durations.
        tenants: shares and quotas.
    """

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        world: World,
        scoring: str,
        *,
        start: datetime,
        seed: int = 0,
        tenants: Mapping[str, Tenant] | None = None,
    ) -> None:
        self._arrivals, self._world, self._start = arrivals, world, start
        self._now = 0.0
        self._calibrations: dict[str, CalibrationUpdated] = {}
        self.scheduler = Scheduler(self._calibrations, scoring, self._time, tenants=tenants, ledger=Ledger())
        self._devices: dict[str, _Device] = {}
        self._jobs: dict[str, _Job] = {}
        self._events: list[tuple[float, int, Callable[[], Iterator[Ran]]]] = []
        self._order = count()
        self._draw = np.random.default_rng(seed)

    def run(self) -> Iterator[Ran]:
        """Every job, as it is over or rejected."""
        last = self._arrivals[-1].seconds if self._arrivals else 0.0
        for day in range(int(last // DAY_SECONDS) + 1):
            self._at(day * DAY_SECONDS, partial(self._new_day, day))
        for arrival in self._arrivals:
            self._at(arrival.seconds, partial(self._arrive, arrival))
        while self._events:
            self._now, _, happens = heapq.heappop(self._events)
            yield from happens()

    def _at(self, seconds: float, happens: Callable[[], Iterator[Ran]]) -> None:
        heapq.heappush(self._events, (seconds, next(self._order), happens))

    def _time(self) -> datetime:
        return self._start + timedelta(seconds=self._now)

    @property
    def _day(self) -> int:
        return int(self._now // DAY_SECONDS)

    def _new_day(self, day: int) -> Iterator[Ran]:
        dated = {"published_at": self._time(), "taken_at": self._time()}
        fresh = [each.model_copy(update=dated) for each in self._world.calibrations(day)]
        self._calibrations.update({each.backend: each for each in fresh})
        for calibration in fresh:
            for routed in self.scheduler.reconsider(calibration):
                job = self._jobs[routed.job_id]
                job.routed, job.moved, job.event_id = routed, job.moved + 1, f"{routed.job_id}/{job.moved + 1}"
                self._queue(job)
        yield from ()

    def _arrive(self, arrival: Arrival) -> Iterator[Ran]:
        routed = self.scheduler.route(self._world.advice(arrival.job, arrival.kind, self._day))
        if routed.backend is None:
            yield self._ran(arrival, routed, None)
            return
        job = self._jobs[routed.job_id] = _Job(arrival, routed, f"{routed.job_id}/0", self._time())
        self._queue(job)

    def _queue(self, job: _Job) -> None:
        """As the executor takes a decision, and orders those that wait."""
        self._say(job, "QUEUED")
        routed, device = job.routed, self._devices.setdefault(job.routed.backend or "", _Device())
        place = (routed.turn, -routed.job.priority, job.queued_at, routed.job_id, job.event_id)
        heapq.heappush(device.queue, place)
        self._start_next(device)

    def _start_next(self, device: _Device) -> None:
        while device.queue and not device.running:
            *_, job_id, event_id = heapq.heappop(device.queue)
            job = self._jobs.get(job_id)
            if job is None or job.event_id != event_id or job.routed.recommendation is None:
                continue  # it was moved
            device.running, job.started = True, self._now
            self._say(job, "RUNNING")
            seconds = job.routed.recommendation.execution_seconds * float(np.exp(self._draw.normal(0.0, _SPREAD)))
            self._at(self._now + seconds, partial(self._finish, job, device, self._day))

    def _finish(self, job: _Job, device: _Device, day: int) -> Iterator[Ran]:
        self._say(job, "DONE")
        del self._jobs[job.routed.job_id]
        device.running = False
        self._start_next(device)
        yield self._ran(job.arrival, job.routed, job, day)

    def _say(self, job: _Job, state: JobState) -> None:
        started = None if state == "QUEUED" else self._start + timedelta(seconds=job.started)
        self.scheduler.ledger.hear(
            JobStatus(
                job_id=job.routed.job_id,
                tenant=job.routed.job.tenant,
                state=state,
                backend=job.routed.backend or "",
                queued_at=job.queued_at,
                started_at=started,
                updated_at=self._time(),
                routed_event_id=job.event_id,
                routed=None if state == "DONE" else job.routed,
            )
        )

    def _ran(self, arrival: Arrival, routed: JobRouted, job: _Job | None, day: int = 0) -> Ran:
        advice = routed.recommendation
        if job is None or advice is None:
            about = (arrival.job.job_id, arrival.job.tenant, arrival.kind, "", "", arrival.seconds, self._now, self._now)
            return Ran(*about, 0.0, 0.0, 0.0, 0, hit=False, reasons="; ".join(routed.reasons))
        fidelity = self._world.achieved(arrival.kind, day, advice)
        score = next(each for each in routed.scores if each.backend == routed.backend)
        return Ran(
            job_id=arrival.job.job_id,
            tenant=arrival.job.tenant,
            kind=arrival.kind,
            backend=advice.backend,
            method=advice.method,
            arrived=arrival.seconds,
            started=job.started,
            finished=self._now,
            fidelity=fidelity,
            expected_fidelity=advice.expected_fidelity,
            cost_usd=score.price_usd,
            moved=job.moved,
            hit=self._now - arrival.seconds <= arrival.wanted_seconds and fidelity >= arrival.wanted_fidelity,
        )
