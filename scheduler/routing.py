"""The scheduler: from the policy's recommendations to one decision, with the score of every backend; and to another one later,
where a job that still waits has to move."""

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from scheduler.constraints import CONSTRAINTS, Constraint
from scheduler.ledger import Ledger, Open
from scheduler.market import Market, Table
from scheduler.moving import displaced, planned
from scheduler.score import RATES, Rates
from scheduler.scorings import scoring as named
from scheduler.tenants import Tenant, tenant
from scheduler.weighing import Asked, Weighed, unfit, unknown, weigh
from schemas.calibration import CalibrationUpdated
from schemas.jobs import BackendScore, EmRecommended, JobRequested, JobRouted
from schemas.mitigation import Recommendation
from schemas.record import now

ALTERNATIVES = 3
"""Next best candidates that a decision carries along, so that the job can be moved without asking the policy again."""


class Scheduler:
    """Decides where jobs run.

    Attributes:
        calibrations: backend -> its latest calibration; a live view.
        ledger: what is under way; it has to hear every `job.status`.
        scoring: the scoring policy, of `scheduler.scorings`.
        tenants: their shares and quotas.
        rates: what is not on a price list.
    """

    def __init__(
        self,
        calibrations: Mapping[str, CalibrationUpdated],
        scoring: str = "score-v1",
        clock: Callable[[], datetime] = now,
        *,
        rates: Rates = RATES,
        tenants: Mapping[str, Tenant] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """`clock` tells the time of a decision, UTC.

        Raises:
            UnknownScoringError: there is no scoring policy of that name.
        """
        self.calibrations = calibrations
        self.scoring = named(scoring)
        self.rates = rates
        self.tenants = tenants or {}
        self.ledger = Ledger() if ledger is None else ledger
        self._market = Market(calibrations)
        self._clock = clock

    def route(self, recommended: EmRecommended) -> JobRouted:
        """The decision: the admissible backend with the highest score, or REJECTED with the reasons of all."""
        with _undisturbed():
            return self._routed(recommended)

    def _routed(self, recommended: EmRecommended) -> JobRouted:
        at, job, table = self._clock(), recommended.job, self._market.table()
        self.ledger.forget_unheard(at)
        known = [each for each in recommended.candidates if each.backend in table.index]
        weighed = self._weigh([(job, known)], table, at)
        strangers = [] if len(known) == len(recommended.candidates) else _strangers(recommended.candidates, table)
        scores = [*weighed.records(0), *sorted(strangers + [unfit(each) for each in recommended.unfit], key=_rank)]
        problems = (*recommended.problems, *self._over_quota(job))
        rows = weighed.admissible(0) if not problems else []
        decision = JobRouted(
            job_id=recommended.job_id,
            decision="ROUTED" if rows else "REJECTED",
            job=job,
            backend=scores[0].backend if rows else None,
            recommendation=known[rows[0]] if rows else None,
            scores=tuple(scores),
            reasons=(self._victory(scores),) if rows else _defeat(problems, scores),
            scoring_policy=self.scoring.name,
            model_version=recommended.model_version,
            alternatives=tuple(_brief(known[row]) for row in rows[1 : 1 + ALTERNATIVES]),
            turn=self._turn(job, known[rows[0]]) if rows else 0.0,
            batch=_batch(job, known[rows[0]]) if rows else "",
            decided_at=at,
        )
        self.ledger.decided(decision)
        return decision

    def reconsider(self, calibration: CalibrationUpdated) -> list[JobRouted]:
        """New decisions for jobs that wait where they should not any more, because of this calibration or of none for too long.

        They are planned together (`scheduler.window`), among the alternatives that their decisions carry. A job that can go
        nowhere else stays.
        """
        with _undisturbed():
            return self._reconsidered(calibration)

    def _reconsidered(self, calibration: CalibrationUpdated) -> list[JobRouted]:
        at, table = self._clock(), self._newest(calibration).table()
        waiting = [job for job in self.ledger.queued() if job.routed.recommendation is not None]
        leaving = displaced(waiting, table, lambda asked, only: self._weigh(asked, table, at, only))
        jobs = [(job, why, others) for job, why in leaving if (others := _others(job, table))]
        if not jobs:
            return []
        weighed = self._weigh([(job.routed.job, others) for job, _, others in jobs], table, at)
        rows = planned(weighed)
        moved = [
            self._moved(job, why, weighed, number, row)
            for number, ((job, why, _), row) in enumerate(zip(jobs, rows, strict=True))
            if row is not None
        ]
        for decision in moved:
            self.ledger.decided(decision)
        return moved

    def _newest(self, calibration: CalibrationUpdated) -> Market:
        """The market with this calibration in it, which the live view may not have yet."""
        held = self.calibrations.get(calibration.backend)
        if held is not None and held.published_at >= calibration.published_at:
            return self._market
        return Market({**self.calibrations, calibration.backend: calibration})

    def _weigh(
        self, asked: Sequence[Asked], table: Table, at: datetime, constraints: Sequence[Constraint] = CONSTRAINTS
    ) -> Weighed:
        return weigh(
            asked,
            table,
            at,
            ledger=self.ledger,
            scoring=self.scoring,
            tenants=self.tenants,
            rates=self.rates,
            constraints=constraints,
        )

    def _moved(self, job: Open, why: str, weighed: Weighed, number: int, row: int) -> JobRouted:
        before, chosen, scores = job.routed, weighed.offers.candidates[row], weighed.records(number)
        rest = [weighed.offers.candidates[other] for other in weighed.admissible(number) if other != row]
        left = next(score for score in before.scores if score.backend == before.backend)
        scores.append(BackendScore.unchecked({**left.__dict__, "score": 0.0, "blocked": (why,)}))
        return JobRouted.unchecked(
            {
                **before.__dict__,
                "backend": chosen.backend,
                "recommendation": chosen,
                "scores": tuple(scores),
                "reasons": (f"moved from {before.backend} before it ran: {why}", f"{chosen.backend} is where it fits best now"),
                "scoring_policy": self.scoring.name,
                "supersedes": job.event_id,
                "moves_from": before.backend,
                "alternatives": tuple(rest),
                "batch": _batch(before.job, chosen),
                "decided_at": weighed.offers.at,
            }
        )

    def _turn(self, job: JobRequested, chosen: Recommendation) -> float:
        """Its place among all tenants' jobs; the one that it has, where it was decided before."""
        known = self.ledger.find(job.job_id)
        if known is not None:
            return known.routed.turn
        if not self.scoring.fair:
            return 0.0
        weight = tenant(self.tenants, job.tenant).weight
        return self.ledger.turns.turn(job.tenant, chosen.execution_seconds, weight, job.priority)

    def _over_quota(self, job: JobRequested) -> tuple[str, ...]:
        quota, (jobs, _) = tenant(self.tenants, job.tenant).max_open_jobs, self.ledger.owed(job.tenant)
        if quota is None or jobs < quota or self.ledger.find(job.job_id) is not None:
            return ()
        return (f"tenant {job.tenant} has {jobs} jobs under way, its quota is {quota}: submit again when one is over",)

    def _victory(self, scores: Sequence[BackendScore]) -> str:
        best, *others = [score for score in scores[:2] if not score.blocked]
        against = f"next is {others[0].backend} with {others[0].score:.4g}" if others else "no other backend is admissible"
        return (
            f"{best.backend} has the highest score, {best.score:.4g} {self.scoring.unit}: expected fidelity "
            f"{best.expected_fidelity:.4g} with {best.method} at {best.cost_usd:.4g} USD, time included; {against}"
        )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without garbage collection: decisions make many objects and no cycles, and passes look at all open jobs again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _others(job: Open, table: Table) -> list[Recommendation]:
    return [each for each in job.routed.alternatives if each.backend in table.index and each.backend != job.routed.backend]


def _strangers(candidates: Sequence[Recommendation], table: Table) -> list[BackendScore]:
    return [unknown(each) for each in candidates if each.backend not in table.index]


def _rank(score: BackendScore) -> tuple[float, str]:
    return -score.expected_fidelity, score.backend


def _brief(advice: Recommendation) -> Recommendation:
    return advice.model_copy(update={"ranking": ()})


def _batch(job: JobRequested, chosen: Recommendation) -> str:
    """The same for jobs of which one compilation serves all."""
    parameters = sorted(chosen.parameters.items())
    how = chosen.backend, chosen.calibration_id, chosen.method, parameters, job.optimization_level, job.circuits
    return hashlib.sha256(repr(how).encode()).hexdigest()[:16]


def _defeat(problems: Sequence[str], scores: Sequence[BackendScore]) -> tuple[str, ...]:
    """Every reason of every backend, behind what is wrong with the job itself."""
    reasons = [f"{score.backend}: {reason}" for score in scores for reason in score.blocked]
    return (*problems, *reasons) or ("no backend is known to the policy",)
