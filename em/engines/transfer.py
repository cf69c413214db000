"""Gates with their noise as real Pauli transfer matrices, kept per device.

A state of n qubits is the real vector r_i = Tr(P_i rho) over the 4^n Pauli strings. Here it is a row, and matrices are
(in, out), so that products read in the order of time: r' = r @ M, M[i, o] = Tr(P_o E(P_i)) / 2^n (Greenbaum 2015,
arXiv:1509.02921, transposed). Two-qubit matrices count the lower physical qubit as the higher digit.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import SuperOp

from backends.device import Device, Operation, gate
from em.engines.engine import Floats

Complex = NDArray[np.complex128]

_PAULIS: Complex = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])

_ROTATIONS = frozenset({"rx", "ry", "rz", "p", "rxx", "ryy", "rzz", "rzx"})
"""Gates of one angle whose matrix is A + cos(angle) C + sin(angle) S: the generator is a Pauli string."""


class Transfers:
    """The transfer matrices of a device, each built when it is first asked for; `sites` number (gate, place) pairs.

    Attributes:
        span: the number of qubits of the device.
        sites: (name, qubits) -> site, as far as they were asked for; a gate of several angles is found by `site` alone.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.span = len(device.calibration.qubits)
        self.sites: dict[tuple[Any, ...], int] = {}
        self._qubits: list[tuple[int, int]] = []
        self._places: list[int] = []
        self._rows: Mapping[int, list[Floats]] = {1: [], 2: []}
        self._tables: dict[int, Floats] = {}

    def site(self, operation: Operation) -> int:
        """The number of an operation.

        Raises:
            KeyError: a gate that the device does not have.
        """
        key: tuple[Any, ...] = (operation.name, operation.qubits)
        turns = operation.name in _ROTATIONS
        if operation.parameters and not turns:
            key += (operation.parameters,)
        if key not in self.sites:
            rows = self._rows[len(operation.qubits)]
            rows.append(self._row(operation, (0.0, np.pi, np.pi / 2) if turns else ()))
            self._places.append(len(rows) - 1)
            self._qubits.append((min(operation.qubits), max(operation.qubits) if len(operation.qubits) == 2 else -1))
            self.sites[key] = len(self._places) - 1
            self._tables.clear()
        return self.sites[key]

    @property
    def qubits(self) -> NDArray[np.intp]:
        """(2, sites): the lower and the higher qubit of each site; -1 for the higher of a single-qubit gate."""
        return np.array(self._qubits, dtype=np.intp).reshape(-1, 2).T

    def matrices(self, width: int, sites: NDArray[np.intp], angles: Floats) -> Floats:
        """(sites, 4**width, 4**width): each operation of that width followed by its noise; angles of fixed gates do not count."""
        if width not in self._tables:
            self._tables[width] = np.array(self._rows[width]).reshape(-1, 3, 4**width, 4**width)
        table, rows = self._tables[width], np.array(self._places, dtype=np.intp)[sites]
        found = table[rows, 0]
        turned = np.flatnonzero(angles)
        if len(turned):
            where, angle = rows[turned], angles[turned, None, None]
            found[turned] += (np.cos(angle) - 1) * table[where, 1] + np.sin(angle) * table[where, 2]
        return np.asarray(found)

    def _row(self, operation: Operation, angles: tuple[float, ...]) -> Floats:
        """(3, 4^w, 4^w): the matrix at angle 0, and what cos(angle) - 1 and sin(angle) bring in."""
        settings: list[tuple[float, ...]] = [(angle,) for angle in angles] if angles else [operation.parameters]
        at = [_lowest_first(unitary(operation.name, values), operation.qubits) @ self._noise(operation) for values in settings]
        if not angles:
            return np.stack([at[0], np.zeros_like(at[0]), np.zeros_like(at[0])])
        cosine = (at[0] - at[1]) / 2
        return np.stack([at[0], cosine, at[2] - (at[0] - cosine)])

    def _noise(self, operation: Operation) -> Floats:
        noise = self._device.after(operation, exact=True)
        if noise is None:
            return np.eye(4 ** len(operation.qubits))
        return _lowest_first(transfer(SuperOp(noise).data), operation.qubits)


@lru_cache(maxsize=4096)
def unitary(name: str, parameters: tuple[float, ...]) -> Floats:
    """(4^w, 4^w) of a gate without noise, its first qubit the higher digit."""
    matrix: Complex = gate(name, parameters).to_matrix()
    return transfer(np.asarray(np.kron(matrix.conj(), matrix), dtype=np.complex128))


def transfer(superoperator: Complex) -> Floats:
    """(4^w, 4^w) of a column-stacked superoperator whose first qubit is the least significant; it becomes the higher digit."""
    width = (len(superoperator).bit_length() - 1) // 2
    basis = _basis(width)
    return np.ascontiguousarray((basis.conj().T @ superoperator @ basis).real.T / 2**width, dtype=np.float64)


@lru_cache(maxsize=2)
def _basis(width: int) -> Complex:
    """(4^w, 4^w): each column a Pauli string, column-stacked."""
    strings = _PAULIS
    for _ in range(width - 1):
        strings = np.array([np.kron(later, earlier) for earlier in strings for later in _PAULIS])
    return np.ascontiguousarray(strings.transpose(0, 2, 1).reshape(len(strings), -1).T)


def _lowest_first(matrix: Floats, qubits: tuple[int, ...]) -> Floats:
    """The matrix with its digits in the order of the physical qubits."""
    if len(qubits) == 1 or qubits[0] < qubits[1]:
        return matrix
    return np.ascontiguousarray(matrix.reshape(4, 4, 4, 4).transpose(1, 0, 3, 2).reshape(16, 16))
