"""Correlated readout mitigation: the full confusion matrix of small groups of qubits. Bravyi et al. 2021, arXiv:2006.14044."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from backends.adapter import Run
from em.errors import MitigationFailedError
from em.methods.parameters import number, whole
from em.methods.samples import Floats, Readings, Sample
from em.observables import Group, support
from schemas.mitigation import Parameters

_MOST_AMPLIFIED = 20.0  # the largest singular value of an inverse: beyond, noise is multiplied by more


@dataclass(frozen=True)
class Clique:
    """The confusion of some qubits together.

    Attributes:
        qubits: ascending, the first the lowest bit.
        matrix: (read, prepared), column-stochastic.
        roots: (prepared, read, sources): square roots of the covariances of the columns.
    """

    qubits: tuple[int, ...]
    matrix: Floats
    roots: Floats


class CorrelatedReader:
    """Neighbouring qubits of the job's in groups of `group_size`; 2^group_size calibration circuits, all groups at once.

    In calibration circuit k, every group is prepared in the state k. What goes wrong together must lie in one group: errors
    that depend on qubits outside it are not removed.
    """

    name = "correlated"
    version = "1"
    defaults: ClassVar[Parameters] = {"calibration_ratio": 1.0, "group_size": 2}

    def check(self, parameters: Parameters) -> None:
        """`calibration_ratio`: as of `readout`, 0.01 to 100; `group_size`: qubits of a group, 1 to 4."""
        number(parameters, "calibration_ratio", 0.01, 100)
        whole(parameters, "group_size", 1, 4)

    def calibration(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """Every group in each of its states."""
        shots = max(1, round(number(parameters, "calibration_ratio", 0.01, 100) * plain.shots))
        qubits, size = support(plain.basis), whole(parameters, "group_size", 1, 4)
        patterns = range(2 ** min(size, len(qubits)))
        return [
            replace(plain, shots=shots, flips=tuple(qubit for place, qubit in enumerate(qubits) if state >> place % size & 1))
            for state in patterns
        ]

    def runs(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The plain run."""
        return [plain]

    def calibrate(self, runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> tuple[Clique, ...]:
        """The confusion of each group."""
        qubits = tuple(support(runs[0].basis))
        size = max(1, (len(runs) - 1).bit_length())
        unflipped = [Sample.of(qubits, [replace(run, flips=())], [seen]) for run, seen in zip(runs, counts, strict=True)]
        return tuple(_clique(qubits[start : start + size], start, unflipped) for start in range(0, len(qubits), size))

    def read(
        self, calibration: tuple[Clique, ...], groups: Sequence[Group], samples: Sequence[Sample], weights: Sequence[Floats]
    ) -> Readings:
        """Averages of inverted outcomes; the calibration's own noise by the delta method, see `em.methods.mitigated.Reader`."""
        return Readings.total(_read(calibration, *triple) for triple in zip(groups, samples, weights, strict=True))


def _clique(qubits: tuple[int, ...], start: int, samples: Sequence[Sample]) -> Clique:
    size = 2 ** len(qubits)
    columns, roots = [], []
    for sample in samples[:size]:  # a last, smaller group has its states in the first circuits
        bits = sample.outcomes[:, start : start + len(qubits)] < 0
        seen = np.bincount(bits @ (1 << np.arange(len(qubits))), sample.weights, minlength=size)
        column = seen / sample.shots
        smooth = np.sqrt((seen + 0.5) / (sample.shots + 0.5 * size))
        columns.append(column)
        roots.append(np.diag(smooth) @ (np.eye(size) - np.outer(smooth, smooth)) / np.sqrt(sample.shots))
    matrix = np.array(columns).T
    if np.linalg.svd(matrix, compute_uv=False)[-1] * _MOST_AMPLIFIED < 1:
        raise MitigationFailedError(f"the readout of qubits {list(qubits)} carries no information: it cannot be inverted")
    return Clique(qubits, matrix, np.array(roots))


@dataclass(frozen=True)
class _Part:
    """What a clique does to the Pauli strings of one group.

    Attributes:
        project: (read here, states): sums over the clique's qubits that are not read.
        inverse: of the confusion of those that are.
        solved: (paulis, read here): the value of an outcome in place of the string's sign.
        value: (outcomes,) what was read.
    """

    project: Floats
    inverse: Floats
    solved: Floats
    value: NDArray[np.intp]


def _part(clique: Clique, group: Group, sample: Sample) -> _Part:
    here = [place for place, qubit in enumerate(clique.qubits) if qubit in sample.qubits]
    columns = [sample.qubits.index(clique.qubits[place]) for place in here]
    states = np.arange(2 ** len(clique.qubits))
    kept = sum(((states >> place & 1) << index for index, place in enumerate(here)), np.zeros_like(states))
    project = np.eye(2 ** len(here))[:, kept]
    inverse: Floats = np.linalg.inv(project @ clique.matrix @ _lift(project)).astype(np.float64)
    bits = np.arange(2 ** len(here))[:, None] >> np.arange(len(here)) & 1
    signs = 1.0 - 2.0 * (sample.mask(group.paulis)[:, columns].astype(int) @ bits.T % 2)
    value = (sample.outcomes[:, columns] < 0) @ (1 << np.arange(len(here)))
    return _Part(project, inverse, signs @ inverse, value.astype(np.intp))


def _lift(project: Floats) -> Floats:
    """What is not read is as likely prepared in 0 as in 1."""
    return np.asarray(project.T / project.sum(axis=1)[0])


def _read(cliques: tuple[Clique, ...], group: Group, sample: Sample, weight: Floats) -> Readings:
    parts = [_part(clique, group, sample) for clique in cliques]
    factors = np.array([part.solved[:, part.value] for part in parts])
    values = weight @ (sample.factors * factors.prod(axis=0))
    shared = [np.zeros((len(weight), 0))]
    for index, (clique, part) in enumerate(zip(cliques, parts, strict=True)):
        # d value = -solved dA (inverse u), u being the distribution read here, weighed with what the other cliques make of it
        rest = np.delete(factors, index, axis=0).prod(axis=0) * sample.factors * sample.weights / sample.shots
        read = rest @ np.eye(len(part.inverse))[part.value]
        prepared = read @ part.inverse.T @ _lift(part.project).T
        moved = np.einsum("pr,krs->pks", part.solved @ part.project, clique.roots)
        shared.append(-weight @ (moved * prepared[:, :, None]).reshape(len(prepared), moved.shape[-2] * moved.shape[-1]))
    raw = sample.mean(weight @ sample.parities(group.paulis))
    return Readings(sample.mean(values), sample.variance(values), np.concatenate(shared, axis=1), raw)
