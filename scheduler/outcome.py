"""What a simulation comes to: a table of its jobs, and the line that it is compared by."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scheduler.simulation import Ran

_TYPES: Mapping[object, pa.DataType] = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
SCHEMA = pa.schema([(each.name, _TYPES[each.type]) for each in fields(Ran)])


@dataclass(frozen=True, slots=True)
class Line:
    """One policy at one load.

    Attributes:
        jobs, rejected: how many.
        completion_seconds: mean time from arrival to end, of those that ran.
        slow_seconds: its 95th percentile.
        fidelity: mean that was achieved.
        cost_usd: mean.
        fairness: Jain's index of the tenants, 1 where all fare alike; of how fast a tenant's jobs go, run / completion.
        hits: share of all jobs that were over in time and good enough.
        moved: share of jobs that were decided again.
    """

    jobs: int
    rejected: int
    completion_seconds: float
    slow_seconds: float
    fidelity: float
    cost_usd: float
    fairness: float
    hits: float
    moved: float


def table(ran: Iterable[Ran]) -> pa.Table:
    """The jobs as columns."""
    return pa.Table.from_pylist([asdict(each) for each in ran], SCHEMA)


def line(jobs: pa.Table) -> Line:
    """The figures of a table of jobs; 0 where there is none to average."""
    ran = jobs.filter(pc.not_equal(jobs["backend"], "")) if len(jobs) else jobs
    arrived, started, finished = (ran[name].to_numpy() for name in ("arrived", "started", "finished"))
    completion, count = finished - arrived, max(len(ran), 1)
    return Line(
        jobs=len(jobs),
        rejected=len(jobs) - len(ran),
        completion_seconds=float(completion.sum()) / count,
        slow_seconds=float(np.percentile(completion, 95)) if len(ran) else 0.0,
        fidelity=float(ran["fidelity"].to_numpy().sum()) / count,
        cost_usd=float(ran["cost_usd"].to_numpy().sum()) / count,
        fairness=_jain(np.array(ran["tenant"].to_pylist()), (finished - started) / np.maximum(completion, 1e-9)),
        hits=float(np.mean(jobs["hit"].to_numpy(zero_copy_only=False))) if len(jobs) else 0.0,
        moved=float(np.mean(ran["moved"].to_numpy() > 0)) if len(ran) else 0.0,
    )


def jain(shares: NDArray[np.float64]) -> float:
    """(sum x)^2 / (n sum x^2): Jain, Chiu and Hawe 1984."""
    return float(shares.sum() ** 2 / (len(shares) * (shares**2).sum())) if shares.any() else 1.0


def _jain(tenants: NDArray[np.str_], speed: NDArray[np.float64]) -> float:
    return jain(np.array([speed[tenants == tenant].mean() for tenant in np.unique(tenants)]))
