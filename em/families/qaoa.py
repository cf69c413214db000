"""QAOA for MaxCut on random 3-regular graphs, angles optimised without noise; measured is the expected cut. Farhi et al. 2014,
arXiv:1411.4028. Depth counts the rounds p. They start near the fixed angles of Wurtz and Lykov 2021 (arXiv:2107.00677)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from scipy.optimize import minimize

from em.errors import JobInvalidError
from em.families.family import Family, observable, pauli
from schemas.jobs import Observable

Edges = Sequence[tuple[int, int]]

_DEGREE = 3


def _draw(qubits: int, depth: int, draw: np.random.Generator) -> tuple[QuantumCircuit, tuple[Observable, ...]]:
    edges = _regular(qubits, draw)
    start = np.concatenate([draw.normal(0.6, 0.1, depth), draw.normal(0.4, 0.1, depth)])
    found = minimize(_cost(qubits, edges), start, method="Nelder-Mead", options={"maxiter": 60 * depth}).x
    circuit = QuantumCircuit(qubits)
    circuit.h(range(qubits))
    for gamma, beta in zip(found[:depth].tolist(), found[depth:].tolist(), strict=True):
        for a, b in edges:
            circuit.cx(a, b)
            circuit.rz(-gamma, b)
            circuit.cx(a, b)
        circuit.rx(2 * beta, range(qubits))
    cut = {"I" * qubits: len(edges) / 2, **{pauli(qubits, {a: "Z", b: "Z"}): -0.5 for a, b in edges}}
    return circuit, (observable("cut", cut),)


def _regular(qubits: int, draw: np.random.Generator) -> list[tuple[int, int]]:
    """A random 3-regular graph by pairing half-edges until no edge is double (Bollobas 1980).

    Raises:
        JobInvalidError: an odd number of qubits has no such graph.
    """
    if qubits % 2:
        raise JobInvalidError(f"a 3-regular graph has an even number of vertices, got {qubits}")
    while True:
        halves = draw.permutation(np.repeat(np.arange(qubits), _DEGREE)).reshape(-1, 2)
        edges = {(min(a, b), max(a, b)) for a, b in halves.tolist() if a != b}
        if len(edges) == len(halves):
            return sorted(edges)


def _cost(qubits: int, edges: Edges) -> Callable[[NDArray[np.float64]], float]:
    """Angles (gammas, then betas) -> minus the expected cut."""
    bits = (np.arange(2**qubits)[:, None] >> np.arange(qubits)) & 1
    cuts = sum((bits[:, a] != bits[:, b]).astype(float) for a, b in edges)

    def cost(angles: NDArray[np.float64]) -> float:
        gammas, betas = np.split(angles, 2)
        state = np.full(2**qubits, 2.0 ** (-qubits / 2), dtype=complex)
        for gamma, beta in zip(gammas, betas, strict=True):
            shaped = (np.exp(-1j * gamma * cuts) * state).reshape((2,) * qubits)
            for axis in range(qubits):
                shaped = np.cos(beta) * shaped - 1j * np.sin(beta) * np.flip(shaped, axis)
            state = shaped.reshape(-1)
        return -float(np.square(np.abs(state)) @ cuts)

    return cost


FAMILY = Family("qaoa", "MaxCut on random 3-regular graphs; depth: rounds", (4, 6), (1, 2), _draw)
