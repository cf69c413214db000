import numpy as np
import pytest
from em_jobs import observable
from hypothesis import given
from hypothesis.strategies import floats, integers, lists, text, tuples

from em.errors import JobInvalidError
from em.observables import bound, check_widths, coefficients, constant, grouped, signs
from schemas.jobs import Observable, PauliTerm

PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def _matrix(pauli: str) -> np.ndarray:
    matrix = np.eye(1)
    for letter in pauli:
        matrix = np.kron(matrix, PAULIS[letter])
    return matrix


observables = lists(tuples(text("IXYZ", min_size=4, max_size=4), floats(-5, 5)), min_size=1, max_size=12).map(
    lambda terms: Observable(name="o", terms=tuple(PauliTerm(pauli=pauli, coefficient=value) for pauli, value in terms))
)


@given(observables)
def test_every_string_is_in_one_group_whose_basis_reads_it(given_observable: Observable) -> None:
    groups = grouped([given_observable])
    placed = [pauli for group in groups for pauli in group.paulis]
    assert sorted(placed) == sorted(coefficients(given_observable))
    for group in groups:
        for pauli in group.paulis:
            assert all(letter in ("I", basis) for letter, basis in zip(pauli, group.basis, strict=True))


@given(observables)
def test_strings_of_a_group_commute(given_observable: Observable) -> None:
    for group in grouped([given_observable]):
        for first in group.paulis:
            for second in group.paulis:
                one, other = _matrix(first), _matrix(second)
                np.testing.assert_allclose(one @ other, other @ one)


@given(observables)
def test_no_eigenvalue_exceeds_the_bound_and_the_constant_is_the_mean_eigenvalue(given_observable: Observable) -> None:
    operator = sum(term.coefficient * _matrix(term.pauli) for term in given_observable.terms)
    assert np.abs(np.linalg.eigvalsh(operator)).max() <= bound(given_observable) + 1e-9
    assert np.trace(operator).real / 16 == pytest.approx(constant(given_observable), abs=1e-9)


def test_observables_share_measurements() -> None:
    groups = grouped([observable("a", ZZI=1.0, XXI=0.5), observable("b", IZZ=1.0, IIX=0.2)])
    assert {group.basis for group in groups} == {"ZZZ", "XXX"}


def test_a_constant_observable_still_measures_something() -> None:
    assert [group.basis for group in grouped([observable("c", II=2.0)])] == ["ZZ"]
    assert grouped([]) == ()


def test_widths_that_differ_are_refused() -> None:
    with pytest.raises(JobInvalidError, match="different widths"):
        grouped([observable("a", ZZ=1.0), observable("b", Z=1.0)])
    with pytest.raises(JobInvalidError, match=r"'a' has Pauli strings of 2 letters, the circuit has 3"):
        check_widths([observable("a", ZZ=1.0)], 3)


@given(lists(integers(0, 31), min_size=1, max_size=20, unique=True))
def test_signs_follow_the_bits_from_the_right(values: list[int]) -> None:
    outcomes, weights = signs([{format(value, "05b"): value + 1} for value in values])
    for row, value, weight in zip(outcomes, values, weights, strict=True):
        assert [int(sign < 0) for sign in row] == [value >> bit & 1 for bit in range(5)]
        assert weight == value + 1
