import time

import pytest
from hypothesis import given, settings
from hypothesis.strategies import lists, sampled_from, text
from qasm_sources import HEADER, ghz

from backends.errors import QasmError
from backends.qasm import load, take_apart
from schemas.errors import InputError

_EXPLODING = "gate g0 q { x q; }\n" + "".join(f"gate g{i + 1} q {{ g{i} q; g{i} q; }}\n" for i in range(60)) + "qubit q; g60 q;"

REFUSED = {
    "a missing semicolon": ("OPENQASM 3.0;\nqubit[2] q\nh q;", "line 3: 'h' is not expected"),
    "an unknown gate": (HEADER + "qubit[2] q;\nfoo q[0];", "line 4: gate 'foo' is not defined"),
    "an index outside": (HEADER + "qubit[2] q;\nh q[5];", "outside its register"),
    "another include": ('OPENQASM 3.0;\ninclude "/etc/passwd";', "line 2"),
    "no text": ("  \n", "empty"),
    "no qubit": (HEADER, "declares no qubit"),
    "garbage": ("\x00$$ garbage", "line 1"),
    "a division by zero": (HEADER + "qubit q; rz(1/0) q;", "divides by zero"),
    "deep nesting": (HEADER + "qubit q; rz(" + "(" * 3000 + "1" + ")" * 3000 + ") q;", "nests brackets more than 50"),
    "a billion qubits": (HEADER + "qubit[1000000000] q;", "line 3: a register's size"),
    "a billion qubits by a constant": (HEADER + "const int n = 1000000000; qubit[n] q;", "line 3: a register's size"),
    "a billion bits": (HEADER + "qubit q; bit[1000000000] c;", "line 3: a register's size"),
    "too many qubits in parts": (HEADER + "qubit[100] a; qubit[100] b;", "at most 156 qubits"),
    "a physical qubit": (HEADER + "h $1000000000;", "physical qubits"),
    "gates that expand to 2^60": (HEADER + _EXPLODING, "more than 20000 gates"),
    "many controls": (HEADER + "qubit[9] q; ctrl(8) @ x q[0],q[1],q[2],q[3],q[4],q[5],q[6],q[7],q[8];", "1 to 3 controls"),
    "a power": (HEADER + "qubit q; pow(1000000) @ x q;", "`pow`"),
    "an input": (HEADER + "input float a; qubit q; rz(a) q;", "cannot be run here"),
    "a loop": (HEADER + "qubit q; for int i in [0:1000000000] { x q; }", "for in loop"),
    "a branch": (HEADER + "qubit[2] q; bit c; c = measure q[0]; if (c) { x q[1]; }", "branching"),
    "a variable": (HEADER + "qubit q; uint[1000000000] n;", "only `bit`"),
    "too much text": ("x" * 200_000, "at most 131072"),
    "a gate after a measurement": (HEADER + "qubit q; bit c; c = measure q; x q;", "qubit 0 is used again"),
    "a reset in mid-circuit": (HEADER + "qubit q; x q; reset q;", "qubit 0 is used again"),
}


@pytest.mark.parametrize(("source", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_run_is_refused_in_a_sentence_and_soon(source: str, sentence: str) -> None:
    began = time.monotonic()
    with pytest.raises(QasmError) as refusal:
        load(source)
    assert sentence in str(refusal.value)
    assert isinstance(refusal.value, InputError)
    assert time.monotonic() - began < 10


_PIECES = [
    "qubit[2] q;",
    "h q;",
    "cx q[0],q[1];",
    "bit[2] c;",
    "c = measure q;",
    "rz(pi/2) q[1];",
    "gate a b { x b; }",
    "a q[0];",
    "}",
    "q[",
]


@settings(max_examples=60, deadline=None)
@given(pieces=lists(sampled_from(_PIECES), max_size=8))
def test_no_mixture_of_statements_raises_anything_else(pieces: list[str]) -> None:
    try:
        load(HEADER + "\n".join(pieces))
    except QasmError as refusal:
        assert str(refusal)


@settings(max_examples=60, deadline=None)
@given(source=text(max_size=40))
def test_no_text_raises_anything_else(source: str) -> None:
    with pytest.raises(QasmError):
        load(source)


def test_a_program_is_taken_apart_into_gates_and_the_origin_of_each_bit() -> None:
    program = take_apart(load(HEADER + "qubit[3] q; bit[2] a; bit b; reset q; h q; a[1] = measure q[0]; b = measure q[2];"))
    assert program.measured == (-1, 0, 2)
    assert dict(program.body.count_ops()) == {"h": 3}


def test_modifiers_aliases_and_broadcasts_that_can_run_are_taken() -> None:
    circuit = load(HEADER + "qubit[3] q; let a = q[0:1]; h a; ctrl @ ctrl @ x q[0], q[1], q[2]; inv @ s q[2]; gphase(0.5);")
    assert circuit.num_qubits == 3
    assert load(ghz(127)).size() == 127


def test_the_parser_prints_nothing_beside_the_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    for source in ("OPENQASM 3.0; qubit[2] q; h q[0", "OPENQASM 3.0; qubit q; `"):
        with pytest.raises(QasmError, match="does not parse"):
            load(source)
    assert capfd.readouterr() == ("", "")
