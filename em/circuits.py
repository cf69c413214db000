"""Circuits as the policy sees them: parsed within limits, and their features."""

from dataclasses import dataclass

from qiskit import QuantumCircuit, transpile

from backends import qasm
from backends.errors import QasmError
from em.errors import JobInvalidError

_BASIS = ["rz", "sx", "x", "cx"]


@dataclass(frozen=True, slots=True)
class CircuitFeatures:
    """What a circuit costs on a device that couples all its qubits; routing on a real one adds SWAPs.

    Counts are of the unitary part, translated to rz, sx, x and cx and lightly optimised (level 1).

    Attributes:
        qubits: declared qubits: the width that observables must have.
        active_qubits: qubits that a gate or a measurement touches.
        measured_qubits: qubits that end in a classical bit.
        depth: longest chain of gates, rz excluded (it is a change of frame and takes no time).
        two_qubit_depth: longest chain of two-qubit gates.
        one_qubit_gates: sx and x gates; rz is free.
        two_qubit_gates: cx gates.
        interactions: the pairs (low, high) of qubits that share a two-qubit gate, sorted.
    """

    qubits: int
    active_qubits: int
    measured_qubits: int
    depth: int
    two_qubit_depth: int
    one_qubit_gates: int
    two_qubit_gates: int
    interactions: tuple[tuple[int, int], ...]


def parse(source: str) -> QuantumCircuit:
    """The circuit of an OpenQASM 3 source, its measurements included; limits as in `backends.qasm`.

    Raises:
        JobInvalidError: a sentence with the line: no parse, too large, or what no backend here can run.
    """
    try:
        return qasm.load(source)
    except QasmError as error:
        raise JobInvalidError(str(error)) from error


def features(circuit: QuantumCircuit) -> CircuitFeatures:
    """What the policy needs to know of a circuit. Takes milliseconds: call it once per circuit."""
    program = qasm.take_apart(circuit)
    flat = transpile(program.body, basis_gates=_BASIS, optimization_level=1, seed_transpiler=0)
    counts = flat.count_ops()
    pairs = {
        (min(pair), max(pair))
        for pair in (tuple(flat.find_bit(qubit).index for qubit in item.qubits) for item in flat.data)
        if len(pair) == 2
    }
    used = {flat.find_bit(qubit).index for item in flat.data for qubit in item.qubits}
    measured = {qubit for qubit in program.measured if qubit >= 0}
    return CircuitFeatures(
        qubits=circuit.num_qubits,
        active_qubits=len(used | measured),
        measured_qubits=len(measured),
        depth=flat.depth(lambda item: item.operation.name != "rz"),
        two_qubit_depth=flat.depth(lambda item: len(item.qubits) == 2),
        one_qubit_gates=counts.get("sx", 0) + counts.get("x", 0),
        two_qubit_gates=counts.get("cx", 0),
        interactions=tuple(sorted(pairs)),
    )
