"""No mitigation: averages of what was read. The control of every other method."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from backends.adapter import Run
from em.methods.samples import Floats, Readings, Sample
from em.observables import Group
from schemas.mitigation import Parameters


class RawReader:
    """Takes readout as it comes."""

    name = "raw"
    version = "1"
    defaults: ClassVar[Parameters] = {}

    def check(self, parameters: Parameters) -> None:
        """It has no parameters."""

    def calibration(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """None."""
        return []

    def runs(self, plain: Run, parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The plain run."""
        return [plain]

    def calibrate(self, runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> None:
        """Nothing to learn."""

    def read(self, calibration: None, groups: Sequence[Group], samples: Sequence[Sample], weights: Sequence[Floats]) -> Readings:
        """Averages and shot noise, see `em.methods.mitigated.Reader`."""
        values = [weight @ sample.parities(group.paulis) for group, sample, weight in zip(groups, samples, weights, strict=True)]
        means = sum_of(sample.mean(value) for sample, value in zip(samples, values, strict=True))
        variances = sum_of(sample.shot_variance(value) for sample, value in zip(samples, values, strict=True))
        return Readings(means, variances, np.zeros((len(means), 0)), means)


def sum_of(parts: Iterable[Floats]) -> Floats:
    """The sum of arrays of one shape."""
    total: Floats = np.sum(list(parts), axis=0)
    return total
