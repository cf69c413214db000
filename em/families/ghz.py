"""GHZ states: one Hadamard and a chain of CX in a random order; the coherence X...X is the first thing that noise takes."""

import itertools

import numpy as np
from qiskit import QuantumCircuit

from em.families.family import Family, observable, pauli
from schemas.jobs import Observable


def _draw(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    circuit = QuantumCircuit(qubits)
    order = draw.permutation(qubits).tolist()
    circuit.h(order[0])
    for control, target in itertools.pairwise(order):
        circuit.cx(control, target)
    pairs = {pauli(qubits, {a: "Z", b: "Z"}): 1.0 / (qubits - 1) for a, b in itertools.pairwise(order)}
    return circuit, (observable("zz", pairs), observable("coherence", {"X" * qubits: 1.0}))


FAMILY = Family("ghz", "a Hadamard and a chain of CX; no depth to choose", (3, 4, 5, 6), (1,), _draw)
