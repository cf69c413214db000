"""Constraints: what a backend must satisfy to be a candidate at all. None of them is a weight in the score.

Each looks at all offers at once and says which break it; the sentence is made for those alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scheduler.ledger import Ledger
from scheduler.offers import Offers
from scheduler.score import Terms
from scheduler.spoken import spoken
from scheduler.tenants import Tenant, tenant
from schemas.calibration import Maintenance
from schemas.jobs import JobRequested

Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Question:
    """What constraints look at.

    Attributes:
        offers: of all jobs.
        terms: of all offers.
        tenants: their quotas.
        ledger: what is under way.
    """

    offers: Offers
    terms: Terms
    tenants: Mapping[str, Tenant]
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint.

    Attributes:
        broken: (rows,): which offers break it; None: none of the jobs asks for it.
        says: the sentence of an offer, by its row.
        lasts: whether it is the backend's doing, so that a job which waits there has to go elsewhere.
    """

    broken: Callable[[Question], Flags | None]
    says: Callable[[Question, int], str]
    lasts: bool = False


def blocked(asked: Question, constraints: Sequence[Constraint]) -> dict[int, tuple[str, ...]]:
    """Row -> all reasons why the offer is not acceptable, not just the first; the routes' reasons come last."""
    reasons: dict[int, tuple[str, ...]] = {}
    for constraint in constraints:
        flags = constraint.broken(asked)
        if flags is not None:
            for row in np.flatnonzero(flags).tolist():
                reasons[row] = (*reasons.get(row, ()), constraint.says(asked, row))
    offers = asked.offers
    ways = [offers.table.access(job.crypto_mode) for job in offers.jobs]
    closed = np.flatnonzero(asked.terms.crypto_compatibility == 0)
    for row, job, place in zip(closed.tolist(), offers.job[closed].tolist(), offers.backend[closed].tolist(), strict=True):
        reasons[row] = reasons.get(row, ()) + ways[job][place].blocked
    return reasons


def _elsewhere(asked: Question) -> Flags | None:
    wanted = [job.backend for job in asked.offers.jobs]
    if not any(wanted):
        return None
    index = asked.offers.table.index
    return _unequal(asked, [-1 if name is None else index.get(name, len(index)) for name in wanted])


def _unequal(asked: Question, wanted: Sequence[int]) -> Flags:
    places = np.array(wanted)[asked.offers.job]
    return np.asarray((places >= 0) & (places != asked.offers.backend))


def _says_elsewhere(asked: Question, row: int) -> str:
    return f"the job asks for {_job(asked, row).backend} and no other backend"


def _is_down(asked: Question) -> Flags:
    return np.asarray(asked.terms.availability == 0)


def _over_error(asked: Question) -> Flags | None:
    return _over(asked, [job.sla.max_error for job in asked.offers.jobs], asked.offers.error)


def _says_error(asked: Question, row: int) -> str:
    advice, limit = asked.offers.candidates[row], _job(asked, row).sla.max_error
    return f"the expected error is {advice.expected_error:.4g} with {advice.method}, the SLA allows {limit:.4g}"


def _under_fidelity(asked: Question) -> Flags | None:
    limits = [job.sla.min_fidelity for job in asked.offers.jobs]
    if all(limit is None for limit in limits):
        return None
    return np.asarray(asked.offers.fidelity < asked.offers.limits(limits, 0.0))


def _says_fidelity(asked: Question, row: int) -> str:
    advice, limit = asked.offers.candidates[row], _job(asked, row).sla.min_fidelity
    return f"the expected fidelity is {advice.expected_fidelity:.4g} with {advice.method}, the SLA wants {limit:.4g}"


def _over_cost(asked: Question) -> Flags | None:
    return _over(asked, [job.max_cost_usd for job in asked.offers.jobs], asked.terms.price_usd)


def _says_cost(asked: Question, row: int) -> str:
    return f"it charges {asked.terms.price_usd[row]:.4g} USD, the job allows {_job(asked, row).max_cost_usd:.4g} USD"


def _left(asked: Question, row: int) -> float | None:
    deadline = _job(asked, row).deadline
    return None if deadline is None else (deadline - asked.offers.at).total_seconds()


def _late(asked: Question) -> Flags | None:
    left = [None if job.deadline is None else (job.deadline - asked.offers.at).total_seconds() for job in asked.offers.jobs]
    if all(seconds is None for seconds in left):
        return None
    limits = asked.offers.limits(left, np.inf)
    return np.asarray((_needed(asked) > limits) | (limits <= 0))


def _needed(asked: Question) -> NDArray[np.float64]:
    return asked.terms.wait_seconds + asked.terms.execution_seconds


def _says_late(asked: Question, row: int) -> str:
    left = _left(asked, row) or 0.0
    if left <= 0:
        return f"the deadline passed {spoken(-left)} ago"
    needed = asked.terms.wait_seconds[row] + asked.terms.execution_seconds[row]
    return f"it needs {spoken(float(needed))} with its queue, the deadline is in {spoken(left)}"


def _abroad(asked: Question) -> Flags | None:
    regions = {job.residency for job in asked.offers.jobs}
    if regions == {()}:
        return None
    facts = asked.offers.table.facts
    outside = {
        allowed: np.array([bool(allowed) and each.calibration.region not in allowed for each in facts]) for allowed in regions
    }
    jobs, offers = asked.offers.jobs, asked.offers
    rows = zip(offers.job.tolist(), offers.backend.tolist(), strict=True)
    return np.array([outside[jobs[job].residency][backend] for job, backend in rows], dtype=np.bool_)


def _says_abroad(asked: Question, row: int) -> str:
    region, allowed = asked.offers.table.facts[asked.offers.backend[row]].calibration.region, _job(asked, row).residency
    where = f"it processes jobs in {region}" if region else "it does not say in which region it processes jobs"
    return f"{where}, the job's data may be in {', '.join(allowed)} only"


def _in_maintenance(asked: Question) -> Flags | None:
    if not asked.offers.table.maintained:
        return None
    return np.array([_window(asked, row) is not None for row in range(len(asked.offers.job))], dtype=np.bool_)


def _window(asked: Question, row: int) -> Maintenance | None:
    """The first announced time that would meet the job; one that is over does not, nor one behind the job's end."""
    windows = asked.offers.table.facts[asked.offers.backend[row]].calibration.maintenance
    if not windows:
        return None
    most = timedelta(days=3650)
    wait, seconds = (timedelta(seconds=min(float(each[row]), most.total_seconds())) for each in _durations(asked))
    start = asked.offers.at + wait
    return next((window for window in windows if window.start < start + seconds and start < window.end), None)


def _durations(asked: Question) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return asked.terms.wait_seconds, asked.terms.execution_seconds


def _says_maintenance(asked: Question, row: int) -> str:
    window = _window(asked, row)
    if window is None:
        return ""
    because = f" ({window.reason})" if window.reason else ""
    return f"it is in maintenance from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC{because}"


def _stale(asked: Question) -> Flags:
    return np.asarray(asked.terms.calibration_age_seconds > asked.offers.table.age_limit[asked.offers.backend])


def _says_stale(asked: Question, row: int) -> str:
    place = asked.offers.backend[row]
    age, limit = (spoken(float(each)) for each in (asked.terms.calibration_age_seconds[row], asked.offers.table.age_limit[place]))
    what = "its calibration is" if asked.offers.table.facts[place].calibration.drifts else "nothing was heard of it for"
    return f"{what} {age}{' old' if what.endswith('is') else ''}, the limit is {limit}"


def _too_few_qubits(asked: Question) -> Flags:
    return np.asarray(asked.offers.qubits > asked.offers.table.connected[asked.offers.backend])


def _says_qubits(asked: Question, row: int) -> str:
    place = asked.offers.backend[row]
    known = len(asked.offers.table.facts[place].calibration.qubits)
    largest = asked.offers.table.connected[place]
    return f"the job takes {asked.offers.qubits[row]:.0f} connected qubits, {largest:.0f} of its {known} work together"


def _over_quota(asked: Question) -> Flags | None:
    names = [job.tenant for job in asked.offers.jobs]
    left = {name: _allowance(asked, name) for name in set(names)}
    if all(each is None for each in left.values()):
        return None
    return np.asarray(asked.terms.price_usd > asked.offers.limits([left[name] for name in names], np.inf))


def _allowance(asked: Question, name: str) -> float | None:
    quota = tenant(asked.tenants, name).max_open_usd
    return None if quota is None else quota - asked.ledger.owed(name)[1]


def _says_quota(asked: Question, row: int) -> str:
    name = _job(asked, row).tenant
    quota, owed = tenant(asked.tenants, name).max_open_usd, asked.ledger.owed(name)[1]
    return (
        f"it charges {asked.terms.price_usd[row]:.4g} USD, tenant {name} may have {quota:.4g} USD under way and has {owed:.4g} USD"
    )


def _over(asked: Question, limits: Sequence[float | None], values: NDArray[np.float64]) -> Flags | None:
    if all(limit is None for limit in limits):
        return None
    return np.asarray(values > asked.offers.limits(limits, np.inf))


def _job(asked: Question, row: int) -> JobRequested:
    jobs, job = asked.offers.jobs, int(asked.offers.job[row])
    return jobs[job]


CONSTRAINTS: tuple[Constraint, ...] = (
    Constraint(_elsewhere, _says_elsewhere),
    Constraint(_is_down, lambda asked, row: "it is down: its availability is 0", lasts=True),
    Constraint(_over_error, _says_error),
    Constraint(_under_fidelity, _says_fidelity),
    Constraint(_over_cost, _says_cost),
    Constraint(_late, _says_late),
    Constraint(_abroad, _says_abroad, lasts=True),
    Constraint(_in_maintenance, _says_maintenance, lasts=True),
    Constraint(_stale, _says_stale, lasts=True),
    Constraint(_too_few_qubits, _says_qubits, lasts=True),
    Constraint(_over_quota, _says_quota),
)

LASTING = tuple(constraint for constraint in CONSTRAINTS if constraint.lasts)
"""What makes a job that waits go elsewhere; the crypto modes of routes are always looked at."""
