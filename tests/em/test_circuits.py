import numpy as np
import pytest
from em_jobs import HEADER, observable
from qiskit.quantum_info import DensityMatrix, Operator

from em.circuits import features, parse
from em.errors import JobInvalidError
from em.ideal import ideal


def test_features_count_what_noise_acts_on() -> None:
    found = features(
        parse(HEADER + "qubit[5] q;\nbit[2] c;\nh q[0];\ncx q[0], q[1];\nccx q[0], q[1], q[2];\nc[0] = measure q[3];\n")
    )
    assert (found.qubits, found.active_qubits, found.measured_qubits) == (5, 4, 1)
    assert found.two_qubit_gates == 7  # one, and a Toffoli's six
    assert found.interactions == ((0, 1), (0, 2), (1, 2))
    assert found.depth >= found.two_qubit_depth == 7
    assert found.one_qubit_gates > 0


def test_a_ladder_has_its_depth() -> None:
    found = features(parse(HEADER + "qubit[4] q;\ncx q[0], q[1];\ncx q[2], q[3];\ncx q[1], q[2];\n"))
    assert (found.two_qubit_gates, found.two_qubit_depth, found.one_qubit_gates) == (3, 2, 0)


def test_faults_are_the_jobs_with_a_line() -> None:
    with pytest.raises(JobInvalidError, match="line 4: gate 'foo' is not defined"):
        parse(HEADER + "qubit q;\nfoo q;")


def test_ideal_values_are_traces_with_the_density_matrix() -> None:
    source = HEADER + "qubit[3] q;\nbit c;\nh q[0];\nt q[0];\ncx q[0], q[2];\nry(0.7) q[1];\nc = measure q[1];\n"
    target = observable("o", XIX=0.5, ZZI=-1.0, IYZ=0.3, III=2.0)
    bare = parse(source.replace("c = measure q[1];", ""))
    matrix = sum(term.coefficient * Operator.from_label(term.pauli).data for term in target.terms)
    expected = np.trace(matrix @ DensityMatrix(bare).data).real
    assert ideal(source, (target,))[0] == pytest.approx(expected, abs=1e-12)


def test_ideal_values_of_too_many_qubits_or_misfitting_observables_are_refused() -> None:
    with pytest.raises(JobInvalidError, match="at most 20"):
        ideal(HEADER + "qubit[21] q;\nh q;\n", ())
    with pytest.raises(JobInvalidError, match="2 letters, the circuit has 1 qubits"):
        ideal(HEADER + "qubit[1] q;\nh q;\n", (observable("o", ZZ=1.0),))
