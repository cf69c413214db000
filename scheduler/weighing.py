"""Jobs weighed against all their candidates: terms, reasons and scores, best first; and what of it stands in a decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

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
_WORST_ERROR = 2.0  # of the spectral bound: nothing can be further off
_NO_PRICE = "it lists no price: only time is counted"
_OLD_ADVICE = "the advice was made under another calibration than the latest"


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
        rows = self._rows
        fields = (dict(zip(_FIELDS, rows[row], strict=False)) for row in self.ranked[job])
        return BackendScore.unchecked_all(fields, _NAMES)

    @cached_property
    def _rows(self) -> list[tuple[object, ...]]:
        """The fields of every row, all at once."""
        offers, places = self.offers, self.offers.backend.tolist()
        reached = [offers.table.access(each.crypto_mode) for each in offers.jobs]
        ways = [reached[job][place] for job, place in zip(offers.job.tolist(), places, strict=True)]
        facts = [offers.table.facts[place] for place in places]
        columns: list[Sequence[object]] = [getattr(self.terms, name).tolist() for name in TERMS]
        columns += [
            self.scores.tolist(),
            offers.jobs_ahead.astype(np.int64).tolist(),
            [each.backend for each in offers.candidates],
            [each.calibration_id for each in offers.candidates],
            [each.method for each in offers.candidates],
            ["" if way.route is None else way.route.name for way in ways],
            [way.path for way in ways],
            [tuple(self.blocked.get(row, ())) for row in range(len(places))],
            [
                _fallbacks(one.priced, each.calibration_id == one.calibration.calibration_id)
                for one, each in zip(facts, offers.candidates, strict=True)
            ],
        ]
        return list(zip(*columns, strict=True))


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


def _fallbacks(priced: bool, current: bool) -> tuple[str, ...]:
    if priced and current:
        return ()
    return (() if priced else (_NO_PRICE,)) + (() if current else (_OLD_ADVICE,))
