"""What a calibration lets expect of a run, before it runs: how much of each Pauli string the noise leaves.

A string that is read is followed backwards through the compiled gates (the Heisenberg picture). Where a gate turns it into a sum,
one term is drawn with the square of its coefficient, and the noise of each gate that the term meets leaves the diagonal of its
Pauli transfer matrix. Signs are not kept: the paths tell how much is lost, not what the value is, and their number does not
grow with the width of the circuit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PTM, Operator

from backends.device import Device, Operation, gate

Floats = NDArray[np.float64]

POWERS = 6
"""Moments of the attenuation that a forecast tells: noise that acts twice and three times, and their products."""

_PATHS = 1024
_PSEUDO = 4.0  # paths' worth of trust in the mean over all of them, where few end in I and Z
_SEED = 0  # of the paths: the same run has the same forecast
_LEAST_CHANCE = 1e-12  # of a term: what is less is rounding


@dataclass(frozen=True, slots=True)
class StringForecast:
    """What is expected of one Pauli string.

    Attributes:
        moments: the mean of a^k, k = 1 to `POWERS`, a being what gate noise leaves of a path, over paths that end in I and Z,
            in which |0...0> is seen; where these are few, all count a little.
        spread: standard deviation of a over all paths.
        seen: the fraction of such paths: the expected square of the ideal value, if the signs of paths are random.
        meetings: two-qubit gates that a path meets on average.
        decay: what relaxation to |0> adds on average, all signs taken as equal.
    """

    moments: tuple[float, ...]
    spread: float
    seen: float
    meetings: float
    decay: float

    @property
    def attenuation(self) -> float:
        """What gate noise leaves of the string on average: the first moment."""
        return self.moments[0]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of a run.

    Attributes:
        readout: P(1|0) and P(0|1) of each qubit that is read, ascending.
        two_qubit_gates: in the compiled circuit.
        two_qubit_error: their mean reported error; 0 where there are none.
        strings: one for each of the run's `paulis`.
    """

    readout: tuple[tuple[float, float], ...]
    two_qubit_gates: int
    two_qubit_error: float
    strings: tuple[StringForecast, ...]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """The forecast in `dataclasses.asdict` of one, as it comes back from JSON."""
        readout = tuple((float(zero), float(one)) for zero, one in said["readout"])
        strings = tuple(StringForecast(**{**each, "moments": tuple(each["moments"])}) for each in said["strings"])
        return cls(readout, said["two_qubit_gates"], said["two_qubit_error"], strings)


def forecast(device: Device, operations: Sequence[Operation], places: Sequence[int], acting: Sequence[Sequence[bool]]) -> Forecast:
    """The forecast of a prepared run.

    Args:
        device: whose calibration speaks; noise that it does not report is not looked at.
        operations: all of them, the turns into the basis that is read included.
        places: the qubits that are read.
        acting: (strings, places): where each string acts, as Z after the turns.
    """
    errors = [device.gates[operation.name, operation.qubits].error for operation in operations if len(operation.qubits) == 2]
    qubits = device.calibration.qubits
    return Forecast(
        tuple((qubits[place].prob_meas1_prep0, qubits[place].prob_meas0_prep1) for place in places),
        len(errors),
        float(np.mean(errors)) if errors else 0.0,
        _strings(device, operations, places, np.array(acting, dtype=bool)),
    )


def _strings(
    device: Device, operations: Sequence[Operation], places: Sequence[int], masks: NDArray[np.bool_]
) -> tuple[StringForecast, ...]:
    column = {
        qubit: index for index, qubit in enumerate(sorted({*places, *(q for operation in operations for q in operation.qubits)}))
    }
    letters = np.zeros((len(column), len(masks) * _PATHS), dtype=np.intp)
    for place, acts in zip(places, masks.T, strict=True):
        letters[column[place]] = np.repeat(np.where(acts, 3, 0), _PATHS)
    draw = np.random.default_rng(_SEED)
    left, decay, meetings = np.ones(letters.shape[1]), np.zeros(letters.shape[1]), np.zeros(letters.shape[1])
    for operation in reversed(operations):
        where = [column[qubit] for qubit in operation.qubits]
        digits = letters[where[0]] if len(where) == 1 else letters[where[0]] + 4 * letters[where[1]]
        if not digits.any():
            continue
        kept, added = _diagonal(device, operation)
        decay += left * added[digits]
        left *= kept[digits]
        if len(where) == 2:
            meetings += digits > 0
        digits = _turned(operation, digits, draw)
        letters[where[0]] = digits % 4
        if len(where) == 2:
            letters[where[1]] = digits // 4
    ends = ((letters == 0) | (letters == 3)).all(axis=0)
    rows = (values.reshape(len(masks), _PATHS) for values in (left, ends, meetings, decay))
    return tuple(_summed(*row) for row in zip(*rows, strict=True))


def _summed(left: Floats, ends: NDArray[np.bool_], meetings: Floats, decay: Floats) -> StringForecast:
    powers = left ** np.arange(1, POWERS + 1)[:, None]
    moments = (powers[:, ends].sum(axis=1) + _PSEUDO * powers.mean(axis=1)) / (ends.sum() + _PSEUDO)
    return StringForecast(
        tuple(moments.tolist()), float(left.std()), float(ends.mean()), float(meetings.mean()), float(decay.mean())
    )


def _turned(operation: Operation, digits: NDArray[np.intp], draw: np.random.Generator) -> NDArray[np.intp]:
    """The strings before a gate, one of the terms each."""
    terms, chances = _terms(operation.name, operation.parameters)
    if not len(chances):
        return np.asarray(terms[0][digits])
    drawn = draw.random(len(digits))
    rank = np.zeros(len(digits), dtype=np.intp)
    for chance in chances:
        rank += drawn > chance[digits]
    return np.asarray(terms[rank, digits])


@lru_cache(maxsize=1 << 14)
def _terms(name: str, parameters: tuple[float, ...]) -> tuple[NDArray[np.intp], Floats]:
    """(terms, strings): what each string becomes, its likeliest term first; (terms - 1, strings): their cumulative chances."""
    squares = np.square(PTM(Operator(gate(name, parameters).to_matrix())).data.real)
    most = int((squares > _LEAST_CHANCE).sum(axis=1).max())
    terms = np.argsort(-squares, axis=1, kind="stable").T[:most]
    chances = np.cumsum(np.take_along_axis(squares.T, terms, axis=0), axis=0)[:-1]
    return np.ascontiguousarray(terms), np.ascontiguousarray(chances)


def _diagonal(device: Device, operation: Operation) -> tuple[Floats, Floats]:
    """What a gate's noise leaves of each string, and what it adds of the identity."""
    matrix = device.reported(operation.name, operation.qubits)
    return np.diag(matrix), np.where(np.arange(len(matrix)) > 0, matrix[:, 0], 0.0)
