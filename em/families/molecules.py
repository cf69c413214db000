"""Molecules as qubits: Hamiltonians from `em/families/data/` (each file names its source), and their Trotterised dynamics."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from em.families.family import Draw, Family, evolve, observable, pauli
from schemas.jobs import Observable

MOLECULES = ("h2", "lih", "h2o")


@cache
def hamiltonian(name: str) -> Observable:
    """The Hamiltonian in hartree, nuclear repulsion included, as the observable `energy`."""
    return observable("energy", data(name)["terms"])


@cache
def data(name: str) -> dict[str, Any]:
    """All that the file of a molecule says: geometry, basis, active space, mapping, published values and terms."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())
    return content


def _drawn(name: str) -> Draw:
    def draw_one(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
        terms = [term for term in hamiltonian(name).terms if term.pauli.strip("I")]
        step = float(draw.uniform(0.2, 1.0))
        circuit = QuantumCircuit(qubits)
        for qubit in range(qubits):  # a product state: a determinant alone would hardly move
            circuit.ry(float(draw.uniform(0, np.pi)), qubit)
        for _ in range(depth):
            for term in terms:
                evolve(circuit, term.pauli, 2 * term.coefficient * step)
        mean = {pauli(qubits, {qubit: "Z"}): 1.0 / qubits for qubit in range(qubits)}
        return circuit, (observable("z", mean), observable("zz", {pauli(qubits, {0: "Z", 1: "Z"}): 1.0}))

    return draw_one


def _family(name: str, depths: tuple[int, ...]) -> Family:
    about = data(name)
    qubits = len(next(iter(about["terms"])))
    says = f"dynamics of {about['molecule']} ({about['basis'].split(' ')[0]}, {about['mapping']}); depth: Trotter steps"
    return Family(f"{name}-dynamics", says, (qubits,), depths, _drawn(name), fixed=True)


FAMILIES = tuple(_family(name, depths) for name, depths in (("h2", (1, 2, 3, 4)), ("lih", (1, 2)), ("h2o", (1,))))
