"""No mitigation: averages of what was read. The control of every other method."""

from collections.abc import Mapping, Sequence
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
        return Readings.total(_read(*triple) for triple in zip(groups, samples, weights, strict=True))


def _read(group: Group, sample: Sample, weight: Floats) -> Readings:
    values = weight @ sample.parities(group.paulis)
    means = sample.mean(values)
    return Readings(means, sample.variance(values), np.zeros((len(means), 0)), means)
