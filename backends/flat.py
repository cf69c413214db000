"""OpenQASM 3 as programs write it, a gate a line, read without the grammar, whose parser takes a hundred times longer.

Whatever is written otherwise, or would be refused, is left to `backends.qasm`: here it is only not understood.
"""

import math
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import CircuitInstruction, Instruction, Measure
from qiskit.circuit.library import (
    Barrier,
    CXGate,
    CZGate,
    HGate,
    RXGate,
    RYGate,
    RZGate,
    SdgGate,
    SGate,
    SwapGate,
    SXGate,
    TdgGate,
    TGate,
    XGate,
    YGate,
    ZGate,
)

_GATES: Mapping[str, type[Instruction]] = MappingProxyType(
    {
        kind(*angles).name: kind
        for kinds, angles in (
            ((CXGate, CZGate, HGate, SGate, SXGate, SdgGate, SwapGate, TGate, TdgGate, XGate, YGate, ZGate), ()),
            ((RXGate, RYGate, RZGate), (0.0,)),
        )
        for kind in kinds
    }
)
_TURNS = frozenset({"rx", "ry", "rz"})
_HEADER = re.compile(
    r'OPENQASM 3(?:\.0)?;\s*include "stdgates\.inc";\s*(?:bit\[(?P<bits>\d{1,4})\] (?P<c>[a-z]\w*);\s*)?'
    r"qubit\[(?P<qubits>\d{1,4})\] (?P<q>[a-z]\w*);\s*",
    re.ASCII,
)
_QUBIT = r"[a-z]\w*\[\d{1,4}\]"
_ANGLE = r"-?(?:\d+(?:\.\d+(?:e-?\d+)?|e-?\d+)|(?:\d+\*)?pi(?:/[1-9]\d*)?)"
_LINE = re.compile(
    rf"(?:(?P<c>[a-z]\w*)\[(?P<bit>\d{{1,4}})\] = measure (?P<from>{_QUBIT})"
    rf"|(?P<name>[a-z]+)(?:\((?P<angle>{_ANGLE})\))? (?P<on>{_QUBIT}(?:, ?{_QUBIT})*));\s*",
    re.ASCII,
)


def read(source: str, max_qubits: int, max_bits: int, max_gates: int) -> QuantumCircuit | None:
    """The circuit, exactly as Qiskit's importer makes it; None where the source is not as plain as that, or too large."""
    header = _HEADER.match(source)
    if header is None:
        return None
    qubits, bits = int(header["qubits"]), int(header["bits"] or 0)
    if not 0 < qubits <= max_qubits or bits > max_bits or (header["c"] and not bits) or header["c"] == header["q"]:
        return None
    registers = [QuantumRegister(qubits, header["q"]), *([ClassicalRegister(bits, header["c"])] if bits else [])]
    if header["c"]:
        registers.reverse()  # as they are declared
    circuit = QuantumCircuit(*registers)
    for number, instruction in enumerate(_instructions(source, header, circuit)):
        if instruction is None or number >= max_gates:
            return None
        circuit._append(instruction)
    return circuit


def _instructions(source: str, header: "re.Match[str]", circuit: QuantumCircuit) -> Iterator[CircuitInstruction | None]:
    """One for each statement; None, and no more, for one that is not plain."""
    place, qubits = header.end(), {f"{header['q']}[{index}]": qubit for index, qubit in enumerate(circuit.qubits)}
    while place < len(source):
        line = _LINE.match(source, place)
        yield None if line is None else _instruction(line, qubits, circuit, header["c"])
        if line is None:
            return
        place = line.end()


def _instruction(
    line: "re.Match[str]", qubits: Mapping[str, object], circuit: QuantumCircuit, register: str | None
) -> CircuitInstruction | None:
    name, on = line["name"], re.split(r", ?", line["on"] or line["from"])
    found = [qubits.get(each) for each in on]
    if None in found or len(set(found)) < len(found):
        return None
    if name is None:
        bit = int(line["bit"])
        known = line["c"] == register and bit < len(circuit.clbits)
        return CircuitInstruction(Measure(), found, [circuit.clbits[bit]]) if known else None
    if name == "barrier" and line["angle"] is None:
        return CircuitInstruction(Barrier(len(found)), found)
    if name not in _GATES or (name in _TURNS) != (line["angle"] is not None):
        return None
    gate = _GATES[name](*([_angle(line["angle"])] if name in _TURNS else []))
    return CircuitInstruction(gate, found) if gate.num_qubits == len(found) else None


def _angle(text: str) -> float:
    """Of a number, or of a fraction of pi."""
    number, pi, divisor = text.removeprefix("-").partition("pi")
    if not pi:
        return float(text)
    size = int(number.removesuffix("*") or 1) * math.pi / int(divisor.removeprefix("/") or 1)
    return -size if text.startswith("-") else size
