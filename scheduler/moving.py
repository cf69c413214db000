"""Jobs that have to move: which of those that wait, why, and where to, planned together."""

from collections.abc import Callable, Sequence

import numpy as np

from scheduler.constraints import LASTING, Constraint
from scheduler.ledger import Open
from scheduler.market import Table
from scheduler.weighing import Asked, Weighed
from scheduler.window import assign, capacities

WORSE = 1.5
"""Growth of the median gate error at which a calibration has turned bad: on 95 % of days it grows by less than 49 % (ibm_perth)."""

_LEAST_SECONDS = 1e-3


def displaced(
    waiting: Sequence[Open], table: Table, weigh: Callable[[Sequence[Asked], Sequence[Constraint]], Weighed]
) -> list[tuple[Open, str]]:
    """The jobs that should not run where they wait, and why: the backend is gone or closed to them, or its calibration is bad."""
    known = [job for job in waiting if job.routed.backend in table.index]
    asked = [(job.routed.job, [job.routed.recommendation]) for job in known if job.routed.recommendation]
    weighed = weigh(asked, LASTING)
    found = []
    for row, job in enumerate(known):
        reasons = weighed.blocked.get(row) or _turned_bad(job, float(weighed.terms.gate_error[row]))
        if reasons:
            found.append((job, "; ".join(reasons)))
    return found


def planned(weighed: Weighed) -> list[int | None]:
    """The row of each job where it goes, None where it can go nowhere: all of them together, so that no backend is flooded."""
    offers = weighed.offers
    places, columns = np.unique(offers.backend, return_inverse=True)
    shape = (len(offers.jobs), len(places))
    values, seconds, rows = np.zeros(shape), np.zeros(shape), np.full(shape, -1)
    best = np.zeros(len(offers.jobs))
    np.maximum.at(best, offers.job, weighed.scores)
    at = (offers.job, columns)
    values[at] = weighed.scores / np.where(best > 0, best, 1.0)[offers.job]
    seconds[at] = np.maximum(offers.seconds, _LEAST_SECONDS)
    rows[at] = np.arange(len(offers.job))
    waits = np.zeros(len(places))
    waits[columns] = offers.wait_seconds
    room = capacities(waits, seconds, values > 0)
    chosen = assign(values, seconds, room)
    placed = rows[np.arange(len(chosen)), chosen].tolist()
    return [
        row if place >= 0 else next(iter(weighed.admissible(job)), None)
        for job, (row, place) in enumerate(zip(placed, chosen.tolist(), strict=True))
    ]


def _turned_bad(job: Open, error: float) -> list[str]:
    before = next((score.gate_error for score in job.routed.scores if score.backend == job.routed.backend), 0.0)
    if before <= 0 or error <= WORSE * before:
        return []
    return [f"its calibration turned bad: the median gate error is {error:.3g}, it was {before:.3g} when the job was decided"]
