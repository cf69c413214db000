"""Many queued jobs at once: which goes where, when each backend has only so much time in the window.

The generalised assignment problem: maximise the sum of values, each job on one backend, each backend within its seconds. Lagrangian
prices of backend time (Fisher 1981) make it separable; jobs are then placed in the order of what a second choice would lose them,
and what is left is improved by moves that make room. `scheduler.oracle` solves it exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.market import Floats

_ROUNDS = 60
"""Of prices; each costs one pass over all jobs and backends."""

Places = NDArray[np.intp]

NOWHERE = -1
_PASSES, _MOST_MOVED = 3, 2000  # of improvement, and jobs that one looks at
_NOTHING = 1e-12  # a gain that is rounding


def assign(values: Floats, seconds: Floats, capacity: Floats) -> Places:
    """(jobs,): the backend of each job, `NOWHERE` where it has to wait for the next window.

    Args:
        values: (jobs, backends), > 0 where the job may run, 0 where it may not.
        seconds: (jobs, backends), that the job takes there.
        capacity: (backends,), seconds in this window.
    """
    jobs, backends = values.shape
    if not jobs or not backends:
        return np.full(jobs, NOWHERE, dtype=np.intp)
    allowed = (values > 0) & (seconds <= capacity)
    best = -1.0
    found: Places = np.full(jobs, NOWHERE, dtype=np.intp)
    for prices in _prices(values, seconds, capacity, allowed):
        placed = _placed(values, seconds, capacity, allowed, prices)
        worth = _worth(values, placed)
        if worth > best:
            best, found = worth, placed
    there = found >= 0
    used = np.bincount(found[there], seconds[np.flatnonzero(there), found[there]], minlength=backends)
    plan = _Plan(values, seconds, allowed, found, capacity - used)
    plan.improve()
    return plan.placed


def value(values: Floats, chosen: Places) -> float:
    """The sum of values of an assignment."""
    return _worth(values, chosen)


def capacities(waits: Floats, seconds: Floats, allowed: NDArray[np.bool_], slack: float = 1.25) -> Floats:
    """(backends,): room for all jobs of a window, if they were spread evenly, and for the longest of them everywhere it may run.

    Args:
        waits: (backends,), what stands there already.
        seconds: (jobs, backends).
        allowed: (jobs, backends).
    """
    least = np.where(allowed, seconds, np.inf).min(axis=1, initial=np.inf)
    work = least[np.isfinite(least)].sum()
    used = allowed.any(axis=0)
    if not used.any():
        return np.zeros_like(waits)
    order = np.sort(waits[used])
    levels = (work + np.cumsum(order)) / np.arange(1, len(order) + 1)  # pour the work onto the shortest queues
    level = levels[np.argmax(np.append(order[1:], np.inf) >= levels)]
    longest = np.where(allowed, seconds, 0.0).max(axis=0, initial=0.0)
    return np.where(used, np.maximum(slack * np.maximum(level - waits, 0.0), longest), 0.0)


def _prices(values: Floats, seconds: Floats, capacity: Floats, allowed: NDArray[np.bool_]) -> Iterator[Floats]:
    """Prices of a second on each backend, by subgradient steps; few of them, spread over the rounds, are worth placing jobs by."""
    prices = np.zeros(len(capacity))
    scale = float(values.max(initial=0.0)) / max(float(np.median(seconds[allowed])) if allowed.any() else 1.0, 1e-9)
    keep = {_ROUNDS // 4, _ROUNDS // 2, 3 * _ROUNDS // 4, _ROUNDS - 1}
    yield prices
    for step in range(_ROUNDS):
        gain = np.where(allowed, values - seconds * prices, 0.0)
        choice = gain.argmax(axis=1)
        taken = gain[np.arange(len(choice)), choice] > 0
        used = np.bincount(choice[taken], seconds[np.arange(len(choice)), choice][taken], minlength=len(capacity))
        excess = (used - capacity) / np.maximum(capacity, 1e-9)
        prices = np.maximum(prices + scale / (2 + step) * np.clip(excess, -1.0, 1.0), 0.0)
        if step in keep:
            yield prices


def _placed(values: Floats, seconds: Floats, capacity: Floats, allowed: NDArray[np.bool_], prices: Floats) -> Places:
    """Each job where it gains most among what has room, those first that would lose most by their second choice, per second."""
    gain = np.where(allowed, values - seconds * prices, -np.inf)
    order = np.argsort(-gain, axis=1, kind="stable")
    ranked = np.take_along_axis(gain, order, axis=1)
    second = ranked[:, 1] if ranked.shape[1] > 1 else np.full(len(ranked), -np.inf)
    with np.errstate(invalid="ignore"):  # of a job that may go nowhere
        regret = ranked[:, 0] - np.maximum(second, 0.0)
    shortest = np.where(allowed, seconds, np.inf).min(axis=1)
    may_run = np.isfinite(shortest)
    regret = np.where(may_run, regret, -np.inf) / np.where(may_run, np.maximum(shortest, 1e-9), 1.0)
    placed = np.full(len(values), NOWHERE, dtype=np.intp)
    room = capacity.tolist()
    choices, times, may = order.tolist(), seconds.tolist(), allowed.tolist()
    for job in np.argsort(-regret, kind="stable").tolist():
        for backend in choices[job]:
            if may[job][backend] and times[job][backend] <= room[backend]:
                room[backend] -= times[job][backend]
                placed[job] = backend
                break
    return placed


@dataclass(slots=True)
class _Plan:
    """An assignment that is being improved, and the room that it leaves."""

    values: Floats
    seconds: Floats
    allowed: NDArray[np.bool_]
    placed: Places
    room: Floats

    def improve(self) -> None:
        """Moves of one job, and exchanges with one that is placed, as long as they gain; few, for the window must not wait."""
        rows = np.arange(len(self.placed))
        for _ in range(_PASSES):
            here = np.where(self.placed >= 0, self.values[rows, self.placed], 0.0)
            gains = np.where(self.allowed, self.values - here[:, None], -1.0)
            most_first = np.argsort(-gains.max(axis=1))[:_MOST_MOVED].tolist()
            if not sum(self._gained(job, gains[job]) for job in most_first):
                return

    def _gained(self, job: int, gains: Floats) -> bool:
        choices = np.argsort(-gains)
        return any(self._moved(job, int(backend)) for backend in choices[gains[choices] > _NOTHING])

    def _moved(self, job: int, backend: int) -> bool:
        """Puts the job there if there is room, or if one that is there can go elsewhere for less than is gained."""
        before = int(self.placed[job])
        gain = self.values[job, backend] - (self.values[job, before] if before >= 0 else 0.0)
        lacking = self.seconds[job, backend] - self.room[backend]
        if lacking > 0 and not self._made_room(job, backend, lacking, gain):
            return False
        if before >= 0:
            self.room[before] += self.seconds[job, before]
        self.room[backend] -= self.seconds[job, backend]
        self.placed[job] = backend
        return True

    def _made_room(self, job: int, backend: int, lacking: float, gain: float) -> bool:
        """Sends the one away that loses least by it, to where there is room, or to the next window."""
        free, before = self.room.copy(), int(self.placed[job])
        if before >= 0:
            free[before] += self.seconds[job, before]
        there = np.flatnonzero((self.placed == backend) & (self.seconds[:, backend] >= lacking))
        if not len(there):
            return False
        fits = self.allowed[there] & (self.seconds[there] <= free)
        fits[:, backend] = False
        losses = self.values[there, backend][:, None] - np.where(fits, self.values[there], 0.0)
        place, target = np.unravel_index(int(losses.argmin()), losses.shape)
        if losses[place, target] >= gain - _NOTHING:
            return False
        other = int(there[place])
        self.room[backend] += self.seconds[other, backend]
        self.placed[other] = target if fits[place, target] else NOWHERE
        if fits[place, target]:
            self.room[target] -= self.seconds[other, target]
        return True


def _worth(values: Floats, placed: Places) -> float:
    rows = np.flatnonzero(placed >= 0)
    return float(values[rows, placed[rows]].sum())
