"""Twirled readout: random flips make readout errors diagonal, and one ratio removes them, whatever their correlations.

Model-free readout-error mitigation, van den Berg, Minev, Temme 2022, arXiv:2012.09738 (equations 3 to 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from backends.adapter import Run
from em.errors import MitigationFailedError
from em.methods.parameters import whole
from em.methods.samples import Floats, Readings, Sample, spread
from em.observables import Group, support
from schemas.mitigation import Parameters

_LEAST_SIGNAL = 0.05  # of a Pauli string read on |0...0>, where it should be 1


class TwirledReader:
    """Each run's shots are spread over random flips, undone afterwards; so are as many shots on |0...0>."""

    name = "trex"
    version = "1"
    defaults: ClassVar[Parameters] = {"twirls": 32}

    def check(self, parameters: Parameters) -> None:
        """`twirls`: random flip patterns per run, 2 to 1024."""
        whole(parameters, "twirls", 2, 1024)

    def calibration(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The |0...0> state, read with random flips."""
        return _twirled(plain, parameters, draw)

    def runs(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The body, read with random flips."""
        return _twirled(plain, parameters, draw)

    def calibrate(self, runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> Sample:
        """What was read on |0...0>."""
        return Sample.of(support(runs[0].basis), runs, counts)

    def read(self, calibration: Sample, groups: Sequence[Group], samples: Sequence[Sample], weights: Sequence[Floats]) -> Readings:
        """<P> = <P twirled> / <P on |0...0>>; both sides' noise by the delta method, see `em.methods.mitigated.Reader`."""
        return Readings.total(_read(calibration, *triple) for triple in zip(groups, samples, weights, strict=True))


def _read(calibration: Sample, group: Group, sample: Sample, weight: Floats) -> Readings:
    parities, reference = sample.parities(group.paulis), calibration.parities(group.paulis)
    signal, unity = sample.mean(parities), calibration.mean(reference)
    lost = [pauli for pauli, size in zip(group.paulis, unity, strict=True) if size < _LEAST_SIGNAL]
    if lost:
        raise MitigationFailedError(
            f"the readout of {lost[0]} carries no information: on |0...0> it is read as less than {_LEAST_SIGNAL}"
        )
    values = (weight / unity) @ parities
    shared = calibration.deviations((weight * signal / unity**2) @ reference)
    return Readings(sample.mean(values), sample.run_variance(values), shared, sample.mean(weight @ parities))


def _twirled(plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
    qubits = np.array(support(plain.basis))
    parts = spread(plain, whole(parameters, "twirls", 2, 1024))
    patterns = draw.random((len(parts), len(qubits))) < 0.5
    return [replace(part, flips=tuple(qubits[pattern].tolist())) for part, pattern in zip(parts, patterns, strict=True)]
