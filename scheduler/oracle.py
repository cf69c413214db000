"""The window's exact optimum, by mixed-integer programming (HiGHS in SciPy): what `scheduler.window` is measured against."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from scheduler.errors import SchedulerError
from scheduler.market import Floats
from scheduler.window import NOWHERE

_GAP = 1e-4


def optimum(values: Floats, seconds: Floats, capacity: Floats, limit_seconds: float = 60.0) -> tuple[NDArray[np.intp], float]:
    """(an optimal assignment, an upper bound of its value that the solver has proved), as `scheduler.window.assign`.

    Raises:
        SchedulerError: the solver found nothing within its time.
    """
    jobs, backends = np.nonzero((values > 0) & (seconds <= capacity))
    count = len(jobs)
    if not count:
        return np.full(len(values), NOWHERE, dtype=np.intp), 0.0
    once = coo_array((np.ones(count), (jobs, np.arange(count))), shape=(len(values), count))
    within = coo_array((seconds[jobs, backends], (backends, np.arange(count))), shape=(len(capacity), count))
    solved = milp(
        -values[jobs, backends],
        constraints=[LinearConstraint(once, ub=1.0), LinearConstraint(within, ub=capacity)],
        integrality=np.ones(count),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": _GAP, "time_limit": limit_seconds},
    )
    if solved.x is None:
        raise SchedulerError(f"the solver found no assignment of {len(values)} jobs in {limit_seconds:g} s: {solved.message}")
    chosen = np.full(len(values), NOWHERE, dtype=np.intp)
    taken = solved.x > 0.5
    chosen[jobs[taken]] = backends[taken]
    return chosen, float(-solved.mip_dual_bound)
