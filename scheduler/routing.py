"""The scheduler: from the policy's recommendations to one decision, with the score of every backend."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from scheduler.constraints import Offer, blocked
from scheduler.crypto import access
from scheduler.errors import UnknownScoringError
from scheduler.score import RATES, SCORINGS, Rates, terms
from schemas.calibration import CalibrationUpdated
from schemas.jobs import BackendScore, EmRecommended, JobRequested, JobRouted
from schemas.mitigation import Recommendation, Unfit
from schemas.record import now

_WORST_ERROR = 2.0  # of the spectral bound: nothing can be further off


class Scheduler:
    """Decides where jobs run.

    Attributes:
        calibrations: backend -> its latest calibration; a live view.
        scoring: name of the scoring policy, a key of `scheduler.score.SCORINGS`.
        rates: what is not on a price list.
    """

    def __init__(
        self,
        calibrations: Mapping[str, CalibrationUpdated],
        scoring: str = "score-v1",
        clock: Callable[[], datetime] = now,
        rates: Rates = RATES,
    ) -> None:
        """`clock` tells the time of a decision, UTC.

        Raises:
            UnknownScoringError: there is no scoring policy of that name.
        """
        if scoring not in SCORINGS:
            raise UnknownScoringError(f"unknown scoring policy {scoring!r}: known are {', '.join(SCORINGS)}")
        self.calibrations = calibrations
        self.scoring = scoring
        self.rates = rates
        self._clock = clock

    def route(self, recommended: EmRecommended) -> JobRouted:
        """The decision: the admissible backend with the highest score, or REJECTED with the reasons of all."""
        at = self._clock()
        scores = [self._score(recommended.job, candidate, at) for candidate in recommended.candidates]
        scores += [_unfit(unfit) for unfit in recommended.unfit]
        scores.sort(key=_rank)
        best = None if recommended.problems else next((score for score in scores if not score.blocked), None)
        chosen = next((each for each in recommended.candidates if best and each.backend == best.backend), None)
        return JobRouted(
            job_id=recommended.job_id,
            decision="ROUTED" if best else "REJECTED",
            job=recommended.job,
            backend=best.backend if best else None,
            recommendation=chosen,
            scores=tuple(scores),
            reasons=(_victory(best, scores),) if best else _defeat(recommended.problems, scores),
            scoring_policy=self.scoring,
            model_version=recommended.model_version,
            decided_at=at,
        )

    def _score(self, job: JobRequested, candidate: Recommendation, at: datetime) -> BackendScore:
        calibration = self.calibrations.get(candidate.backend)
        if calibration is None:
            return _without_terms(candidate, "the scheduler knows no calibration of it, and so no price, queue or route")
        way = access(job.crypto_mode, calibration)
        found = terms(candidate, calibration, way, self.rates)
        reasons = (*blocked(Offer(job, candidate, found, at)), *way.blocked)
        return BackendScore(
            backend=candidate.backend,
            calibration_id=candidate.calibration_id,
            method=candidate.method,
            expected_fidelity=found.expected_fidelity,
            expected_error=candidate.expected_error,
            price_usd=found.price_usd,
            cost_usd=found.cost_usd,
            availability_penalty=found.availability_penalty,
            crypto_compatibility=found.crypto_compatibility,
            score=0.0 if reasons else SCORINGS[self.scoring](found),
            wait_seconds=found.wait_seconds,
            execution_seconds=found.execution_seconds,
            route=way.route.name if way.route else "",
            blocked=reasons,
        )


def _rank(score: BackendScore) -> tuple[bool, float, float, float, str]:
    """Best first; admissible before blocked, then by score, fidelity, cost and name: a total order, so that ties are settled."""
    return bool(score.blocked), -score.score, -score.expected_fidelity, score.cost_usd, score.backend


def _without_terms(candidate: Recommendation, reason: str) -> BackendScore:
    return _blank(candidate.backend, candidate.calibration_id, reason).model_copy(
        update={
            "method": candidate.method,
            "expected_fidelity": candidate.expected_fidelity,
            "expected_error": candidate.expected_error,
            "execution_seconds": candidate.execution_seconds,
        }
    )


def _unfit(unfit: Unfit) -> BackendScore:
    return _blank(unfit.backend, unfit.calibration_id, unfit.reason)


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


def _victory(best: BackendScore, scores: Sequence[BackendScore]) -> str:
    others = [score for score in scores if not score.blocked and score is not best]
    against = f"next is {others[0].backend} with {others[0].score:.4g}" if others else "no other backend is admissible"
    return (
        f"{best.backend} has the highest score, {best.score:.4g} per USD: expected fidelity {best.expected_fidelity:.4g} "
        f"with {best.method} at {best.cost_usd:.4g} USD, time included; {against}"
    )


def _defeat(problems: Sequence[str], scores: Sequence[BackendScore]) -> tuple[str, ...]:
    """Every reason of every backend, behind what is wrong with the job itself."""
    reasons = [f"{score.backend}: {reason}" for score in scores for reason in score.blocked]
    return (*problems, *reasons) or ("no backend is known to the policy",)
