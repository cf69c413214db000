"""Exact scores of many events at once, from the structure of the circuit alone.

With one repetition the feature map is Hadamards and a diagonal, psi_z = exp(i phase_z) / sqrt(D), where the phases are a 0/1 table
times a few numbers of the event. The ansatz is a real orthogonal W. The score needs only the weight of the odd outcomes,
p = |Q psi|^2 with the D/2 odd rows Q of W: for a batch that is one real matrix product with [cos phase, sin phase].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from threat.vqc.circuit import Architecture, Floats
from threat.vqc.errors import VqcError

Reals = NDArray[Any]
"""float64, or float32 for speed."""

Indices = NDArray[np.intp]

CHUNK = 384
"""Events at a time: their cosines, sines and products stay in the second-level cache at 8 qubits."""


@dataclass(frozen=True)
class Layer:
    """Rotations of every qubit by its own weight, then a permutation of the basis states.

    Attributes:
        source: (D,) the basis state that is moved to each place by the CX gates behind the rotations.
        target: (D,) the place that each is moved to: its inverse.
    """

    source: Indices
    target: Indices


class Engine:
    """The circuit of an architecture, taken apart once.

    Attributes:
        table: (coefficients, D) of 0 and 1: phase = coefficients @ table.
        layers: of the ansatz, first to last.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.size = 2**architecture.qubits
        self._places, self.table = _diagonal(architecture.feature_map)
        self.layers = tuple(_layers(architecture.ansatz))
        self.bits = (np.arange(self.size)[:, None] >> np.arange(architecture.qubits)) & 1
        self.odd = np.flatnonzero(self.bits.sum(axis=1) % 2)

    @cached_property
    def _tables(self) -> dict[np.dtype[Any], Reals]:
        return {np.dtype(kind): self.table.astype(kind) for kind in (np.float32, np.float64)}

    @cached_property
    def _pairs(self) -> tuple[Indices, Indices]:
        pairs = np.array([place for place in self._places if len(place) == 2], dtype=np.intp).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def waves(self, angles: Floats, dtype: Any = np.float64, out: Reals | None = None) -> Reals:
        """(2, events, D): cosines and sines of the phases of every event; psi = (cos + i sin) / sqrt(D).

        Args:
            angles: (events, qubits), radians.
            dtype: float32 or float64.
            out: room for them; new pages for every chunk would cost as much as their cosines.
        """
        found = np.empty((2, len(angles), self.size), dtype=dtype) if out is None else out[:, : len(angles)]
        phases = found[1]
        np.matmul(self._coefficients(angles).astype(dtype).T, self._tables[np.dtype(dtype)], out=phases)
        np.cos(phases, out=found[0])
        np.sin(phases, out=phases)
        return found

    def _coefficients(self, angles: Floats) -> Floats:
        """(coefficients, events): 2 x, then 2 (pi - x_i)(pi - x_j), each brought near 0, since whole turns change nothing."""
        columns = np.asarray(angles, dtype=np.float64).T
        first, second = self._pairs
        away = np.pi - columns
        found = np.concatenate([2 * columns, 2 * away[first] * away[second]])
        found -= 2 * np.pi * np.rint(found / (2 * np.pi))
        return found

    def unitary(self, weights: Floats, dtype: Any = np.float64) -> Reals:
        """(D, D): the ansatz, a real orthogonal matrix."""
        self.architecture.check(weights)
        found = np.eye(self.size, dtype=dtype)
        for layer, angles in zip(self.layers, np.split(weights, len(self.layers)), strict=True):
            found = rotate(found, turns(angles, dtype)).take(layer.source, axis=0)
        return found

    def scores(self, angles: Floats, weights: Floats, dtype: Any = np.float64) -> Reals:
        """(events,): the probability of odd parity, exact up to rounding.

        Args:
            angles: (events, qubits), radians.
            weights: (architecture.weights,), radians.
            dtype: float32 is several times faster and within 1e-5.
        """
        return self.scored(angles, self.rows(weights, dtype))

    def rows(self, weights: Floats, dtype: Any = np.float64) -> Reals:
        """(D, D/2): the odd rows of the unitary, transposed: all that a score needs of the weights."""
        return np.ascontiguousarray(self.unitary(weights)[self.odd].T, dtype=dtype)

    def scored(self, angles: Floats, rows: Reals) -> Reals:
        """`scores`, from the `rows` of the weights: for who scores often with the same ones."""
        angles, dtype = self.checked(angles), rows.dtype
        found = np.empty(len(angles), dtype=dtype)
        room = np.empty((2, min(CHUNK, len(angles)), self.size), dtype=dtype)
        amplitudes = np.empty((2 * room.shape[1], len(self.odd)), dtype=dtype)
        for start in range(0, len(angles), CHUNK):
            part = slice(start, start + CHUNK)
            found[part], _ = self.weigh(self.waves(angles[part], dtype, room), rows, amplitudes)
        return found

    def weigh(self, waves: Reals, rows: Reals, out: Reals | None = None) -> tuple[Reals, Reals]:
        """(events,) scores and (2 events, D/2) amplitudes, from `waves` and the transposed odd rows of the unitary."""
        flat = waves.reshape(-1, self.size)
        amplitudes = np.matmul(flat, rows, out=None if out is None else out[: len(flat)])
        weight = np.einsum("ij,ij->i", amplitudes, amplitudes)
        return weight.reshape(2, -1).sum(axis=0) / self.size, amplitudes

    def states(self, angles: Floats) -> NDArray[np.complex128]:
        """(events, D): the states of the feature map alone."""
        waves = self.waves(self.checked(angles))
        return np.asarray((waves[0] + 1j * waves[1]) / np.sqrt(self.size))

    def checked(self, angles: Floats) -> Floats:
        """The angles as (events, qubits). Raises VqcError where they are not, or not finite."""
        found = np.asarray(angles, dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != self.architecture.qubits:
            raise VqcError(f"angles must be (events, {self.architecture.qubits}), got {found.shape}")
        if not np.isfinite(found).all():
            raise VqcError("angles must be finite; an event has a feature that is not a number")
        return found


@lru_cache(maxsize=32)
def engine(architecture: Architecture) -> Engine:
    """The engine of an architecture; made once."""
    return Engine(architecture)


Turns = tuple[Reals, Reals]
"""RY of the high and of the low half of the qubits, each one matrix."""


def turns(angles: Floats, dtype: Any) -> Turns:
    """RY of every qubit, qubit 0 the lowest bit."""
    half = len(angles) // 2
    return _kronecker(angles[half:], dtype), _kronecker(angles[:half], dtype)


def rotate(matrix: Reals, turn: Turns) -> Reals:
    """(D, k): the rotations applied from the left."""
    high, low = turn
    shaped = high @ matrix.reshape(len(high), -1)
    return np.asarray(low @ shaped.reshape(len(high), len(low), -1)).reshape(matrix.shape)


def unturn(matrix: Reals, turn: Turns) -> Reals:
    """(D, D): the matrix seen from before the rotations, L^T matrix L."""
    high, low = turn
    shaped = rotate(matrix, (high.T, low.T)).reshape(-1, len(low)) @ low
    return np.asarray(high.T @ shaped.reshape(len(matrix), len(high), len(low))).reshape(matrix.shape)


def _kronecker(angles: Floats, dtype: Any) -> Reals:
    found = np.ones((1, 1))
    for cos, sin in zip(np.cos(angles / 2).tolist(), np.sin(angles / 2).tolist(), strict=True):
        rotation = np.array([[cos, -sin], [sin, cos]])
        found = (rotation[:, None, :, None] * found[None, :, None, :]).reshape(2 * len(found), -1)
    return found.astype(dtype)


def _diagonal(feature_map: QuantumCircuit) -> tuple[list[tuple[int, ...]], Reals]:
    """Of each phase gate: the qubits whose angles it takes, and the (D,) value of its qubit when it acts."""
    bits = (np.arange(2**feature_map.num_qubits)[:, None] >> np.arange(feature_map.num_qubits)) & 1
    places: list[tuple[int, ...]] = []
    rows = []
    for name, qubits, parameters in _gates(feature_map):
        if name == "cx":
            bits[:, qubits[1]] ^= bits[:, qubits[0]]
        elif name == "p":
            places.append(tuple(sorted(parameter.index for parameter in parameters[0].parameters)))
            rows.append(bits[:, qubits[0]].astype(np.float64))
    return places, np.array(rows)


def _layers(ansatz: QuantumCircuit) -> Iterator[Layer]:
    """Split before each RY of qubit 0's turn: n rotations, then the CX gates up to the next rotations."""
    qubits = ansatz.num_qubits
    gates = [(name, places) for name, places, _ in _gates(ansatz)]
    starts = [index for index, (name, _) in enumerate(gates) if name == "ry"][::qubits]
    for start, stop in zip(starts, [*starts[1:], len(gates)], strict=True):
        target = np.arange(2**qubits)
        for name, places in gates[start:stop]:
            if name == "cx":
                target ^= ((target >> places[0]) & 1) << places[1]
        yield Layer(np.argsort(target), target)


def _gates(circuit: QuantumCircuit) -> Iterator[tuple[str, list[int], Any]]:
    for item in circuit.data:
        yield item.operation.name, [circuit.find_bit(qubit).index for qubit in item.qubits], item.operation.params
