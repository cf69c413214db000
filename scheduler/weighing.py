"""Jobs weighed against all their candidates: terms, reasons and scores, best first; and what of it stands in a decision."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from scheduler.constraints import CONSTRAINTS, Constraint, Question, blocked
from scheduler.ledger import Ledger
from scheduler.market import Floats, Table
from scheduler.offers import Offers
from scheduler.score import Rates, Terms, terms
from scheduler.scorings import Scoring
from scheduler.tenants import Tenant
from schemas.jobs import BackendScore, JobRequested
from schemas.mitigation import Recommendation, Unfit

Asked = tuple[JobRequested, Sequence[Recommendation]]

_WORST_ERROR = 2.0  # of the spectral bound: nothing can be further off
_OLD_ADVICE = "the advice was made under another calibration than the latest"
_varying = attrgetter("price_usd", "cost_usd", "availability_penalty", "wait_seconds", "freshness", "calibration_age_seconds")
_NAMES = set(BackendScore.model_fields)


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
    blocked: Mapping[int, tuple[str, ...]]
    ranked: Sequence[Sequence[int]]

    def admissible(self, job: int) -> list[int]:
        """The rows of a job that are not blocked, best first."""
        return [row for row in self.ranked[job] if row not in self.blocked]

    def records(self, job: int) -> list[BackendScore]:
        """The scores of a job's candidates, best first."""
        made = self._records
        return [made[row] for row in self.ranked[job]]

    @cached_property
    def _records(self) -> list[BackendScore]:
        """Of all rows at once: our own numbers, which need no validation."""
        fields = _filled(self._drafts(), self.offers, self.terms, self.scores)
        for row, reasons in self.blocked.items():
            fields[row]["blocked"] = reasons
        return BackendScore.unchecked_all(fields, _NAMES)

    def _drafts(self) -> Iterable[dict[str, Any]]:
        """The draft of each row's score, by its job's mode."""
        drafts = [self.offers.table.drafts(each.crypto_mode) for each in self.offers.jobs]
        return (drafts[job][place] for job, place in zip(self.offers.job.tolist(), self.offers.backend.tolist(), strict=True))


def _filled(drafts: Iterable[dict[str, Any]], offers: Offers, terms: Terms, scores: Floats) -> list[dict[str, Any]]:
    """The fields of each row's score: a draft's copy takes half of the time of a new dictionary."""
    columns = (*_varying(terms), scores, offers.jobs_ahead.astype(np.int64))
    copies, numbers = map(dict.copy, drafts), (each.tolist() for each in columns)
    rows = zip(copies, offers.ids, offers.methods, *offers.said, *numbers, strict=True)
    filled = []
    for made, calibration, method, fidelity, error, seconds, price, cost, penalty, wait, freshness, age, score, ahead in rows:
        if made["calibration_id"] != calibration:
            made["calibration_id"] = calibration
            made["fallbacks"] += (_OLD_ADVICE,)
        made["method"] = method
        made["expected_fidelity"] = fidelity
        made["expected_error"] = error
        made["price_usd"] = price
        made["cost_usd"] = cost
        made["availability_penalty"] = penalty
        made["wait_seconds"] = wait
        made["execution_seconds"] = seconds
        made["freshness"] = freshness
        made["calibration_age_seconds"] = age
        made["score"] = score
        made["jobs_ahead"] = ahead
        filled.append(made)
    return filled


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
