"""Sources that are read without the grammar: the same circuit as by the grammar, or left to it."""

import pytest
from hypothesis import given, settings
from hypothesis.strategies import composite, floats, integers, lists, sampled_from
from openqasm3 import parse
from qasm_sources import HEADER, ghz
from qiskit import QuantumCircuit, qasm3
from qiskit_qasm3_import import convert

from backends.flat import read
from backends.qasm import load
from em.families import FAMILIES
from em.near_clifford import written

LIMITS = (156, 624, 20_000)


def by_the_grammar(source: str) -> QuantumCircuit:
    return convert(parse(source))


@composite
def statements(draw) -> str:
    one, other = draw(lists(integers(0, 3), min_size=2, max_size=2, unique=True))
    part = draw(sampled_from(("pi", "-pi", "pi/2", "-pi/2", "3*pi/4", "-7*pi/8", "2*pi")))
    angle = draw(sampled_from((repr(draw(floats(-1e3, 1e3))), part)))
    kinds = (
        f"{draw(sampled_from(('h', 'x', 'y', 'z', 's', 't', 'sdg', 'tdg', 'sx')))} q[{one}];",
        f"{draw(sampled_from(('rx', 'ry', 'rz')))}({angle}) q[{one}];",
        f"{draw(sampled_from(('cx', 'cz', 'swap')))} q[{one}], q[{other}];",
        f"barrier q[{one}], q[{other}];",
        f"barrier q[{one}];",
    )
    return draw(sampled_from(kinds))


@settings(max_examples=40, deadline=None)
@given(lines=lists(statements(), max_size=12))
def test_a_plain_source_is_the_circuit_that_the_grammar_makes_of_it(lines: list[str]) -> None:
    source = HEADER + "qubit[4] q;\n" + "\n".join(lines)
    found = read(source, *LIMITS)
    assert found is not None
    assert found == by_the_grammar(source)
    assert [register.name for register in found.qregs] == ["q"]


def test_what_the_families_and_the_methods_write_is_plain() -> None:
    for name, family in FAMILIES.items():
        source = family.instance(0, 0, None, None).source
        found = read(source, *LIMITS)
        assert found is not None, name
    circuit = QuantumCircuit(2)
    circuit.rz(0.25, 0)
    circuit.sx(0)
    circuit.cx(0, 1)
    source = written(circuit)
    assert read(source, *LIMITS) == by_the_grammar(source)


def test_measurements_as_qiskit_writes_them_are_read() -> None:
    circuit = QuantumCircuit(3, 2)
    circuit.h(0)
    circuit.cx(0, 2)
    circuit.measure([2, 0], [0, 1])
    source = qasm3.dumps(circuit)
    assert read(source, *LIMITS) == by_the_grammar(source)


@pytest.mark.parametrize(
    "source",
    [
        HEADER + "qubit[2] q;\nh q;",
        HEADER + "qubit[2] q;\nh q[2];",
        HEADER + "qubit[2] q;\ncx q[0], q[0];",
        HEADER + "qubit[2] q;\nrz(pi/2 + 1) q[0];",
        HEADER + "qubit[2] q;\nrz(pi/0) q[0];",
        HEADER + "qubit[2] q;\nrz(1) q[0];",
        HEADER + "qubit[2] q;\nrz q[0];",
        HEADER + "qubit[2] q;\nh(0.5) q[0];",
        HEADER + "qubit[2] q;\nh q[0], q[1];",
        HEADER + "qubit[2] q;\nh q[0]",
        HEADER + "qubit[2] q;\nfoo q[0];",
        HEADER + "qubit[2] q;\nqubit[2] r;\nh r[0];",
        HEADER + "qubit[2] q;\n// a remark\nh q[0];",
        HEADER + "bit[1] c;\nqubit[2] q;\nc[1] = measure q[0];",
        HEADER + "bit[1] c;\nqubit[2] q;\nd[0] = measure q[0];",
        HEADER + "qubit[2] q;\nc[0] = measure q[0];",
        HEADER + "qubit[0] q;\n",
        HEADER + "qubit[157] q;\n",
        HEADER + "qubit[1] q;\n" + "x q[0];\n" * 20_001,
        "qubit[1] q;\nx q[0];",
    ],
)
def test_all_else_is_left_to_the_grammar(source: str) -> None:
    assert read(source, *LIMITS) is None


def test_a_source_without_plain_angles_is_read_by_the_grammar_all_the_same() -> None:
    source = ghz(3).replace("h q[0];", "rz(pi/2 + 0.1) q[0];")
    assert read(source, *LIMITS) is None
    assert load(source) == by_the_grammar(source)
