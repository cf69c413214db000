"""The second opinion: what a classifier must offer to be asked about events that are dangerous or new."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.jobs import Observable


class SecondOpinion(Protocol):
    """A classifier that answers exactly and at once, and whose question can also be put to a quantum device."""

    @property
    def name(self) -> str:
        """Of the model, e.g. `vqc-4q`."""

    @property
    def version(self) -> str:
        """Changes with the weights: a content hash."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features that it wants, in this order."""

    def score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The exact probability, in [0, 1], that each event is an attack.

        Args:
            features: (n, k), the raw values of `columns`; how they become angles is the model's affair.
        """

    def question(self, features: NDArray[np.float64]) -> tuple[str, Observable]:
        """One event's circuit (OpenQASM 3) and the observable whose expectation answers; features: (k,)."""

    def answer(self, expectation: float) -> float:
        """The probability that an expectation value of that observable stands for."""
