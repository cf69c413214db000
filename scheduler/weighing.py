"""Jobs weighed against all their candidates: terms, reasons and scores, best first; and what of it stands in a decision."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from scheduler.constraints import CONSTRAINTS, Constraint, Question, blocked
from scheduler.ledger import Ledger
from scheduler.market import Floats, Table
from scheduler.offers import Offers
from scheduler.score import TERMS, Rates, Terms, terms
from scheduler.scorings import Scoring
from scheduler.tenants import Tenant
from schemas.jobs import BackendScore, JobRequested
from schemas.mitigation import Recommendation, Unfit

Asked = tuple[JobRequested, Sequence[Recommendation]]

_FIELDS = (*TERMS, "score", "jobs_ahead", "backend", "calibration_id", "method", "route", "path", "blocked", "fallbacks")
_NAMES = set(_FIELDS)


def _display(names: Sequence[str]) -> Callable[[Iterable[tuple[object, ...]]], Iterator[dict[str, Any]]]:
    """Rows of values -> a dictionary of each: a display takes two thirds of the time of `dict(zip(...))`."""
    values = [f"v{number}" for number in range(len(names))]
    shown = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    made: Callable[..., Any] = eval(f"lambda rows: ({{{shown}}} for {', '.join(values)} in rows)")  # noqa: S307 - our own names
    return made


_named = _display(_FIELDS)
_WORST_ERROR = 2.0  # of the spectral bound: nothing can be further off
_NO_PRICE = "it lists no price: only time is counted"
_OLD_ADVICE = "the advice was made under another calibration than the latest"
_FALLBACKS: Mapping[tuple[bool, bool], tuple[str, ...]] = {
    (priced, current): (() if priced else (_NO_PRICE,)) + (() if current else (_OLD_ADVICE,))
    for priced in (False, True)
    for current in (False, True)
}
"""By whether there is a price list, and whether the advice is of the latest calibration."""


@dataclass(frozen=True, eq=False)
class Weighed:
    """All offers for some jobs.

    Attributes:
        offers: row by row.
        terms: of each row.
        scores: (rows,), 0 where blocked.
        blocked: row -> all reasons.
        ranked: for each job its rows, best first; the admissible before the blocked.
    """

    offers: Offers
    terms: Terms
    scores: Floats
    blocked: Mapping[int, Sequence[str]]
    ranked: Sequence[Sequence[int]]

    def admissible(self, job: int) -> list[int]:
        """The rows of a job that are not blocked, best first."""
        return [row for row in self.ranked[job] if row not in self.blocked]

    def records(self, job: int) -> list[BackendScore]:
        """The scores of a job's candidates, best first."""
        end = self.ends[job]
        return self._records[end - len(self.ranked[job]) : end]

    @cached_property
    def ends(self) -> list[int]:
        """Of each job, behind its last place in the order of all jobs' ranked rows."""
        return list(accumulate(map(len, self.ranked)))

    @cached_property
    def _records(self) -> list[BackendScore]:
        """Of all jobs' ranked rows, all at once: our own numbers, which need no validation."""
        offers, blocked = self.offers, self.blocked.get
        rows = [row for each in self.ranked for row in each]
        order = np.array(rows, dtype=np.intp)
        candidates = [offers.candidates[row] for row in rows]
        ids = [each.calibration_id for each in candidates]
        places, jobs = offers.backend[order].tolist(), offers.job[order].tolist()
        names, paths = self._routes(jobs, places)
        said = offers.table.said
        columns: list[Sequence[object]] = [getattr(self.terms, name)[order].tolist() for name in TERMS]
        columns += [
            self.scores[order].tolist(),
            offers.jobs_ahead[order].astype(np.int64).tolist(),
            [each.backend for each in candidates],
            ids,
            [each.method for each in candidates],
            names,
            paths,
            [tuple(blocked(row, ())) for row in rows],
            [_FALLBACKS[said[place][1], said[place][0] == each] for place, each in zip(places, ids, strict=True)],
        ]
        return BackendScore.unchecked_all(_named(zip(*columns, strict=True)), _NAMES)

    def _routes(self, jobs: Sequence[int], places: Sequence[int]) -> tuple[list[str], list[tuple[str, ...]]]:
        """(names, paths) of the routes of rows, each by its job's mode."""
        known = [self.offers.table.routes(each.crypto_mode) for each in self.offers.jobs]
        ways = [known[job] for job in jobs]
        return (
            [names[place] for (names, _), place in zip(ways, places, strict=True)],
            [paths[place] for (_, paths), place in zip(ways, places, strict=True)],
        )


def weigh(
    asked: Sequence[Asked],
    table: Table,
    at: datetime,
    *,
    ledger: Ledger,
    scoring: Scoring,
    tenants: Mapping[str, Tenant],
    rates: Rates,
    constraints: Sequence[Constraint] = CONSTRAINTS,
) -> Weighed:
    """Weighs jobs, the candidates of which are in the table."""
    offers = Offers.of(asked, table, ledger, at)
    found = terms(offers, rates)
    reasons = blocked(Question(offers, found, tenants, ledger), constraints)
    shut = np.zeros(len(offers.job), dtype=np.bool_)
    shut[list(reasons)] = True
    scores = np.where(shut, 0.0, scoring.score(found))
    order = np.lexsort((offers.backend, found.cost_usd, -found.expected_fidelity, -scores, shut, offers.job))
    ends = np.cumsum([len(candidates) for _, candidates in asked]).tolist()
    rows = order.tolist()
    ranked = [rows[end - len(candidates) : end] for end, (_, candidates) in zip(ends, asked, strict=True)]
    return Weighed(offers, found, scores, reasons, ranked)


def unknown(candidate: Recommendation) -> BackendScore:
    """A candidate of which the scheduler has no calibration."""
    reason = "the scheduler knows no calibration of it, and so no price, queue or route"
    return _blank(candidate.backend, candidate.calibration_id, reason).model_copy(
        update={
            "method": candidate.method,
            "expected_fidelity": candidate.expected_fidelity,
            "expected_error": candidate.expected_error,
            "execution_seconds": candidate.execution_seconds,
        }
    )


def unfit(refused: Unfit) -> BackendScore:
    """A backend that the policy has ruled out."""
    return _blank(refused.backend, refused.calibration_id, refused.reason)


def _blank(backend: str, calibration_id: str, reason: str) -> BackendScore:
    """A blocked backend of which nothing can be said."""
    return BackendScore(
        backend=backend,
        calibration_id=calibration_id,
        method="",
        expected_fidelity=0.0,
        expected_error=_WORST_ERROR,
        cost_usd=0.0,
        availability_penalty=0.0,
        crypto_compatibility=0.0,
        score=0.0,
        wait_seconds=0.0,
        execution_seconds=0.0,
        blocked=(reason,),
    )
