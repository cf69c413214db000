"""Samples of probabilistic error cancellation: the inverse of the noise as a signed mixture of Paulis.

Temme, Bravyi, Gambetta 2017, arXiv:1612.02058. What is inverted is the Pauli twirl of the noise that the calibration stands for
(`backends.noise`), gate by gate. A mixture with negative parts costs: each sample weighs +gamma or -gamma, gamma being the
product of the one-norms of all gates whose noise can reach what is read.
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backends.device import Device, Operation
from backends.frames import Frames, Pauli

_NUMBERS: tuple[Pauli, ...] = (0, 1, 3, 2)  # I, X, Y, Z
_ERRORS = 16  # of a two-qubit gate


@dataclass(frozen=True)
class _Mixture:
    """The inverse of a gate's noise: cumulative chances of its Paulis, the signs that they come with, and the one-norm."""

    chances: list[float]
    signs: list[float]
    cost: float


def _mixture(inverse: NDArray[np.float64]) -> _Mixture:
    sizes = np.abs(inverse)
    cost = float(sizes.sum())
    return _Mixture((np.cumsum(sizes)[:-1] / cost).tolist(), np.sign(inverse).tolist(), cost)


class Cancellation:
    """Operations whose noise is to be cancelled, prepared for any number of samples.

    Args:
        device: whose calibration says what the noise is.
        operations: the plain ones.
        places: the qubits that are read; noise that cannot reach them is left alone.
        frames: of the operations.

    Raises:
        WorkRefusedError: noise that has no inverse.
    """

    def __init__(self, device: Device, operations: Sequence[Operation], places: Sequence[int], frames: Frames) -> None:
        self._device, self._read, self._frames = device, frozenset(places), frames
        inside = light_cone(operations, places)
        self._heeded = {frames.places[index][0] for index, each in enumerate(operations) if inside[index] and len(each.qubits) == 2}
        found = [(index, device.inverse(each.name, each.qubits)) for index, each in enumerate(operations) if inside[index]]
        noisy = [(index, inverse) for index, inverse in found if inverse is not None]
        self._sites = [frames.places[index] for index, _ in noisy]
        inverses = np.array([np.pad(inverse, (0, _ERRORS - len(inverse))) for _, inverse in noisy]).reshape(-1, _ERRORS)
        self._signs = np.sign(inverses)
        costs = np.abs(inverses).sum(axis=1)
        self._chances = np.cumsum(np.abs(inverses), axis=1)[:, :-1] / costs[:, None]
        self._gamma = float(costs.prod())
        self._flips: dict[int, _Mixture | None] = {}

    def sampled(self, seed: int, twirl: np.random.Generator | None) -> tuple[tuple[Operation, ...], float]:
        """A random circuit and its weight: the average of weight x outcome over many is free of the noise.

        Args:
            seed: of the sample.
            twirl: draws the frames of a twirl at the same time, without which only Pauli noise is cancelled.
        """
        draw = np.random.default_rng(seed)
        errors: NDArray[np.intp] = (draw.random((len(self._sites), 1)) >= self._chances).sum(axis=1)
        weight = self._gamma * float(self._signs[np.arange(len(errors)), errors].prod())
        sample = _Sample(self, draw, weight)
        for site in np.flatnonzero(errors).tolist():
            (number, place), error = self._sites[site], int(errors[site])
            if place is None:
                sample.pairs[number] = _NUMBERS[error & 3], _NUMBERS[error >> 2]
            else:
                sample.singles[number] = (*sample.singles.get(number, ()), (place, _NUMBERS[error]))
        return self._frames.drawn(twirl, sample), sample.weight

    def flip(self, pair: int | None, qubit: int) -> _Mixture | None:
        """The inverse of an x that was added there; None where it has no noise, or none that reaches what is read."""
        if pair not in self._heeded and (pair is not None or qubit not in self._read):
            return None
        if qubit not in self._flips:
            inverse = self._device.inverse("x", (qubit,))
            self._flips[qubit] = None if inverse is None else _mixture(inverse)
        return self._flips[qubit]


def light_cone(operations: Sequence[Operation], places: Sequence[int]) -> list[bool]:
    """For each operation, whether it can reach what is read on the places."""
    reached, inside = set(places), []
    for operation in reversed(operations):
        inside.append(not reached.isdisjoint(operation.qubits))
        if inside[-1]:
            reached.update(operation.qubits)
    return inside[::-1]


@dataclass
class _Sample:
    """The errors of one sample (`backends.frames.Errors`); those of the x that frames need are drawn, and weighed, on the way."""

    of: Cancellation
    draw: np.random.Generator
    weight: float
    singles: dict[int, tuple[tuple[int, Pauli], ...]] = field(default_factory=dict)
    pairs: dict[int, tuple[Pauli, Pauli]] = field(default_factory=dict)

    def alone(self, segment: int) -> tuple[tuple[int, Pauli], ...]:
        return self.singles.get(segment, ())

    def after(self, pair: int) -> tuple[Pauli, Pauli]:
        return self.pairs.get(pair, (0, 0))

    def added(self, pair: int | None, qubit: int) -> Pauli:
        flip = self.of.flip(pair, qubit)
        if flip is None:
            return 0
        error = bisect(flip.chances, self.draw.random())
        self.weight *= flip.cost * flip.signs[error]
        return _NUMBERS[error]
