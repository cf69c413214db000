"""From cases to numbers: the features of every Pauli string, its exact value, and how strings add up to observables."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from backends import qasm
from backends.adapter import Work
from em.families import Instance
from em.families.family import exact, observable
from em.harness.executions import Executions
from em.learned.cases import Case
from em.learned.features import Table, table
from em.methods.learned import layout
from em.methods.samples import Floats, Sample
from em.observables import coefficients, grouped
from em.planning import TRANSPILER_SEED


@dataclass(frozen=True, slots=True)
class Example:
    """One case, as a model sees it.

    Attributes:
        table: the features of its strings.
        ideal: (strings,) exact values.
        terms: (observables, strings) coefficients.
    """

    case: Case
    table: Table
    ideal: Floats
    terms: Floats

    @property
    def residual(self) -> Floats:
        """(strings,): the exact values less the physical estimates, in standard deviations of these, turned as features are."""
        return np.asarray(self.table.signs * (self.ideal - self.table.estimates) / self.table.sigmas)


def examples(cases: Iterable[Case], draws: int = 1, *, averaged: bool = False) -> Iterator[Example]:
    """Each case, simulated exactly once and sampled with its shots, `draws` times.

    Args:
        averaged: each run as it is on average over twirls, in place of the twirls that it has: two simulations in place of 128.
    """
    for case in cases:
        yield from _sampled(case, draws, averaged=averaged)


def _sampled(case: Case, draws: int, *, averaged: bool) -> Iterator[Example]:
    instance = case.instance
    executions = Executions(case.drawn.twirled() if averaged else case.drawn.device())
    groups = grouped(instance.observables)
    runs = layout(0, case.shots, groups, case.seed)
    if averaged:
        runs = [[[replace(run, twirl=None) for run in each] for each in scales] for scales in runs]
    work = Work((instance.source,), tuple(chain(*(chain(*scales) for scales in runs))), case.seed, TRANSPILER_SEED)
    executions.prepare([work])
    paulis = [pauli for group in groups for pauli in group.paulis]
    ideal, summed = _ideal(instance, paulis), [coefficients(each) for each in instance.observables]
    terms = np.array([[each.get(pauli, 0.0) for pauli in paulis] for each in summed])
    for draw in range(draws):
        result = executions.run(replace(work, seed=case.seed + draw)).result
        seen = iter(result.counts)
        samples = [
            [Sample.of(group.qubits, each, list(islice(seen, len(each)))) for each in scales]
            for group, scales in zip(groups, runs, strict=True)
        ]
        told = [forecast for forecast in result.forecasts if forecast is not None]
        yield Example(case, table(instance.source, groups, samples, told), ideal, terms)


def _ideal(instance: Instance, paulis: Sequence[str]) -> Floats:
    known = dict(zip((each.name for each in instance.observables), instance.ideal, strict=True))
    if all(pauli in known for pauli in paulis):
        return np.array([known[pauli] for pauli in paulis])
    return np.array(exact(qasm.program(instance.source).body, [observable(pauli, {pauli: 1.0}) for pauli in paulis]))


def stacked(found: Sequence[Example]) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """(rows, features), (rows,) residuals, and (rows,) which example each row is from."""
    rows = np.repeat(np.arange(len(found)), [len(each.ideal) for each in found])
    return np.concatenate([each.table.features for each in found]), np.concatenate([each.residual for each in found]), rows
