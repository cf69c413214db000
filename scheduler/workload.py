"""What is asked of a fleet over some days: drawn by a seed, or taken from recorded jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from scheduler.errors import WorkloadError
from schemas.jobs import JobRequested

TENANTS = {"ada": 0.5, "bob": 0.25, "cyd": 0.15, "dan": 0.1}
"""Who asks for which part of the jobs: one for half of them, so that shares matter."""

_PRIORITIES = (3, 5, 5, 5, 8)
_PATIENCE = (3.0, 10.0, 30.0)  # a job is wanted within so many times the mean run
_WANTED = 0.95  # least fidelity that counts as a hit


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job that comes.

    Attributes:
        seconds: since the beginning.
        job: as it is requested.
        kind: name of its circuits; jobs of a kind differ in who asks and when alone.
        wanted_seconds: it counts as a hit when it is over within so many seconds of its arrival.
        wanted_fidelity: and has reached this.
    """

    seconds: float
    job: JobRequested
    kind: str
    wanted_seconds: float
    wanted_fidelity: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a fleet can do.

    Attributes:
        backends: how many.
        run_seconds: of a job on average.
    """

    backends: int
    run_seconds: float

    def rate(self, load: float) -> float:
        """Jobs per second that keep each backend busy for this part of the time."""
        return load * self.backends / self.run_seconds


def drawn(
    kinds: Sequence[JobRequested], capacity: Capacity, load: float, *, days: float, seed: int, start: datetime
) -> list[Arrival]:
    """Poisson arrivals of jobs of these kinds, the same for every policy; tenants, priorities and patience are drawn."""
    draw = np.random.default_rng([seed, round(load * 1000)])
    horizon = days * 86_400.0
    times = np.sort(draw.uniform(0, horizon, draw.poisson(capacity.rate(load) * horizon)))
    count = len(times)
    chosen = draw.integers(len(kinds), size=count).tolist()
    tenants = draw.choice(list(TENANTS), size=count, p=list(TENANTS.values())).tolist()
    priorities, patience = draw.choice(_PRIORITIES, size=count).tolist(), draw.choice(_PATIENCE, size=count).tolist()
    found = []
    for number, seconds in enumerate(times.tolist()):
        kind = kinds[chosen[number]]
        change = {
            "job_id": f"job-{number}",
            "tenant": tenants[number],
            "priority": priorities[number],
            "requested_at": start + timedelta(seconds=seconds),
        }
        wanted = patience[number] * capacity.run_seconds
        found.append(Arrival(seconds, kind.model_copy(update=change), kind.name, wanted, _WANTED))
    return found


def recorded(jobs: Sequence[JobRequested], capacity: Capacity, load: float, start: datetime) -> list[Arrival]:
    """Jobs as they came, the time between them stretched so that they make this load; their own SLA says what is wanted.

    Raises:
        WorkloadError: fewer than two jobs, or all at the same moment: that is no load.
    """
    ordered = sorted(jobs, key=lambda job: (job.requested_at, job.job_id))
    span = (ordered[-1].requested_at - ordered[0].requested_at).total_seconds() if ordered else 0.0
    if span <= 0:
        raise WorkloadError(f"{len(ordered)} recorded jobs at one moment are no workload: record some more")
    stretch = len(ordered) / capacity.rate(load) / span
    found = []
    for job in ordered:
        seconds = (job.requested_at - ordered[0].requested_at).total_seconds() * stretch
        within = max(_PATIENCE) * capacity.run_seconds
        if job.deadline is not None:
            within = max(0.0, (job.deadline - job.requested_at).total_seconds())
        change = {"requested_at": start + timedelta(seconds=seconds), "deadline": None, "backend": None}
        found.append(Arrival(seconds, job.model_copy(update=change), job.circuit_hash, within, job.sla.min_fidelity or 0.0))
    return found
