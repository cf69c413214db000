"""From what the qubits are to what is read: flips, readout errors, shots, and the spelling of bit strings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.noise import confusion
from schemas.calibration import QubitCalibration

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]


def reading(qubit: QubitCalibration, flipped: bool, flip_error: float) -> Floats:
    """(read, actual): P(read | actual) of one qubit, flipped first by an X gate that fails with probability `flip_error`."""
    if not flipped:
        return confusion(qubit)
    return np.asarray(confusion(qubit) @ np.array([[flip_error, 1 - flip_error], [1 - flip_error, flip_error]]))


def misread(probabilities: Floats, readings: Sequence[Floats]) -> Floats:
    """The (2^n,) distribution of what is read, qubit k being bit k of the index."""
    shaped: NDArray[Any] = probabilities.reshape((2,) * len(readings))
    for bit, matrix in enumerate(readings):
        axis = len(readings) - 1 - bit
        shaped = np.moveaxis(np.tensordot(matrix, shaped, axes=(1, axis)), 0, axis)
    read = np.clip(shaped.reshape(-1), 0.0, None)
    return np.asarray(read / read.sum())


def misread_shots(bits: Bits, readings: Sequence[Floats], draw: np.random.Generator) -> Bits:
    """(shots, qubits): what is read of each shot."""
    ones = np.array([matrix[1] for matrix in readings])
    chance = np.where(bits, ones[:, 1], ones[:, 0])
    return np.asarray(draw.random(bits.shape) < chance)


def spelled(bits: Bits, columns: Sequence[int]) -> list[str]:
    """A string per row: the character k from the right is the column `columns[k]`, 0 where that is -1."""
    padded = np.zeros((len(bits), len(columns)), dtype=np.uint8)
    for place, column in enumerate(reversed(columns)):
        if column >= 0:
            padded[:, place] = bits[:, column]
    text = (padded + ord("0")).tobytes().decode()
    return [text[start : start + len(columns)] for start in range(0, len(text), len(columns))]


def unpacked(values: NDArray[np.int64], width: int) -> Bits:
    """(values, width): bit k in column k."""
    return np.asarray((values[:, None] >> np.arange(width)) & 1, dtype=bool)
