"""OpenQASM 3 text to a circuit, without letting a hostile source hang the process or eat its memory."""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from antlr4.error.ErrorListener import ConsoleErrorListener, ErrorListener  # type: ignore[import-untyped]
from openqasm3 import ast
from openqasm3 import parse as parse_text
from openqasm3.parser import QASM3ParsingError
from qiskit import QuantumCircuit
from qiskit_qasm3_import import ConversionError, convert

from backends import flat
from backends.errors import QasmError

MAX_SOURCE_BYTES = 128 * 1024
"""The ANTLR parser reads 40 kB a second; more would block a policy agent for longer than its neighbours can wait."""

MAX_QUBITS = 156
"""The widest device of which a calibration snapshot exists (IBM Heron r2)."""

MAX_GATES = 20_000
"""Counted after gate definitions are expanded; at today's error rates nothing of this depth carries a signal."""

_MAX_BITS = 4 * MAX_QUBITS
_MAX_NESTING = 50  # the parser recurses through a dozen functions per bracket, and slows down with each
_MAX_CONTROLS = 3
_CONTROL_GROWTH = 40  # gates that one more control on a one-qubit gate costs, roughly, after synthesis

ConsoleErrorListener.INSTANCE = ErrorListener()  # the parser would print what `load` says in its own sentence

_FAULTS: Mapping[type[BaseException], str] = {
    IndexError: "an index lies outside its register",
    ZeroDivisionError: "an angle divides by zero",
    RecursionError: "an expression is nested too deeply",
}

_ALLOWED = (
    ast.Include,
    ast.QubitDeclaration,
    ast.ClassicalDeclaration,
    ast.ConstantDeclaration,
    ast.QuantumGateDefinition,
    ast.QuantumGate,
    ast.QuantumPhase,
    ast.QuantumMeasurementStatement,
    ast.QuantumBarrier,
    ast.QuantumReset,
    ast.AliasStatement,
)


@dataclass(frozen=True)
class Program:
    """A circuit taken apart.

    Attributes:
        body: the unitary part: no measurement, no reset.
        measured: the qubit that each classical bit holds in the end, -1 for a bit that is never written.
    """

    body: QuantumCircuit
    measured: tuple[int, ...]


@lru_cache(maxsize=64)
def load(source: str) -> QuantumCircuit:
    """The circuit of an OpenQASM 3 source, its measurements included; kept, and so not to be changed: parsing takes the longest.

    Raises:
        QasmError: it does not parse, is larger than the limits above, or uses control flow, input parameters,
            subroutines, timing, or measurements in mid-circuit.
    """
    size = len(source.encode())
    if size > MAX_SOURCE_BYTES:
        raise QasmError(f"the OpenQASM source is {size} bytes, at most {MAX_SOURCE_BYTES} are taken; split the circuit")
    if re.search(r"\$\d", re.sub(r"//.*|/\*(?s:.*?)\*/", "", source)):
        raise QasmError("the OpenQASM source names physical qubits such as $0; declare registers, the backend chooses the qubits")
    if _depth(source) > _MAX_NESTING:
        raise QasmError(f"the OpenQASM source nests brackets more than {_MAX_NESTING} deep; write it flatter")
    if not source.strip():
        raise QasmError("the OpenQASM source is empty")
    plain = flat.read(source, MAX_QUBITS, _MAX_BITS, MAX_GATES)
    circuit = _parsed(source) if plain is None else plain
    if circuit.num_qubits == 0:
        raise QasmError("the OpenQASM source declares no qubit; declare some with `qubit[n] q;`")
    take_apart(circuit)
    return circuit


def _parsed(source: str) -> QuantumCircuit:
    try:
        program = parse_text(source)
        _refuse_what_cannot_run(program)
        return convert(program)
    except QasmError:
        raise
    except Exception as error:  # the parser and the importer raise a dozen types, IndexError and RecursionError among them
        raise QasmError(f"the OpenQASM source does not parse: {_where(error)}") from error


@lru_cache(maxsize=64)
def program(source: str) -> Program:
    """A source taken apart, barriers in the body; kept for the next device, since parsing takes longer than compiling.

    Raises:
        QasmError: see `load`.
    """
    return take_apart(load(source), barriers=True)


def take_apart(circuit: QuantumCircuit, barriers: bool = False) -> Program:
    """The unitary body of a circuit, and where its classical bits come from.

    Args:
        circuit: gates, barriers and final measurements.
        barriers: whether they stay in the body, where a compiler respects them.

    Raises:
        QasmError: a qubit is used or reset after it was measured or worked on.
    """
    body = circuit.copy_empty_like()
    measured = [-1] * circuit.num_clbits
    touched: set[int] = set()
    closed: set[int] = set()
    for instruction in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        name = instruction.operation.name
        if name == "barrier":
            if barriers and not closed.intersection(qubits):
                body.append(instruction)
            continue
        if name == "reset" and not touched.intersection(qubits):
            continue  # every qubit starts in |0>
        late = sorted(closed.intersection(qubits))
        if name == "reset" or (late and name != "measure"):
            raise QasmError(
                f"qubit {(late or qubits)[0]} is used again after a measurement or reset; only final measurements can be run"
            )
        touched.update(qubits)
        if name == "measure":
            closed.update(qubits)
            measured[circuit.find_bit(instruction.clbits[0]).index] = qubits[0]
        else:
            body.append(instruction)
    return Program(body, tuple(measured))


def _refuse_what_cannot_run(program: ast.Program) -> None:
    constants: dict[str, int] = {}
    registers: dict[str, int] = {}
    weights: dict[str, int] = {}
    qubits = bits = gates = 0
    for statement in program.statements:
        line = statement.span.start_line if statement.span else 0
        if not isinstance(statement, _ALLOWED):
            kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(statement).__name__).lower()
            raise QasmError(f"line {line}: a {kind} cannot be run here; only gates and final measurements can")
        if isinstance(statement, ast.ConstantDeclaration) and isinstance(statement.init_expression, ast.IntegerLiteral):
            constants[statement.identifier.name] = statement.init_expression.value
        elif isinstance(statement, ast.QubitDeclaration):
            registers[statement.qubit.name] = _register_size(statement.size, constants, line)
            qubits += registers[statement.qubit.name]
        elif isinstance(statement, ast.ClassicalDeclaration):
            if not isinstance(statement.type, ast.BitType):
                raise QasmError(f"line {line}: only `bit` variables can be used here")
            bits += _register_size(statement.type.size, constants, line)
        elif isinstance(statement, ast.QuantumGateDefinition):
            weights[statement.name.name] = sum(_weight(part, weights) for part in statement.body)
        elif isinstance(statement, ast.QuantumGate):
            gates += _weight(statement, weights) * _breadth(statement, registers)
        if qubits > MAX_QUBITS or bits > _MAX_BITS:
            raise QasmError(f"line {line}: the circuit is too wide; at most {MAX_QUBITS} qubits and {_MAX_BITS} bits can be run")
        if gates > MAX_GATES or max(weights.values(), default=0) > MAX_GATES:
            raise QasmError(f"line {line}: the circuit has more than {MAX_GATES} gates once gate definitions are expanded")


def _depth(source: str) -> int:
    steps = ((character in "([{") - (character in ")]}") for character in source)
    return max(itertools.accumulate(steps), default=0)


def _register_size(size: ast.Expression | None, constants: Mapping[str, int], line: int) -> int:
    if size is None:
        return 1
    number = size.value if isinstance(size, ast.IntegerLiteral) else constants.get(getattr(size, "name", ""))
    if number is None or not 0 < number <= _MAX_BITS:
        raise QasmError(f"line {line}: a register's size must be a whole number from 1 to {_MAX_BITS}, written out or a constant")
    return number


def _weight(statement: ast.QASMNode, weights: Mapping[str, int]) -> int:
    """How many gates a gate call stands for, definitions expanded and modifiers counted."""
    line = statement.span.start_line if statement.span else 0
    if isinstance(statement, (ast.QuantumPhase, ast.QuantumBarrier)):
        return 1
    if not isinstance(statement, ast.QuantumGate):
        raise QasmError(f"line {line}: a gate definition may hold gates only")
    weight = max(1, weights.get(statement.name.name, 1))
    for modifier in statement.modifiers:
        if modifier.modifier is ast.GateModifierName.pow:
            raise QasmError(f"line {line}: the modifier `pow` cannot be run here; write the gate out")
        if modifier.modifier is ast.GateModifierName.inv:
            continue
        controls = 1 if modifier.argument is None else getattr(modifier.argument, "value", 0)
        if not 1 <= controls <= _MAX_CONTROLS:
            raise QasmError(f"line {line}: a modifier may add 1 to {_MAX_CONTROLS} controls, as a written number")
        weight *= _CONTROL_GROWTH**controls
    return weight


def _breadth(statement: ast.QuantumGate, registers: Mapping[str, int]) -> int:
    """To how many qubits a call is broadcast at most."""
    names = (operand.name.name if isinstance(operand, ast.IndexedIdentifier) else operand.name for operand in statement.qubits)
    whole = (registers.get(name, MAX_QUBITS) for name in names)
    indexed = all(isinstance(operand, ast.IndexedIdentifier) for operand in statement.qubits)
    return 1 if indexed else max(itertools.chain(whole, (1,)))


def _where(error: BaseException) -> str:
    """The fault in words, with its line where the parser says one."""
    if isinstance(error, ConversionError):
        return re.sub(r"^(\d+),\d+: ", r"line \1: ", error.message)
    if isinstance(error, QASM3ParsingError) and str(error):
        return re.sub(r"^L(\d+):C\d+: ", r"line \1: ", str(error))
    if type(error) in _FAULTS:
        return _FAULTS[type(error)]
    token = getattr(_root(error), "offendingToken", None)
    if token is not None:
        return f"line {token.line}: {token.text!r} is not expected here; is a semicolon or a bracket missing before it?"
    return f"{type(error).__name__}: {error}"


def _root(error: BaseException) -> BaseException:
    """The first cause, which ANTLR hides two exceptions deep."""
    cause = error.__cause__ or error.__context__
    if cause is None and error.args and isinstance(error.args[0], BaseException):
        cause = error.args[0]
    return error if cause is None else _root(cause)
