"""What was read of a group of Pauli strings, and averages over it with their variances; all observables at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from backends.adapter import Run
from em.observables import signs, support

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """The outcomes of the runs that read the same qubits, flips undone.

    Attributes:
        qubits: those that were read, ascending.
        outcomes: (outcomes, qubits) of +1 and -1.
        weights: (outcomes,) how often each came.
        run: (outcomes,) which run it came from, from 0.
        factors: (outcomes,) what each outcome is multiplied by, see `backends.adapter.Result.weights`.
        random: whether the runs are random circuits, so that they are the independent draws, and not the shots.
    """

    qubits: tuple[int, ...]
    outcomes: Floats
    weights: Floats
    run: NDArray[np.intp]
    factors: Floats
    random: bool

    @classmethod
    def of(
        cls, qubits: Sequence[int], runs: Sequence[Run], counts: Sequence[Mapping[str, int]], factors: Sequence[float] = ()
    ) -> Self:
        """The sample of some runs, their counts and their weights (none: 1)."""
        read, weights = signs(counts)
        run = np.repeat(np.arange(len(runs)), [len(seen) for seen in counts])
        undone = np.ones((len(runs), len(qubits)))
        for row, each in zip(undone, runs, strict=True):
            if each.flips:
                row[[qubit in each.flips for qubit in qubits]] = -1.0
        known = np.asarray(factors or [1.0] * len(runs), dtype=np.float64)
        random = any(each.twirl is not None or each.pec is not None for each in runs)
        return cls(tuple(qubits), read * undone[run], weights, run, known[run], random)

    @property
    def shots(self) -> float:
        """All of them."""
        return float(self.weights.sum())

    def mask(self, paulis: Sequence[str]) -> NDArray[np.bool_]:
        """(paulis, qubits): where each string acts."""
        acting = [set(support(pauli)) for pauli in paulis]
        return np.array([[qubit in acts for qubit in self.qubits] for acts in acting], dtype=bool).reshape(
            len(paulis), len(self.qubits)
        )

    def products(self, factors: Floats, paulis: Sequence[str]) -> Floats:
        """(paulis, outcomes): the product of (outcomes, qubits) `factors` over the qubits of each string, weighed."""
        mask = self.mask(paulis)
        return np.array([self.factors * factors[:, row].prod(axis=1) for row in mask]).reshape(len(paulis), len(self.weights))

    def parities(self, paulis: Sequence[str]) -> Floats:
        """(paulis, outcomes) of +1 and -1, weighed."""
        return self.products(self.outcomes, paulis)

    def mean(self, values: Floats) -> Floats:
        """The average over shots of (..., outcomes) values."""
        average: Floats = values @ self.weights / self.shots
        return average

    def variance(self, values: Floats) -> Floats:
        """The variance of `mean`: between random runs if they are, else between shots."""
        return self.run_variance(values) if self.random else self.shot_variance(values)

    def run_variance(self, values: Floats) -> Floats:
        """The variance of `mean`, when runs are independent.

        At least what the runs' weights alone make of it, whose mean is 1 and whose size is gamma: (gamma^2 - 1) / runs x
        mean^2. Few samples may hold none of the rare ones that weigh -gamma.
        """
        spread = np.square(self.deviations(values)).sum(axis=-1)
        rare = np.square(self.mean(values)) * (np.square(self.factors).max() - 1) / (self.run[-1] + 1)
        return np.asarray(np.maximum.reduce([spread, rare, self.least_variance(values)]))

    def shot_variance(self, values: Floats) -> Floats:
        """The variance of `mean`, when shots are independent."""
        spread = self.mean(np.square(values - self.mean(values)[..., None])) / max(self.shots - 1, 1)
        return np.maximum(spread, self.least_variance(values))

    def least_variance(self, values: Floats) -> Floats:
        """What one deviating shot in all would make, (largest |value| / shots)^2: equal outcomes do not prove certainty."""
        least: Floats = np.square(np.abs(values).max(axis=-1) / self.shots)
        return least

    def deviations(self, values: Floats) -> Floats:
        """(..., runs): each run's part in the deviation of `mean`; the sum of squares is its variance between runs.

        Runs are the independent draws here (each has its own random flips), so that the choice of flips is inside.
        """
        runs = int(self.run[-1]) + 1
        starts = np.searchsorted(self.run, np.arange(runs))
        sizes = np.add.reduceat(self.weights, starts)
        means = np.add.reduceat(values * self.weights, starts, axis=-1) / sizes
        centred: Floats = (means - self.mean(values)[..., None]) * (sizes / self.shots) * np.sqrt(runs / (runs - 1))
        return centred


@dataclass(frozen=True)
class Readings:
    """All observables on one circuit at one scale, without their constants.

    Attributes:
        values: (observables,).
        variances: (observables,) from this scale's own shots.
        shared: (observables, sources) deviations from what all scales share, the calibration; unit-variance sources.
        raw: (observables,) the same without mitigation.
    """

    values: Floats
    variances: Floats
    shared: Floats
    raw: Floats

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        """Of all groups, from those of each: they have no shots in common, and the calibration's sources are the same."""
        columns = zip(*(tuple(getattr(part, field.name) for field in fields(part)) for part in parts), strict=True)
        return cls(*(np.sum(column, axis=0) for column in columns))


def spread(run: Run, parts: int) -> list[Run]:
    """A run cut into so many with equal shots, less where there are too few; at least two of one shot."""
    cuts = np.linspace(0, max(run.shots, 2), min(parts, max(2, run.shots // 2)) + 1).astype(int)
    sizes = [int(stop - start) for start, stop in pairwise(cuts)]
    made = {size: replace(run, shots=size) for size in set(sizes)}
    return [made[size] for size in sizes]
