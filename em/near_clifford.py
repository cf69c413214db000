"""Training circuits for Clifford data regression: near a circuit, but with exact values that a computer finds.

The circuit is translated to rz, sx, x and cx. In a training circuit most of its rz become Clifford ones (multiples of pi/2),
likelier near ones (Czarnik et al. 2021, arXiv:2005.10189); a barrier after each cx keeps a compiler from making use of that, so
that the training circuits suffer the noise of the circuit itself. Their exact values come from a statevector of all of them at
once, or from stim, where the circuit is too wide for that and no non-Clifford rz is left.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import stim  # type: ignore[import-untyped]
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile

from backends.qasm import take_apart
from em.circuits import parse
from em.observables import bound, coefficients, constant
from schemas.jobs import Observable

STATEVECTOR_QUBITS = 12
"""Up to here non-Clifford gates may stay: forty statevectors of 2^12 amplitudes take 3 MB."""

_CANDIDATES = 4  # per training circuit: those with the largest exact values are taken, since zeros teach nothing
_HEADER = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


@dataclass(frozen=True)
class Training:
    """Circuits to learn from.

    Attributes:
        target: the circuit itself, written as the training circuits are, OpenQASM 3.
        sources: the training circuits.
        exact: (circuits, observables) their values without noise and without the observables' constants.
    """

    target: str
    sources: tuple[str, ...]
    exact: NDArray[np.float64]


@dataclass(frozen=True)
class _Step:
    """A gate: its name, its qubits, and the place of its angle among all angles (-1: it has none)."""

    name: str
    qubits: tuple[int, ...]
    angle: int


@lru_cache(maxsize=256)
def training(source: str, observables: tuple[Observable, ...], count: int, non_clifford: int, seed: int) -> Training:
    """Training circuits for a circuit; the same for the same arguments.

    Args:
        source: OpenQASM 3.
        observables: what will be estimated.
        count: how many.
        non_clifford: of the rz in each, how many keep their angle; none on more than `STATEVECTOR_QUBITS` qubits.
        seed: of the choice.

    Raises:
        JobInvalidError: the source does not parse.
    """
    flat = transpile(take_apart(parse(source)).body, basis_gates=["rz", "sx", "x", "cx"], optimization_level=2, seed_transpiler=0)
    steps, angles = _read(flat)
    draw = np.random.default_rng(seed)
    kept = min(non_clifford, len(angles) // 2) if flat.num_qubits <= STATEVECTOR_QUBITS else 0
    candidates = np.array([_near(angles, kept, draw) for _ in range(_CANDIDATES * count)]).reshape(-1, len(angles))
    exact = _exact(flat.num_qubits, steps, candidates, observables)
    sizes = np.array([max(bound(observable) - abs(constant(observable)), 1e-12) for observable in observables])
    best = np.sort(np.argsort(-np.abs(exact / sizes).sum(axis=1), kind="stable")[:count])
    sources = tuple(_written(flat.num_qubits, steps, candidates[index]) for index in best)
    return Training(_written(flat.num_qubits, steps, angles), sources, exact[best])


def _read(flat: QuantumCircuit) -> tuple[list[_Step], NDArray[np.float64]]:
    steps: list[_Step] = []
    angles: list[float] = []
    for item in flat.data:
        name = item.operation.name
        steps.append(_Step(name, tuple(flat.find_bit(qubit).index for qubit in item.qubits), len(angles) if name == "rz" else -1))
        angles += [float(angle) for angle in item.operation.params] if name == "rz" else []
    return steps, np.array(angles)


def _near(angles: NDArray[np.float64], kept: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """The angles, all but `kept` of them replaced by multiples of pi/2, drawn by exp(-d^2), d the distance of the matrices."""
    turns = np.arange(4) * math.pi / 2
    distances = 8 * np.square(np.sin((angles[:, None] - turns) / 4))
    distances = np.minimum(distances, 8 * np.square(np.cos((angles[:, None] - turns) / 4)))  # a phase of -1 cannot be seen
    chances = np.cumsum(np.exp(-distances), axis=1)
    choice = (draw.random((len(angles), 1)) * chances[:, -1:] > chances).sum(axis=1)
    near: NDArray[np.float64] = turns[choice]
    stays = draw.permutation(len(angles))[:kept]
    near[stays] = angles[stays]
    return near


def _exact(
    qubits: int, steps: Sequence[_Step], angles: NDArray[np.float64], observables: Sequence[Observable]
) -> NDArray[np.float64]:
    """(circuits, observables): exact values, constants left out."""
    terms = [coefficients(observable) for observable in observables]
    paulis = sorted({pauli for each in terms for pauli in each})
    values = (
        _by_statevector(qubits, steps, angles, paulis) if qubits <= STATEVECTOR_QUBITS else _by_stim(qubits, steps, angles, paulis)
    )
    weights = np.array([[each.get(pauli, 0.0) for each in terms] for pauli in paulis]).reshape(len(paulis), len(terms))
    return np.asarray(values @ weights, dtype=np.float64)


def _by_statevector(qubits: int, steps: Sequence[_Step], angles: NDArray[np.float64], paulis: Sequence[str]) -> NDArray[np.float64]:
    """(circuits, paulis): all circuits evolve together, since only their angles differ."""
    index = np.arange(2**qubits)
    states = np.zeros((len(angles), 2**qubits), dtype=complex)
    states[:, 0] = 1
    for step in steps:
        bits = [index >> qubit & 1 for qubit in step.qubits]
        if step.name == "rz":
            states *= np.exp(1j * angles[:, step.angle, None] * (bits[0] - 0.5))
        elif step.name == "cx":
            states = states[:, index ^ (bits[0] << step.qubits[1])]
        else:
            flipped = states[:, index ^ (1 << step.qubits[0])]
            states = flipped if step.name == "x" else ((1 + 1j) * states + (1 - 1j) * flipped) / 2
    values = []
    for pauli in paulis:
        flips, signs, phase = 0, np.ones(2**qubits), 1.0 + 0j
        for qubit, letter in enumerate(reversed(pauli)):
            flips |= (letter in "XY") << qubit
            signs = signs * (1 - 2 * (index >> qubit & 1)) if letter in "YZ" else signs
            phase *= -1j if letter == "Y" else 1
        values.append(np.real(phase * np.sum(states.conj() * signs * states[:, index ^ flips], axis=1)))
    return np.array(values).reshape(len(paulis), len(angles)).T


def _by_stim(qubits: int, steps: Sequence[_Step], angles: NDArray[np.float64], paulis: Sequence[str]) -> NDArray[np.float64]:
    """(circuits, paulis) of -1, 0 and 1; all angles are multiples of pi/2."""
    names = {"sx": "SQRT_X", "x": "X", "cx": "CX"}
    powers = ("I", "S", "Z", "S_DAG")
    observed = [stim.PauliString("".join(reversed(pauli))) for pauli in paulis]
    rows = []
    for given in angles:
        circuit = stim.Circuit()
        for step in steps:
            name = names.get(step.name) or powers[round(given[step.angle] / (math.pi / 2)) % 4]
            circuit.append(name, list(step.qubits))
        simulator = stim.TableauSimulator()
        simulator.set_num_qubits(qubits)
        simulator.do(circuit)
        rows.append([simulator.peek_observable_expectation(pauli) for pauli in observed])
    return np.array(rows, dtype=np.float64).reshape(len(angles), len(paulis))


def written(flat: QuantumCircuit) -> str:
    """A circuit of rz, sx, x and cx as OpenQASM 3, with a barrier after each cx."""
    return _written(flat.num_qubits, *_read(flat))


def _written(qubits: int, steps: Sequence[_Step], angles: NDArray[np.float64]) -> str:
    lines = []
    for step in steps:
        places = ", ".join(f"q[{qubit}]" for qubit in step.qubits)
        lines.append(f"rz({float(angles[step.angle])!r}) {places};" if step.name == "rz" else f"{step.name} {places};")
        if step.name == "cx":
            lines.append(f"barrier {places};")
    return f"{_HEADER}qubit[{qubits}] q;\n" + "\n".join(lines) + "\n"
