"""Spin chains after a quench, first-order Trotter steps: transverse-field Ising and Heisenberg with a random field.

The Ising angles are drawn from the range of Kim et al. 2023 (doi:10.1038/s41586-023-06096-3) and Liao et al. 2024
(arXiv:2309.17368); depth counts the Trotter steps.
"""

from collections.abc import Callable

import numpy as np
from qiskit import QuantumCircuit

from em.families.family import Family, evolve, observable, pauli
from schemas.jobs import Observable


def _ising(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    coupling, field = float(draw.uniform(0.2, 0.8)), float(draw.uniform(0.2, 0.8))
    circuit = QuantumCircuit(qubits)
    for _ in range(depth):
        for left in range(qubits - 1):
            evolve(circuit, pauli(qubits, {left: "Z", left + 1: "Z"}), -2 * coupling)
        for qubit in range(qubits):
            circuit.rx(2 * field, qubit)
    return circuit, _magnetisation(qubits, lambda qubit: 1.0)


def _heisenberg(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    step, fields = float(draw.uniform(0.1, 0.4)), draw.uniform(-1.0, 1.0, qubits)
    circuit = QuantumCircuit(qubits)
    circuit.x(range(1, qubits, 2))
    for _ in range(depth):
        for left in range(qubits - 1):
            for letter in "XYZ":
                evolve(circuit, pauli(qubits, {left: letter, left + 1: letter}), step)
        for qubit, field in enumerate(fields.tolist()):
            circuit.rz(step * field, qubit)
    return circuit, _magnetisation(qubits, lambda qubit: (-1.0) ** qubit)


def _magnetisation(qubits: int, sign: Callable[[int], float]) -> tuple[Observable, ...]:
    middle = qubits // 2
    return (
        observable("magnetisation", {pauli(qubits, {qubit: "Z"}): sign(qubit) / qubits for qubit in range(qubits)}),
        observable("zz", {pauli(qubits, {middle - 1: "Z", middle: "Z"}): 1.0}),
    )


ISING = Family("ising", "transverse-field Ising chain from all up; depth: Trotter steps", (4, 5, 6), (1, 2, 3, 4, 5, 6), _ising)
HEISENBERG = Family(
    "heisenberg", "Heisenberg chain in a random field from the Neel state; depth: Trotter steps", (4, 5, 6), (1, 2, 3), _heisenberg
)
