"""The example jobs: each loads, and its ideal values are what theory says, by oracles without a simulator of Qiskit's or ours."""

import json
from functools import reduce
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm

from em.circuits import parse
from schemas.codec import decode, encode
from schemas.jobs import JobRequested
from streams.jobfile import load_job

_FOLDER = Path(__file__).parents[2] / "examples" / "jobs"
_FILES = sorted(_FOLDER.glob("*.json"))
_PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
_GATES = {
    "h": lambda: (_PAULIS["X"] + _PAULIS["Z"]) / np.sqrt(2),
    "x": lambda: _PAULIS["X"],
    "rx": lambda angle: expm(-0.5j * angle * _PAULIS["X"]),
    "ry": lambda angle: expm(-0.5j * angle * _PAULIS["Y"]),
    "cx": lambda: np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]),
    "cz": lambda: np.diag([1, 1, 1, -1]),
    "rzz": lambda angle: expm(-0.5j * angle * np.kron(_PAULIS["Z"], _PAULIS["Z"])),
}


def _job(name):
    return load_job(_FOLDER / f"{name}.json")


def _state(job):
    """The final state, qubit 0 least significant, by plain tensor contraction; measurements left out."""
    circuit = parse(job.circuits[0])
    n = circuit.num_qubits
    state = np.zeros((2,) * n, dtype=complex)
    state[(0,) * n] = 1
    for item in circuit.data:
        if item.operation.name == "measure":
            continue
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        matrix = _GATES[item.operation.name](*map(float, item.operation.params))
        axes = [n - 1 - qubit for qubit in reversed(qubits)]  # the first qubit is the matrix's least significant
        k = len(axes)
        state = np.tensordot(matrix.reshape((2,) * (2 * k)), state, axes=(range(k, 2 * k), axes))
        state = np.moveaxis(state, range(k), axes)
    return state.reshape(-1)


def _matrix(observable):
    return sum(term.coefficient * reduce(np.kron, [_PAULIS[letter] for letter in term.pauli]) for term in observable.terms)


def _values(job):
    state = _state(job)
    return {each.name: (state.conj() @ _matrix(each) @ state).real for each in job.observables}


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_every_example_is_a_job_that_survives_the_wire(path):
    job = load_job(path)
    assert decode(JobRequested, encode(job)) == job
    assert json.loads(path.read_text())["about"]
    assert job.name in job.job_id


def test_there_are_examples_of_every_kind():
    jobs = [load_job(path) for path in _FILES]
    assert len(jobs) >= 7
    assert {job.crypto_mode for job in jobs} == {"any", "pqc", "qkd"}
    assert any(not job.observables for job in jobs)


@pytest.mark.parametrize("name", ["ghz5", "cluster4-pqc", "ghz10-qkd", "impossible-qkd"])
def test_stabilisers_are_one(name):
    assert _values(_job(name)) == pytest.approx({each.name: 1.0 for each in _job(name).observables}, abs=1e-12)


def test_the_population_of_the_ghz_state_is_the_probability_of_its_two_strings():
    population = next(each for each in _job("ghz5").observables if each.name == "population")
    projector = np.zeros(32)
    projector[[0, 31]] = 1
    assert np.allclose(_matrix(population), np.diag(projector))


def test_the_h2_ansatz_reaches_the_ground_state_energy_of_exact_diagonalisation():
    energy = _matrix(_job("h2").observables[0])
    ground = np.linalg.eigvalsh(energy)[0]
    assert ground == pytest.approx(-1.85727503, abs=1e-8)
    assert ground + 0.7199689944489797 == pytest.approx(-1.137306, abs=1e-5)  # full CI, STO-3G: Szabo and Ostlund
    assert _values(_job("h2"))["energy"] == pytest.approx(ground, abs=1e-6)


def test_the_trotterised_ising_chain_follows_the_exact_evolution_to_second_order():
    n, time, step = 5, 0.8, 0.2

    def term(letter, *qubits):
        return reduce(np.kron, [_PAULIS[letter if n - 1 - place in qubits else "I"] for place in range(n)])

    coupling, field = -sum(term("Z", i, i + 1) for i in range(n - 1)), -sum(term("X", i) for i in range(n))
    exact = expm(-1j * (coupling + field) * time)[:, 0]
    state = _state(_job("ising5"))
    overlap = abs(exact.conj() @ state)
    assert overlap**2 > 0.998
    assert np.sqrt(2 - 2 * overlap) <= _strang_bound(field, coupling, time, step)
    for observable in _job("ising5").observables:
        matrix = _matrix(observable)
        assert (state.conj() @ matrix @ state).real == pytest.approx((exact.conj() @ matrix @ exact).real, abs=0.03)


def _strang_bound(outer, inner, time, step):
    """Childs et al. 2021, arXiv:1912.08854, proposition 10: the error of exp(A/2) exp(B) exp(A/2) in the spectral norm."""
    first = inner @ outer - outer @ inner
    doubly_inner, doubly_outer = inner @ first - first @ inner, outer @ first - first @ outer
    return time * step**2 * (np.linalg.norm(doubly_inner, 2) / 12 + np.linalg.norm(doubly_outer, 2) / 24)


def test_the_qaoa_angles_cut_what_the_file_says():
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)]
    cuts = np.array([sum(bits[4 - i] != bits[4 - j] for i, j in edges) for bits in product((0, 1), repeat=5)])
    assert cuts.max() == 5
    expected = float(np.abs(_state(_job("maxcut5"))) ** 2 @ cuts)
    assert expected == pytest.approx(4.6234, abs=1e-4)
    assert _values(_job("maxcut5"))["cut"] == pytest.approx(expected, abs=1e-9)


def test_every_shot_of_the_counts_job_would_read_the_hidden_string():
    probabilities = np.abs(_state(_job("bernstein-vazirani"))) ** 2
    by_string = probabilities.reshape(2, 16).sum(axis=0)  # the ancilla, qubit 4, is not read
    assert by_string[0b1011] == pytest.approx(1.0)
