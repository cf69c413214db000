"""Circuits of all families against what others say they are: Qiskit's statevectors, published energies, brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy.linalg import expm

from backends import qasm
from em.errors import JobInvalidError
from em.families import FAMILIES
from em.families.molecules import MOLECULES, data, hamiltonian
from schemas.jobs import JobRequested

FIXED = {"h2-dynamics": 2, "lih-dynamics": 4, "h2o-dynamics": 4}


def state(source: str) -> np.ndarray:
    return Statevector(qasm.take_apart(qasm.load(source)).body).data


def matrix(observable) -> np.ndarray:
    return SparsePauliOp.from_list([(term.pauli, term.coefficient) for term in observable.terms]).to_matrix()


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=4, deadline=None)
@given(index=st.integers(0, 50), seed=st.integers(0, 50))
def test_the_ideal_values_are_those_of_the_source_as_backends_parse_it(name: str, index: int, seed: int) -> None:
    instance = FAMILIES[name].instance(index, seed)
    vector = state(instance.source)
    expected = [np.real(vector.conj() @ matrix(observable) @ vector) for observable in instance.observables]
    assert instance.ideal == pytest.approx(expected, abs=1e-12)
    assert len(vector) == 2**instance.qubits


@pytest.mark.parametrize("name", FAMILIES)
def test_a_circuit_depends_on_its_number_and_seed_alone(name: str) -> None:
    family = FAMILIES[name]
    assert family.instance(3, 1) == family.instance(3, 1)
    hashes = {family.instance(index, seed).circuit_hash for index, seed in product(range(4), range(3))}
    if name != "ghz":  # there are few GHZ circuits of three qubits
        assert len(hashes) == 12


def test_the_hash_is_the_one_of_a_job_with_this_circuit() -> None:
    instance = FAMILIES["ising"].instance(0, 0)
    job = JobRequested(job_id="job", circuits=(instance.source,), observables=instance.observables)
    assert instance.circuit_hash == job.circuit_hash


@pytest.mark.parametrize("name", MOLECULES)
def test_hamiltonians_have_the_published_energies(name: str) -> None:
    about = data(name)
    ground = np.linalg.eigvalsh(matrix(hamiltonian(name)))[0]
    assert ground == pytest.approx(about["ground_energy"], abs=1e-9)
    published = about["published"]
    if "energy" in published:
        assert ground == pytest.approx(published["energy"], abs=1e-6)
    else:
        assert about["hartree_fock_energy"] == pytest.approx(published["hartree_fock"], abs=1e-9)
        diagonal = np.real(np.diag(matrix(hamiltonian(name))))
        assert diagonal.min() == pytest.approx(published["hartree_fock"], abs=1e-8)  # the determinant is a basis state
        assert ground < published["hartree_fock"]


class Short:
    """Draws the shortest Trotter step, then random numbers."""

    def __init__(self) -> None:
        self.rest = np.random.default_rng(5)
        self.first = True

    def uniform(self, low: float, high: float, size: int | None = None) -> object:
        first, self.first = self.first, False
        return 0.01 if first else self.rest.uniform(low, high, size)


def one_step(name: str, qubits: int, given: int) -> tuple[np.ndarray, np.ndarray]:
    """The states before and after one short step; the first `given` gates prepare the state."""
    circuit, _ = FAMILIES[name].draw(qubits, 1, Short())
    start = circuit.copy_empty_like()
    for item in circuit.data[:given]:
        start.append(item)
    return Statevector(start).data, Statevector(circuit).data


def check_step(before: np.ndarray, after: np.ndarray, generator: SparsePauliOp) -> None:
    """First-order Trotter: the fidelity with the exact evolution is wrong in fourth order of the step, a wrong term's in second."""
    exact = expm(-0.01j * generator.to_matrix()) @ before
    moved = 1 - abs(before.conj() @ after) ** 2
    assert 1 - abs(exact.conj() @ after) ** 2 < 1e-3 * moved


@pytest.mark.parametrize("name", FIXED)
def test_one_step_of_a_molecule_is_its_hamiltonian(name: str) -> None:
    terms = [(term.pauli, term.coefficient) for term in hamiltonian(name.removesuffix("-dynamics")).terms]
    check_step(*one_step(name, FIXED[name], FIXED[name]), SparsePauliOp.from_list(terms))


def test_one_step_of_the_heisenberg_chain_is_its_hamiltonian() -> None:
    rest = np.random.default_rng(5)
    pairs = [("I" * (2 - left) + letter * 2 + "I" * left, 0.5) for left in range(3) for letter in "XYZ"]
    fields = [("I" * (3 - qubit) + "Z" + "I" * qubit, field / 2) for qubit, field in enumerate(rest.uniform(-1, 1, 4))]
    check_step(*one_step("heisenberg", 4, 2), SparsePauliOp.from_list(pairs + fields))


def test_steps_of_the_ising_chain_are_its_two_evolutions() -> None:
    draw = np.random.default_rng(8)
    coupling, field = draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.8)
    circuit, _ = FAMILIES["ising"].draw(3, 2, np.random.default_rng(8))
    zz = SparsePauliOp(["IZZ", "ZZI"], [-coupling] * 2).to_matrix()
    x = SparsePauliOp(["IIX", "IXI", "XII"], [field] * 3).to_matrix()
    exact = np.linalg.matrix_power(expm(-1j * x) @ expm(-1j * zz), 2)[:, 0]
    assert abs(exact.conj() @ Statevector(circuit).data) == pytest.approx(1.0, abs=1e-12)


def test_mirror_circuits_end_in_one_bit_string() -> None:
    for index in range(10):
        instance = FAMILIES["mirror"].instance(index, 7)
        assert np.abs(state(instance.source)).max() == pytest.approx(1.0)
        assert instance.ideal == pytest.approx((1.0, 1.0))


def test_vqe_reaches_the_ground_state() -> None:
    found = [FAMILIES["vqe"].instance(index, 0, qubits=2, depth=2).ideal[0] for index in range(5)]
    assert found == pytest.approx([data("h2")["ground_energy"]] * 5, abs=1e-6)
    for index in range(5):
        [energy] = FAMILIES["vqe"].instance(index, 0, qubits=4, depth=2).ideal
        assert data("lih")["ground_energy"] - 1e-9 <= energy < data("lih")["ground_energy"] + 0.02


def test_qaoa_cuts_more_than_chance_and_at_most_the_maximum() -> None:
    for index in range(10):
        instance = FAMILIES["qaoa"].instance(index, 3)
        cut = np.real(np.diag(matrix(instance.observables[0])))
        edges = instance.qubits * 3 // 2
        assert cut.max() == round(cut.max()) and cut.min() == 0  # the operator counts edges
        assert cut.mean() == pytest.approx(edges / 2)
        assert 1.2 * edges / 2 < instance.ideal[0] <= cut.max() + 1e-9


def test_wide_clifford_circuits_have_exact_values_and_others_are_refused() -> None:
    assert FAMILIES["ghz"].instance(0, 0, qubits=40).ideal == pytest.approx((1.0, 1.0))
    with pytest.raises(JobInvalidError, match="Clifford circuits only; others can have 20"):
        FAMILIES["random"].instance(0, 0, qubits=21)


@pytest.mark.parametrize(
    ("name", "qubits", "depth", "says"),
    [
        ("vqe", 3, None, "2 or 4 qubits, not of 3"),
        ("ghz", None, 2, "no depth to choose, got 2"),
        ("random", 2, None, "starts at 4 qubits"),
        ("ising", 4, -1, "depth -1"),
        ("qaoa", 5, None, "even number of vertices, got 5"),
    ],
)
def test_sizes_that_a_family_does_not_have(name: str, qubits: int | None, depth: int | None, says: str) -> None:
    with pytest.raises(JobInvalidError, match=says):
        FAMILIES[name].instance(0, 0, qubits, depth)
