"""Tensored readout mitigation: each qubit's confusion matrix is measured and inverted. Bravyi et al. 2021, arXiv:2006.14044."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from backends.adapter import Run
from em.errors import MitigationFailedError
from em.methods.parameters import number
from em.methods.samples import Floats, Readings, Sample
from em.observables import Group, support
from schemas.mitigation import Parameters

_LEAST_SLOPE = 0.05  # P01 + P10 = 0.95: beyond, the inverse multiplies noise by more than twenty


@dataclass(frozen=True)
class Confusion:
    """Readout errors of the qubits that a job reads, and how well they are known.

    Attributes:
        qubits: ascending.
        offset: b = P(0|1) - P(1|0) of each qubit: the mean of what is read is a <Z> + b.
        slope: a = 1 - P(0|1) - P(1|0).
        sigma0, sigma1: standard deviations of P(1|0) and P(0|1).
    """

    qubits: tuple[int, ...]
    offset: Floats
    slope: Floats
    sigma0: Floats
    sigma1: Floats


class ReadoutReader:
    """Two calibration circuits per body, all qubits 0 and all qubits 1, then an inversion qubit by qubit.

    The inverse of a tensor product acts on a Pauli string factor by factor, so no matrix of 2^n is ever built.
    """

    name = "readout"
    version = "1"
    defaults: ClassVar[Parameters] = {"calibration_ratio": 1.0}

    def check(self, parameters: Parameters) -> None:
        """`calibration_ratio`: shots of each calibration circuit / shots of the job, 0.01 to 100."""
        number(parameters, "calibration_ratio", 0.01, 100)

    def calibration(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """All read qubits prepared in 0, then in 1."""
        zeros = replace(plain, shots=max(1, round(number(parameters, "calibration_ratio", 0.01, 100) * plain.shots)))
        return [zeros, replace(zeros, flips=tuple(support(plain.basis)))]

    def runs(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The plain run."""
        return [plain]

    def calibrate(self, runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> Confusion:
        """The confusion of each qubit from the two calibration runs."""
        qubits = tuple(support(runs[0].basis))
        zeros, ones = (Sample.of(qubits, [run], [seen]) for run, seen in zip(runs, counts, strict=True))
        wrong0, wrong1 = ((1 - sample.mean(sample.outcomes.T)) / 2 for sample in (zeros, ones))  # flips are undone in both
        slope = 1 - wrong0 - wrong1
        blind = [qubit for qubit, a in zip(qubits, slope, strict=True) if a < _LEAST_SLOPE]
        if blind:
            raise MitigationFailedError(f"the readout of qubits {blind} carries no information: it cannot be inverted")
        return Confusion(qubits, wrong1 - wrong0, slope, _sigma(wrong0, zeros.shots), _sigma(wrong1, ones.shots))

    def read(
        self, calibration: Confusion, groups: Sequence[Group], samples: Sequence[Sample], weights: Sequence[Floats]
    ) -> Readings:
        """Averages of inverted outcomes; the calibration's own noise by the delta method, see `em.methods.mitigated.Reader`."""
        return Readings.total(_read(calibration, *triple) for triple in zip(groups, samples, weights, strict=True))


def _read(confusion: Confusion, group: Group, sample: Sample, weight: Floats) -> Readings:
    columns = [confusion.qubits.index(qubit) for qubit in sample.qubits]
    slope, offset = confusion.slope[columns], confusion.offset[columns]
    factors = (sample.outcomes - offset) / slope
    products = sample.products(factors, group.paulis)
    values = weight @ products
    # d factor / d P(1|0) = (factor + 1) / a and d factor / d P(0|1) = (factor - 1) / a; the rest of the product stays
    mean = products * sample.weights / sample.shots
    inside = sample.mask(group.paulis)
    shared = np.zeros((len(weight), 2 * len(confusion.qubits)))
    for sign, sigma, shift in ((1.0, confusion.sigma0, 0), (-1.0, confusion.sigma1, len(confusion.qubits))):
        slopes = np.where(inside, mean @ ((factors + sign) / factors / slope), 0.0)
        shared[:, [shift + column for column in columns]] = weight @ slopes * sigma[columns]
    raw = sample.mean(weight @ sample.parities(group.paulis))
    return Readings(sample.mean(values), sample.variance(values), shared, raw)


def _sigma(probability: Floats, shots: float) -> Floats:
    smoothed = (probability * shots + 0.5) / (shots + 1)
    return np.sqrt(smoothed * (1 - smoothed) / shots)
