"""What a job asks of any device: the gates that can hurt its observables, how they are read, and what is already known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from qiskit import QuantumCircuit

from em.circuits import CircuitFeatures, features, parse
from em.errors import JobInvalidError
from em.methods import METHODS, Method, Workload
from em.observables import bound, check_widths, coefficients, support
from schemas.jobs import JobRequested, Observable

_TYPICAL_ERRORS = (0.01, 0.0005, 0.02)  # of a two-qubit gate, a one-qubit gate, a readout: they only order the targets
_MOST_TERMS = 200  # of an observable: the heaviest say how large its light cone is


@dataclass(frozen=True, slots=True)
class Target:
    """One observable on one circuit.

    Attributes:
        two_qubit_gates, one_qubit_gates: gates in the light cone of its Pauli strings, weighted by |coefficient|.
        weight: qubits that are read for a Pauli string, weighted likewise.
        share: part of the spectral bound that is not the identity's, in [0, 1]: only this part feels noise.
        spread: sqrt(sum c^2) / bound: standard deviation of one shot, in units of the bound.
    """

    two_qubit_gates: float
    one_qubit_gates: float
    weight: float
    share: float
    spread: float

    @property
    def difficulty(self) -> float:
        """Orders targets by how much a typical device hurts them."""
        two, one, readout = _TYPICAL_ERRORS
        return self.share * (self.two_qubit_gates * two + self.one_qubit_gates * one + self.weight * readout)


@dataclass(frozen=True, slots=True)
class Demand:
    """A job without its words.

    Attributes:
        circuits: features of each.
        target: the observable that noise hurts most; SLAs are judged by it.
        workload: what methods make circuits of.
        source, observable: whose target it is; None for counts.
        method: that the job insists on; None for any that runs the circuits as wide as they are.
    """

    circuits: tuple[CircuitFeatures, ...]
    target: Target
    workload: Workload
    source: str = ""
    observable: Observable | None = None
    method: Method | None = None

    @property
    def hardest(self) -> CircuitFeatures:
        """The circuit of the target."""
        return _parsed(self.source)[1]

    @property
    def width(self) -> int:
        """Qubits of a device that the widest circuit takes, copies of it included."""
        return max(circuit.qubits if self.method is None else self.method.width(circuit) for circuit in self.circuits)

    @property
    def copies(self) -> str:
        """Why that is more than the circuit has, to be said after a refusal; empty where it is not."""
        own = max(circuit.qubits for circuit in self.circuits)
        return "" if self.method is None or self.width == own else f": {self.method.name} runs the circuit's {own} as {self.width}"

    @property
    def largest(self) -> CircuitFeatures:
        """The circuit with the most two-qubit gates."""
        return max(self.circuits, key=lambda circuit: (circuit.two_qubit_gates, circuit.depth))

    @classmethod
    def of(cls, job: JobRequested) -> "Demand":
        """The demand of a job.

        Raises:
            JobInvalidError: a circuit or an observable is at fault; the sentence names it.
        """
        circuits = [_read(source, number) for number, source in enumerate(job.circuits)]
        targets: list[tuple[Target, str, Observable | None]] = []
        for source, known in zip(job.circuits, circuits, strict=True):
            check_widths(job.observables, known.qubits)
            targets += [(_target(source, observable), source, observable) for observable in job.observables]
            targets += [] if job.observables else [(_counts_target(known), source, None)]
        hardest, source, observable = max(targets, key=lambda target: target[0].difficulty)
        return cls(tuple(circuits), hardest, Workload.of(job), source, observable, METHODS.get(job.method))


def _read(source: str, number: int) -> CircuitFeatures:
    try:
        return _parsed(source)[1]
    except JobInvalidError as error:
        raise JobInvalidError(f"circuit {number}: {error}") from error


@lru_cache(maxsize=256)
def _parsed(source: str) -> tuple[QuantumCircuit, CircuitFeatures]:
    """Remembered, because parsing takes longer than all the rest and users send the same circuit again with other settings."""
    circuit = parse(source)
    return circuit, features(circuit)


def _counts_target(known: CircuitFeatures) -> Target:
    """Counts are the hardest observable of all: every gate and every readout counts."""
    return Target(known.two_qubit_gates, known.one_qubit_gates, known.measured_qubits or known.qubits, 1.0, 1.0)


@lru_cache(maxsize=1024)
def _target(source: str, observable: Observable) -> Target:
    circuit, known = _parsed(source)
    sizes = {pauli: abs(coefficient) for pauli, coefficient in coefficients(observable).items()}
    total = sum(sizes.values())
    if not total:
        return Target(0.0, 0.0, 0.0, 0.0, 0.0)
    heaviest = sorted(sizes, key=lambda pauli: (-sizes[pauli], pauli))[:_MOST_TERMS]
    supports = [(sizes[pauli], support(pauli)) for pauli in heaviest]
    seen = sum(size for size, _ in supports)
    blocks = _blocks(circuit)
    cones: dict[tuple[int, ...], tuple[float, float]] = {}
    for _, qubits in supports:
        if tuple(qubits) not in cones:
            cones[tuple(qubits)] = _cone(blocks, qubits)
    shares = [(size, *cones[tuple(qubits)], len(qubits)) for size, qubits in supports]
    return Target(
        two_qubit_gates=known.two_qubit_gates * sum(size * two for size, two, _, _ in shares) / seen,
        one_qubit_gates=known.one_qubit_gates * sum(size * one for size, _, one, _ in shares) / seen,
        weight=sum(size * weight for size, _, _, weight in shares) / seen,
        share=total / bound(observable),
        spread=sum(size**2 for size in sizes.values()) ** 0.5 / bound(observable),
    )


def _blocks(circuit: QuantumCircuit) -> list[tuple[int, ...]]:
    """The qubits of each gate, last gate first."""
    return [
        tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        for item in reversed(circuit.data)
        if item.operation.name not in {"measure", "barrier", "reset"}
    ]


def _cone(blocks: Sequence[tuple[int, ...]], qubits: Sequence[int]) -> tuple[float, float]:
    """Shares of the two-qubit and of the one-qubit gates that can reach the given qubits' final values."""
    reached = set(qubits)
    inside, total = [0, 0], [0, 0]
    for block in blocks:
        kind = int(len(block) == 1)
        total[kind] += 1
        if not reached.isdisjoint(block):
            reached.update(block)
            inside[kind] += 1
    shares = [hit / all_ if all_ else 1.0 for hit, all_ in zip(inside, total, strict=True)]
    return shares[0], shares[1]
