"""Constraints: what a backend must satisfy to be a candidate at all. None of them is a weight in the score."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from scheduler.score import Terms
from schemas.jobs import JobRequested
from schemas.mitigation import Recommendation


@dataclass(frozen=True, slots=True)
class Offer:
    """What one backend would do for a job.

    Attributes:
        job: what is asked.
        recommendation: how the backend would run it.
        terms: what that costs and how long it takes.
        at: the time of the decision.
    """

    job: JobRequested
    recommendation: Recommendation
    terms: Terms
    at: datetime


Constraint: TypeAlias = Callable[[Offer], str | None]
"""Why the offer is not acceptable, a sentence; None where it is."""


def requested_backend(offer: Offer) -> str | None:
    """The user may insist on one backend."""
    if offer.job.backend in (None, offer.recommendation.backend):
        return None
    return f"the job asks for {offer.job.backend} and no other backend"


def availability(offer: Offer) -> str | None:
    """A backend that is down takes no job."""
    return "it is down: its availability is 0" if offer.terms.availability_penalty == 0 else None


def max_error(offer: Offer) -> str | None:
    """SLA on the expected error, of the spectral bound."""
    limit, expected = offer.job.sla.max_error, offer.recommendation.expected_error
    if limit is None or expected <= limit:
        return None
    return f"the expected error is {expected:.4g} with {offer.recommendation.method}, the SLA allows {limit:.4g}"


def min_fidelity(offer: Offer) -> str | None:
    """SLA on the expected fidelity after mitigation."""
    limit, expected = offer.job.sla.min_fidelity, offer.recommendation.expected_fidelity
    if limit is None or expected >= limit:
        return None
    return f"the expected fidelity is {expected:.4g} with {offer.recommendation.method}, the SLA wants {limit:.4g}"


def max_cost(offer: Offer) -> str | None:
    """Limit on the money that the backend charges; time is not in it."""
    limit, price = offer.job.max_cost_usd, offer.terms.price_usd
    if limit is None or price <= limit:
        return None
    return f"it charges {price:.4g} USD, the job allows {limit:.4g} USD"


def deadline(offer: Offer) -> str | None:
    """Waiting and running must be over before the deadline."""
    if offer.job.deadline is None:
        return None
    left = (offer.job.deadline - offer.at).total_seconds()
    if left <= 0:
        return f"the deadline passed {-left:.4g} s ago"
    needed = offer.terms.wait_seconds + offer.terms.execution_seconds
    return None if needed <= left else f"it needs {needed:.4g} s with its queue, the deadline is in {left:.4g} s"


CONSTRAINTS: tuple[Constraint, ...] = (requested_backend, availability, max_error, min_fidelity, max_cost, deadline)


def blocked(offer: Offer) -> tuple[str, ...]:
    """All reasons why the offer is not acceptable, not just the first."""
    return tuple(reason for constraint in CONSTRAINTS if (reason := constraint(offer)) is not None)
