import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backends.registry import BACKENDS
from cli.main import app

CLI = CliRunner()
ROOT = Path(__file__).resolve().parents[2]


def test_backends_are_listed_with_their_errors_and_how_to_name_more() -> None:
    done = CLI.invoke(app, ["backends", "list"])
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in BACKENDS)
    assert "ibm:DEVICE" in done.output
    only = CLI.invoke(app, ["backends", "list", "fake_washington"])
    assert "fake_manila" not in only.output
    assert only.output.split("fake_washington")[1].split()[:4] == ["*", "ibm_fake", "127", "6"]


@pytest.mark.parametrize("file", ["ising5.qasm", "ising5.json"])
def test_a_circuit_is_compared_at_four_levels(file: str) -> None:
    arguments = ["backends", "transpile", str(ROOT / "examples" / "jobs" / file), "--backend", "fake_manila"]
    done = CLI.invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert [each["level"] for each in found] == [0, 1, 2, 3]
    assert all(0 < each["estimated_fidelity"] < 1 and each["depth"] > 5 for each in found)
    shown = CLI.invoke(app, arguments)
    assert all(str(each["two_qubit_gates"]) in shown.output for each in found)


def test_what_cannot_be_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IBM_QUANTUM_TOKEN", raising=False)
    wide = tmp_path / "wide.qasm"
    wide.write_text('OPENQASM 3.0; include "stdgates.inc"; qubit[9] q; h q[0];')
    for arguments, sentence in (
        (["transpile", str(wide), "-b", "fake_manila"], "9 qubits, fake_manila has 5 that work"),
        (["transpile", str(wide), "-b", "nowhere"], "there is no backend nowhere"),
        (["list", "ibm:ibm_torino"], "ibm:ibm_torino needs a token"),
    ):
        done = CLI.invoke(app, ["backends", *arguments])
        assert done.exit_code == 1
        assert sentence in done.output.replace("\n", " ")
