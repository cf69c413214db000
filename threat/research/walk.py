"""A quantum walk for lateral movement, as link prediction: which pairs will talk next, of hosts that talked before?

Score of a pair (i, j): |<i|exp(-i t A)|j>|^2 (Farhi and Gutmann 1998; for links, Moutinho et al. 2021, arXiv:2112.04768), A the
graph so far, older snapshots weighing less. The heat kernel exp(t A) of the same A is the control; Euler (King and Huang, NDSS
2022) is the published comparison.
"""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import Operator, SparsePauliOp
from qiskit.synthesis import SuzukiTrotter
from scipy.linalg import expm

from threat.errors import DataError
from threat.vqc.circuit import Floats
from threat.vqc.learning import auc

TIME, DECAY = 1.0, 0.8
"""Fixed beforehand: nothing is tuned."""

TESTED = 3
"""Snapshots that are predicted, the last ones, as Euler's authors do."""

EULER: Mapping[str, float] = {"enron10": 0.9315, "colab": 0.8654, "fb": 0.9088}
"""AUC of dynamic link prediction, its best model, by data set."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """A graph over time: symmetric 0/1 matrices, nodes x nodes."""

    nodes: int
    matrices: tuple[Floats, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One graph: mean AUC of the tested snapshots, by score; the published one beside it, where there is one."""

    graph: str
    auc: Mapping[str, float]
    euler: float | None


def read(path: Path) -> Snapshots:
    """`{"nodes": n, "snapshots": [[[i, j], ...], ...]}`, gzipped or not.

    Raises:
        DataError: it is not that.
    """
    try:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found = json.loads(text)
        nodes = int(found["nodes"])
        return Snapshots(nodes, tuple(_matrix(nodes, edges) for edges in found["snapshots"]))
    except (ValueError, KeyError, TypeError, IndexError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path} holds no snapshots of a graph: {error}") from error


def generated(nodes: int, snapshots: int, seed: int) -> Snapshots:
    """Hosts in groups that talk mostly among themselves, often to the same partners again."""
    draw = np.random.default_rng(seed)
    group = draw.integers(max(2, nodes // 10), size=nodes)
    chance = np.where(group[:, None] == group, 0.25, 0.01) * draw.uniform(0.3, 1.5, (nodes, nodes))
    made = []
    for _ in range(snapshots):
        upper = np.triu(draw.random((nodes, nodes)) < chance, 1).astype(float)
        made.append(upper + upper.T)
    return Snapshots(nodes, tuple(made))


def history(matrices: Sequence[Floats], decay: float = DECAY) -> Floats:
    """The graph so far: each snapshot weighs `decay` times the next one; scaled by the root of the degrees (D^-1/2 A D^-1/2)."""
    total = np.zeros_like(matrices[0])
    for matrix in matrices:
        total = decay * total + matrix
    degrees = np.maximum(total.sum(axis=1), 1e-12)
    return np.asarray(total / np.sqrt(degrees[:, None] * degrees))


def walk(graph: Floats, time: float = TIME) -> Floats:
    """|exp(-i t A)|^2, from the eigenvectors of the symmetric A."""
    values, vectors = np.linalg.eigh(graph)
    amplitudes = (vectors * np.exp(-1j * time * values)) @ vectors.T
    return np.asarray(np.abs(amplitudes) ** 2)


def heat(graph: Floats, time: float = TIME) -> Floats:
    """exp(t A)."""
    values, vectors = np.linalg.eigh(graph)
    return np.asarray((vectors * np.exp(time * values)) @ vectors.T)


def seen(graph: Floats) -> Floats:
    """A itself: who talked before talks again."""
    return graph


SCORES: Mapping[str, Callable[[Floats], Floats]] = {"quantum walk": walk, "heat kernel": heat, "seen before": seen}


def compare(name: str, graph: Snapshots, seed: int = 0) -> Line:
    """Every score on the last snapshots, each predicted from all before it; as many absent pairs as there are links, drawn once.

    Raises:
        DataError: too few snapshots.
    """
    if len(graph.matrices) <= TESTED:
        raise DataError(f"{name} has {len(graph.matrices)} snapshots, more than {TESTED} are needed")
    draw = np.random.default_rng(seed)
    found: dict[str, list[float]] = {score: [] for score in SCORES}
    for step in range(len(graph.matrices) - TESTED, len(graph.matrices)):
        past, links = history(graph.matrices[:step]), np.argwhere(np.triu(graph.matrices[step], 1))
        absent = np.argwhere(np.triu(1 - graph.matrices[step], 1))
        chosen = draw.choice(len(absent), size=min(len(links), len(absent)), replace=False)
        pairs = np.concatenate([links, absent[chosen]])
        labels = np.repeat([1.0, 0.0], [len(links), len(chosen)])
        for score, of in SCORES.items():
            found[score].append(auc(labels, of(past)[pairs[:, 0], pairs[:, 1]]))
    return Line(name, {score: float(np.mean(values)) for score, values in found.items()}, EULER.get(name))


def circuit(graph: Floats, steps: int, time: float = TIME) -> QuantumCircuit:
    """exp(-i t A) on ceil(log2 nodes) qubits: A as a sum of Pauli strings, second-order Trotter steps (Suzuki 1990)."""
    operator = SparsePauliOp.from_operator(Operator(_padded(graph)))
    made = QuantumCircuit(operator.num_qubits)
    made.append(PauliEvolutionGate(operator, time, synthesis=SuzukiTrotter(order=2, reps=steps)), range(operator.num_qubits))
    return made.decompose(reps=3)


def distance(graph: Floats, steps: int, time: float = TIME) -> float:
    """Largest total variation distance, over all nodes to start from, between the circuit and expm."""
    by_circuit = np.abs(Operator(circuit(graph, steps, time)).data) ** 2
    exact = np.abs(expm(-1j * time * _padded(graph))) ** 2
    return float(np.abs(by_circuit - exact).sum(axis=0).max() / 2)


def _padded(graph: Floats) -> NDArray[np.float64]:
    size = 1 << max(1, int(np.ceil(np.log2(len(graph)))))
    found = np.zeros((size, size))
    found[: len(graph), : len(graph)] = graph
    return found


def _matrix(nodes: int, edges: Sequence[Sequence[int]]) -> Floats:
    found = np.zeros((nodes, nodes))
    places = np.asarray(edges, dtype=np.int64).reshape(-1, 2)
    if len(places) and (places.min() < 0 or places.max() >= nodes):
        raise ValueError(f"an edge names a node that is not among {nodes}")
    found[places[:, 0], places[:, 1]] = found[places[:, 1], places[:, 0]] = 1.0
    np.fill_diagonal(found, 0.0)
    return found
