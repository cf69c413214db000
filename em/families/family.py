"""What a family of circuits is, and an instance of one: a circuit with observables and their exact values."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rfc8785
from qiskit import QuantumCircuit, qasm3
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford, SparsePauliOp, StabilizerState, Statevector

from em.errors import JobInvalidError
from em.ideal import MAX_QUBITS
from schemas.jobs import Observable, PauliTerm

Draw = Callable[[int, int, np.random.Generator], tuple[QuantumCircuit, tuple[Observable, ...]]]
"""(qubits, depth, random stream) -> the circuit, and observables as wide as it is."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One circuit of a family.

    Attributes:
        family: its family's name.
        source: OpenQASM 3.
        observables: all as wide as the circuit.
        ideal: the exact value of each observable without noise.
        qubits: of the circuit.
        depth: in the family's own unit (layers, Trotter steps, ...).
        two_qubit_gates: in the circuit as it is drawn, before compilation.
    """

    family: str
    source: str
    observables: tuple[Observable, ...]
    ideal: tuple[float, ...]
    qubits: int
    depth: int
    two_qubit_gates: int

    @property
    def circuit_hash(self) -> str:
        """SHA-256 (hex) of circuit and observables, like `JobRequested.circuit_hash` of a job with this circuit alone."""
        asked: dict[str, Any] = {
            "circuits": [hashlib.sha256(self.source.encode()).hexdigest()],
            "observables": [observable.model_dump(mode="json") for observable in self.observables],
        }
        return hashlib.sha256(rfc8785.dumps(asked)).hexdigest()


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of circuits; a size not asked for is drawn from `qubits` and `depths`.

    Attributes:
        about: what it is, its source, and what depth counts.
        qubits: widths to draw from.
        depths: depths to draw from.
        draw: makes one.
        fixed: only the widths in `qubits` exist.
    """

    name: str
    about: str
    qubits: tuple[int, ...]
    depths: tuple[int, ...]
    draw: Draw
    fixed: bool = False

    def instance(self, index: int, seed: int, qubits: int | None = None, depth: int | None = None) -> Instance:
        """Circuit number `index` of a seed; the same whatever else is asked for.

        Raises:
            JobInvalidError: a size that the family does not have.
        """
        draw = np.random.default_rng([seed, index, *self.name.encode()])
        width, length = (int(draw.choice(sizes)) for sizes in (self.qubits, self.depths))
        width, length = self._checked(width if qubits is None else qubits, length if depth is None else depth)
        circuit, observables = self.draw(width, length, draw)
        pairs = sum(len(item.qubits) == 2 for item in circuit.data)
        return Instance(self.name, qasm3.dumps(circuit), observables, exact(circuit, observables), width, length, pairs)

    def _checked(self, qubits: int, depth: int) -> tuple[int, int]:
        if self.fixed and qubits not in self.qubits:
            raise JobInvalidError(f"the family {self.name} has circuits of {_or(self.qubits)} qubits, not of {qubits}")
        if qubits < min(self.qubits) or depth < 1:
            raise JobInvalidError(
                f"the family {self.name} starts at {min(self.qubits)} qubits and depth 1, got {qubits} qubits and depth {depth}"
            )
        if self.depths == (1,) and depth != 1:
            raise JobInvalidError(f"the circuits of the family {self.name} have no depth to choose, got {depth}")
        return qubits, depth


def exact(circuit: QuantumCircuit, observables: Sequence[Observable]) -> tuple[float, ...]:
    """<O> of each observable, by statevector up to `em.ideal.MAX_QUBITS` qubits; by stabilizers beyond, for Clifford circuits.

    Raises:
        JobInvalidError: too wide, and not a Clifford circuit.
    """
    operators = [operator(observable) for observable in observables]
    if circuit.num_qubits <= MAX_QUBITS:
        state = Statevector(circuit)
        return tuple(float(np.real(state.expectation_value(each))) for each in operators)
    try:
        stabilizers = StabilizerState(Clifford(circuit))
    except QiskitError as error:
        raise JobInvalidError(
            f"the exact value of {circuit.num_qubits} qubits is known for Clifford circuits only; others can have {MAX_QUBITS}"
        ) from error
    return tuple(float(np.real(stabilizers.expectation_value(each))) for each in operators)


def operator(observable: Observable) -> SparsePauliOp:
    """The observable as Qiskit has it."""
    return SparsePauliOp([term.pauli for term in observable.terms], [term.coefficient for term in observable.terms])


def observable(name: str, terms: Mapping[str, float]) -> Observable:
    """An observable from Pauli string -> coefficient."""
    return Observable(name=name, terms=tuple(PauliTerm(pauli=pauli, coefficient=value) for pauli, value in terms.items()))


def pauli(qubits: int, letters: Mapping[int, str]) -> str:
    """The Pauli string with these letters on these qubits, the rightmost for qubit 0."""
    return "".join(letters.get(qubit, "I") for qubit in reversed(range(qubits)))


def evolve(circuit: QuantumCircuit, string: str, angle: float) -> None:
    """Appends exp(-i angle/2 P): basis changes, a ladder of CX onto the last qubit, a rotation, and back."""
    places = [qubit for qubit, letter in enumerate(reversed(string)) if letter != "I"]
    letters = {qubit: string[-1 - qubit] for qubit in places}
    for qubit in places:
        if letters[qubit] == "X":
            circuit.h(qubit)
        elif letters[qubit] == "Y":
            circuit.rx(np.pi / 2, qubit)
    for low, high in itertools.pairwise(places):
        circuit.cx(low, high)
    circuit.rz(angle, places[-1])
    for low, high in reversed(list(itertools.pairwise(places))):
        circuit.cx(low, high)
    for qubit in places:
        if letters[qubit] == "X":
            circuit.h(qubit)
        elif letters[qubit] == "Y":
            circuit.rx(-np.pi / 2, qubit)


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(str(number) for number in numbers)
