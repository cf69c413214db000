"""Scoring policies by name and version: the one that is used, and controls that each look at one thing only.

A policy is a class with three attributes and one method; adding one is a class and a row in `SCORINGS`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from scheduler.errors import UnknownScoringError
from scheduler.market import Floats
from scheduler.score import COST_FLOOR_USD, Terms

_LEAST_SECONDS = 1e-3


class Scoring(Protocol):
    """How admissible offers are compared; what is inadmissible is no matter of scores.

    Attributes:
        name: with the version; it stands in every decision.
        unit: of the score, for people.
        fair: whether jobs run by their tenants' turns; otherwise as they came.
    """

    name: str
    unit: str
    fair: bool

    def score(self, terms: Terms) -> Floats:
        """(rows,), >= 0 and finite: the higher is chosen."""


class ScoreV1:
    """Fidelity after mitigation per USD, time included, discounted by availability; zero without an admissible route."""

    name, unit, fair = "score-v1", "per USD", True

    def score(self, terms: Terms) -> Floats:
        """See `Scoring`."""
        return terms.expected_fidelity / terms.cost_usd * terms.availability_penalty * terms.crypto_compatibility


class Cheapest:
    """The least money, whatever it buys and however long it takes."""

    name, unit, fair = "cheapest", "1 / USD", True

    def score(self, terms: Terms) -> Floats:
        """See `Scoring`."""
        return 1.0 / np.maximum(terms.price_usd, COST_FLOOR_USD)


class Fastest:
    """The earliest end: waiting and running."""

    name, unit, fair = "fastest", "1 / s", True

    def score(self, terms: Terms) -> Floats:
        """See `Scoring`."""
        return 1.0 / np.maximum(terms.wait_seconds + terms.execution_seconds, _LEAST_SECONDS)


class HighestFidelity:
    """The best expected result, at any price and after any wait."""

    name, unit, fair = "highest-fidelity", "fidelity", True

    def score(self, terms: Terms) -> Floats:
        """See `Scoring`."""
        return terms.expected_fidelity


class FirstComeFirstServed:
    """What users of a cloud do without a scheduler: each takes the backend that promises most, and stands in its queue.

    The control that is released with Qonductor (Giortamis et al. 2025, arXiv:2408.04312) assigns jobs like this, as they come.
    """

    name, unit, fair = "fcfs", "fidelity", False

    def score(self, terms: Terms) -> Floats:
        """See `Scoring`."""
        return terms.expected_fidelity


class FirstFree:
    """First come, first served by one queue for all: each job runs on the backend that is free first, the best of several."""

    name, unit, fair = "fcfs-first-free", "1 / s", False

    def score(self, terms: Terms) -> Floats:
        """See `Scoring`."""
        return 1.0 / np.maximum(terms.wait_seconds, _LEAST_SECONDS)


SCORINGS: Mapping[str, Scoring] = MappingProxyType(
    {each.name: each for each in (ScoreV1(), Cheapest(), Fastest(), HighestFidelity(), FirstComeFirstServed(), FirstFree())}
)


def scoring(name: str) -> Scoring:
    """The scoring policy of that name.

    Raises:
        UnknownScoringError: there is none; the sentence lists those there are.
    """
    if name not in SCORINGS:
        raise UnknownScoringError(f"unknown scoring policy {name!r}: known are {', '.join(SCORINGS)}")
    return SCORINGS[name]
