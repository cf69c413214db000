"""VQE of H2 (2 qubits) and LiH (4): Ry rotations and CX chains, optimised without noise from seeded starts; measured in energy.

The ansatz is the hardware-efficient one of Kandala et al. 2017 (doi:10.1038/nature23879) with real amplitudes; depth counts its
entangling layers.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from scipy.optimize import minimize

from em.families.family import Family, operator
from em.families.molecules import hamiltonian
from schemas.jobs import Observable

Floats = NDArray[np.float64]

_BY_QUBITS = {2: "h2", 4: "lih"}
_STARTS = 3
"""Optimisations from different points; the lowest energy counts."""


def _draw(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    energy = hamiltonian(_BY_QUBITS[qubits])
    cost = _cost(np.real(operator(energy).to_matrix()), qubits, depth)
    found = [minimize(cost, draw.uniform(-np.pi, np.pi, (depth + 1) * qubits), method="BFGS") for _ in range(_STARTS)]
    return ansatz(min(found, key=lambda each: float(each.fun)).x.reshape(depth + 1, qubits)), (energy,)


def ansatz(angles: Floats) -> QuantumCircuit:
    """The circuit of (layers + 1, qubits) angles."""
    qubits = angles.shape[1]
    circuit = QuantumCircuit(qubits)
    for layer, row in enumerate(angles.tolist()):
        for left in range(qubits - 1 if layer else 0):
            circuit.cx(left, left + 1)
        for qubit, angle in enumerate(row):
            circuit.ry(angle, qubit)
    return circuit


def _cost(matrix: Floats, qubits: int, depth: int) -> Callable[[Floats], float]:
    """Angles -> energy."""
    numbers = np.arange(2**qubits)
    ladder = numbers
    for left in range(qubits - 1):
        ladder = ladder ^ (((ladder >> left) & 1) << (left + 1))
    order = np.argsort(ladder)  # the amplitude of an index after the CX chain is the one of order[index] before it

    def cost(angles: Floats) -> float:
        state = np.zeros((2,) * qubits)
        state[(0,) * qubits] = 1.0
        for layer, row in enumerate(angles.reshape(depth + 1, qubits) / 2):
            if layer:
                state = state.reshape(-1)[order].reshape(state.shape)
            for qubit, (cosine, sine) in enumerate(zip(np.cos(row), np.sin(row), strict=True)):
                turn = np.array([[cosine, -sine], [sine, cosine]])
                axis = qubits - 1 - qubit
                state = np.moveaxis(np.tensordot(turn, state, axes=(1, axis)), 0, axis)
        vector = state.reshape(-1)
        return float(vector @ matrix @ vector)

    return cost


FAMILY = Family(
    "vqe", "optimised ansatz of H2 (2 qubits) or LiH (4), measured in energy; depth: layers", (2, 4), (1, 2), _draw, fixed=True
)
