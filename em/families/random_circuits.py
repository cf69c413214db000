"""Random circuits: layers of random one-qubit rotations and of CX on random disjoint pairs; depth counts the layers.

Values shrink with depth towards those of a random state, so that deep ones punish methods that amplify noise.
"""

import numpy as np
from qiskit import QuantumCircuit

from em.families.family import Family, observable, pauli
from schemas.jobs import Observable


def _draw(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    circuit = QuantumCircuit(qubits)
    for _ in range(depth):
        for qubit in range(qubits):
            for turn, angle in zip((circuit.rz, circuit.ry), draw.uniform(-np.pi, np.pi, 2), strict=True):
                turn(float(angle), qubit)
        places = draw.permutation(qubits).tolist()
        for control, target in zip(places[::2], places[1::2], strict=False):
            circuit.cx(control, target)
    first, *rest = draw.permutation(qubits).tolist()
    return circuit, (
        observable("z", {pauli(qubits, {first: "Z"}): 1.0}),
        observable("zz", {pauli(qubits, {first: "Z", rest[0]: "Z"}): 1.0}),
    )


FAMILY = Family("random", "random rotations and CX; depth: layers of both", (4, 5, 6), (2, 4, 6, 8), _draw)
