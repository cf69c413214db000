"""Observables as sums of Pauli strings: which can be read together, and what bit strings say about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from em.errors import JobInvalidError
from schemas.jobs import Observable

_MAX_GROUPS = 2_000  # of each a circuit is run; a job with more should be split


@dataclass(frozen=True, slots=True)
class Group:
    """Pauli strings that one measurement reads, because they agree wherever two of them act on the same qubit.

    Attributes:
        basis: a letter per qubit, the rightmost for qubit 0; I where none of them acts.
        paulis: the strings, none of them the identity.
    """

    basis: str
    paulis: tuple[str, ...]

    @property
    def qubits(self) -> tuple[int, ...]:
        """The qubits that are read, ascending."""
        return tuple(support(self.basis))


def support(pauli: str) -> list[int]:
    """The qubits on which a Pauli string acts, ascending (the rightmost letter is qubit 0)."""
    return [qubit for qubit, letter in enumerate(reversed(pauli)) if letter != "I"]


def bound(observable: Observable) -> float:
    """An upper bound of |<O>|: the sum of |coefficients|, the identity's included."""
    return sum(abs(term.coefficient) for term in observable.terms)


def constant(observable: Observable) -> float:
    """The identity's coefficient, which needs no measurement and carries no noise."""
    return sum(term.coefficient for term in observable.terms if not term.pauli.strip("I"))


def coefficients(observable: Observable) -> dict[str, float]:
    """Pauli string -> coefficient, equal strings added up, the identity left out."""
    summed: dict[str, float] = {}
    for term in observable.terms:
        if term.pauli.strip("I"):
            summed[term.pauli] = summed.get(term.pauli, 0.0) + term.coefficient
    return summed


def check_widths(observables: Sequence[Observable], qubits: int) -> None:
    """Refuses observables that are not as wide as the circuit.

    Raises:
        JobInvalidError: names the observable, its width and the circuit's.
    """
    for observable in observables:
        widths = {len(term.pauli) for term in observable.terms} - {qubits}
        if widths:
            raise JobInvalidError(
                f"observable {observable.name!r} has Pauli strings of {min(widths)} letters, the circuit has {qubits} qubits; "
                "give every qubit a letter, I where the observable does not act"
            )


def grouped(observables: Sequence[Observable]) -> tuple[Group, ...]:
    """All Pauli strings of all observables in few groups: greedy, heaviest first (Verteletskyi et al. 2020, arXiv:1907.03358).

    Observables of nothing but the identity get one group that reads every qubit, so that a job always runs something.

    Raises:
        JobInvalidError: Pauli strings of different widths, or more groups than one job may have.
    """
    widths = {len(term.pauli) for observable in observables for term in observable.terms}
    if len(widths) > 1:
        raise JobInvalidError(
            f"the observables have Pauli strings of different widths: {sorted(widths)}; they must be the circuit's"
        )
    weights: dict[str, float] = {}
    for observable in observables:
        for pauli, coefficient in coefficients(observable).items():
            weights[pauli] = weights.get(pauli, 0.0) + abs(coefficient)
    if observables and not weights:
        return (Group("Z" * widths.pop(), ()),)
    bases: list[str] = []
    members: list[list[str]] = []
    for pauli in sorted(weights, key=lambda pauli: (-weights[pauli], pauli)):
        place = next((index for index, basis in enumerate(bases) if _agree(basis, pauli)), None)
        if place is None:
            bases.append(pauli)
            members.append([pauli])
        else:
            bases[place] = "".join(b if p == "I" else p for b, p in zip(bases[place], pauli, strict=True))
            members[place].append(pauli)
        if len(bases) > _MAX_GROUPS:
            raise JobInvalidError(f"the observables need more than {_MAX_GROUPS} different measurements; split the job")
    return tuple(Group(basis, tuple(paulis)) for basis, paulis in zip(bases, members, strict=True))


def signs(counts: Sequence[Mapping[str, int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bit strings of some runs, one run after the other, as (outcomes, bits) of +1 (read 0) and -1 (read 1), column 0 the
    rightmost bit; and how often each came.

    Raises:
        ValueError: a run without shots.
    """
    if not counts or not all(counts):
        raise ValueError("no counts")
    number = sum(map(len, counts))
    text = "".join(chain.from_iterable(counts)).encode()
    bits = np.frombuffer(text, dtype=np.uint8).reshape(number, -1)[:, ::-1] - ord("0")
    times = chain.from_iterable(seen.values() for seen in counts)
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64), np.fromiter(times, dtype=np.float64, count=number)


def _agree(basis: str, pauli: str) -> bool:
    return all(b == p or "I" in (b, p) for b, p in zip(basis, pauli, strict=True))
