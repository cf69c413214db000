"""Exact scores of many events at once, from the structure of the circuit alone.

With one repetition the feature map is Hadamards and a diagonal, psi_z = exp(i phase_z) / sqrt(D), where the phases are a 0/1 table
times a few numbers of the event. The ansatz is a real orthogonal W. The score needs only the weight of the odd outcomes,
p = |Q psi|^2 with the D/2 odd rows Q of W: for a batch that is one real matrix product with [cos phase, sin phase]. An orthogonal
change U of the odd space leaves |U Q psi| as it is: with one that makes half of the rows zero in their first quarter, an eighth of
the work falls away.
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
        moved: (D, D) flat places that a matrix is taken from when it is seen from before the permutation; None where nothing moves.
    """

    source: Indices
    moved: Indices | None


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
        self.even, self.odd = (np.flatnonzero(self.bits.sum(axis=1) % 2 == parity) for parity in (0, 1))

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
        return self.composed(self.turns(weights, dtype))

    def turns(self, weights: Floats, dtype: Any = np.float64) -> list["Turn"]:
        """The rotations of each layer, first to last."""
        self.architecture.check(weights)
        angles = weights.reshape(len(self.layers), -1)
        half = angles.shape[1] // 2
        return list(zip(_kronecker(angles[:, half:], dtype), _kronecker(angles[:, :half], dtype), strict=True))

    def composed(self, turns: list["Turn"]) -> Reals:
        """`unitary`, from its rotations."""
        high, low = turns[0]
        found: Reals = (high[:, None, :, None] * low[None, :, None, :]).reshape(self.size, self.size)
        for layer, turn in zip(self.layers[:-1], turns[1:], strict=True):
            found = rotate(found.take(layer.source, axis=0), turn)
        return found.take(self.layers[-1].source, axis=0)

    def scores(self, angles: Floats, weights: Floats, dtype: Any = np.float64) -> Reals:
        """(events,): the probability of odd parity, exact up to rounding.

        Args:
            angles: (events, qubits), radians.
            weights: (architecture.weights,), radians.
            dtype: float32 is several times faster and within 1e-5.
        """
        return self.scored(angles, self.rows(weights, dtype))

    def rows(self, weights: Floats, dtype: Any = np.float64) -> tuple[Reals, Reals]:
        """(D, D/4) and (3 D/4, D/4): the odd rows of the unitary, transposed and turned; the second without its zeros."""
        odd = self.unitary(weights)[self.odd]
        quarter = len(odd) // 2
        triangular, _ = np.linalg.qr(odd[:, : 2 * quarter])
        turned = (triangular.T @ odd).T
        parts = turned[:, :quarter], turned[quarter:, quarter:]
        return np.ascontiguousarray(parts[0], dtype=dtype), np.ascontiguousarray(parts[1], dtype=dtype)

    def scored(self, angles: Floats, rows: tuple[Reals, Reals]) -> Reals:
        """`scores`, from the `rows` of the weights: for who scores often with the same ones."""
        angles, dtype = self.checked(angles), rows[0].dtype
        found = np.empty(len(angles), dtype=dtype)
        room = np.empty((2, min(CHUNK, len(angles)), self.size), dtype=dtype)
        amplitudes = np.empty((2 * room.shape[1], rows[0].shape[1]), dtype=dtype)
        for start in range(0, len(angles), CHUNK):
            part = slice(start, start + CHUNK)
            flat = self.waves(angles[part], dtype, room).reshape(-1, self.size)
            out = amplitudes[: len(flat)]
            squares = np.einsum("ij,ij->i", np.matmul(flat, rows[0], out=out), out)
            squares += np.einsum("ij,ij->i", np.matmul(flat[:, -len(rows[1]) :], rows[1], out=out), out)
            found[part] = self._scores(squares)
        return found

    def weigh(self, waves: Reals, unitary: Reals) -> tuple[Reals, Reals]:
        """(events,) scores and (D/2, 2 events) odd amplitudes, from `waves`."""
        amplitudes = unitary[self.odd] @ waves.reshape(-1, self.size).T
        return self._scores(np.einsum("ij,ij->j", amplitudes, amplitudes)), amplitudes

    def _scores(self, squares: Reals) -> Reals:
        """(events,), from the sums of squared amplitudes of all cosines, then of all sines."""
        return np.asarray(squares.reshape(2, -1).sum(axis=0) / self.size)

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


Turn = tuple[Reals, Reals]
"""RY of the high and of the low half of the qubits, each one matrix."""


def rotate(matrix: Reals, turn: Turn) -> Reals:
    """(D, k): the rotations applied from the left."""
    high, low = turn
    blocks = matrix.reshape(len(high), len(low), -1)
    turned = np.empty_like(blocks)
    np.matmul(high, blocks.swapaxes(0, 1), out=turned.swapaxes(0, 1))  # block by block: one wide product takes four times as long
    return np.asarray(low @ turned).reshape(matrix.shape)


def unturn(matrix: Reals, turn: Turn) -> Reals:
    """(D, D): the matrix seen from before the rotations, L^T matrix L."""
    high, low = turn
    shaped = rotate(matrix, (high.T, low.T)).reshape(-1, len(low)) @ low
    return np.asarray(high.T @ shaped.reshape(len(matrix), len(high), len(low))).reshape(matrix.shape)


def _kronecker(angles: Floats, dtype: Any) -> Reals:
    """(layers, 2^n, 2^n): RY of n qubits by (layers, n) angles, the first qubit the lowest bit."""
    cos, sin = np.cos(angles / 2), np.sin(angles / 2)
    rotations = np.array([[cos, -sin], [sin, cos]]).transpose(3, 2, 0, 1)
    found = np.ones((len(angles), 1, 1))
    for rotation in rotations:
        found = (rotation[:, :, None, :, None] * found[:, None, :, None, :]).reshape(len(angles), 2 * found.shape[1], -1)
    return np.ascontiguousarray(found, dtype=dtype)


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
        moved = target[:, None] * 2**qubits + target
        yield Layer(np.argsort(target), moved if len(gates[start:stop]) > qubits else None)


def _gates(circuit: QuantumCircuit) -> Iterator[tuple[str, list[int], Any]]:
    for item in circuit.data:
        yield item.operation.name, [circuit.find_bit(qubit).index for qubit in item.qubits], item.operation.params
