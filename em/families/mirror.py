"""Mirror circuits: Clifford layers, a random Pauli, and the layers undone: one bit string comes out, and it is known.

Proctor et al. 2022, arXiv:2008.11294 (without their random one-qubit frames); depth counts the layers of one half.
"""

import numpy as np
from qiskit import QuantumCircuit

from em.families.family import Family, exact, observable, pauli
from schemas.jobs import Observable

_TURNS = ("h", "s", "x", "y", "z")


def _draw(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    half = QuantumCircuit(qubits)
    for _ in range(depth):
        for qubit, turn in enumerate(draw.choice(_TURNS, qubits).tolist()):
            getattr(half, turn)(qubit)
        places = draw.permutation(qubits).tolist()
        for control, target in zip(places[::2], places[1::2], strict=False):
            half.cx(control, target)
    middle = QuantumCircuit(qubits)
    for qubit, turn in enumerate(draw.choice(("id", "x", "y", "z"), qubits).tolist()):
        if turn != "id":
            getattr(middle, turn)(qubit)
    circuit = half.compose(middle).compose(half.inverse())
    singles = [observable(f"z{qubit}", {pauli(qubits, {qubit: "Z"}): 1.0}) for qubit in range(qubits)]
    signs = exact(circuit, singles)
    mean = {pauli(qubits, {qubit: "Z"}): sign / qubits for qubit, sign in enumerate(signs)}
    return circuit, (observable("agreement", mean), observable("parity", {"Z" * qubits: float(np.prod(signs))}))


FAMILY = Family("mirror", "Clifford layers and their inverse; depth: layers of one half", (4, 5, 6), (1, 2, 4, 6), _draw)
