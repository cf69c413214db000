"""Machine learning for error mitigation, Liao et al. 2024, arXiv:2309.17368: a regressor corrects what a few runs say.

The runs are twirled and read at two noise scales, for as many shots as a linear extrapolation takes; what the calibration lets
expect of each Pauli string comes back with the counts. Both give a physical estimate (`em.learned.physical`). The model that
corrects it is fitted to simulated devices (`em.learned`), gives conformal intervals, and abstains on inputs unlike those that it
was fitted to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import ClassVar

import numpy as np

from backends.adapter import Run
from backends.forecast import Forecast
from em.circuits import CircuitFeatures
from em.errors import JobInvalidError
from em.learned.features import table
from em.learned.model import DATA, Model, Prediction, described, shipped
from em.learned.physical import SCALES
from em.methods.method import Cost, Estimate, Gates, Workload
from em.methods.samples import Floats, Sample, spread
from em.methods.zne import exponential
from em.observables import Group, bound, constant
from schemas.mitigation import Parameters

TWIRLS = 64
"""Random circuits in place of a run: what over-rotations of 0.1 rad are left to do is then less than shot noise."""

BUDGET, TRAINING = 2.0, 0.2
"""Shots / those of a job without mitigation, as linear extrapolation from two scales takes; and the part of what is executed that
is charged for training: Liao et al. train on 500 circuits to mitigate 2,500. Ours are simulated."""

_SHARES = (0.7, 0.3)
"""Of the executed shots, at each of `SCALES`: what makes the deviation of the physical estimate least."""

_NORMAL = 1.959964  # half the width of a normal distribution's 95 % interval, in standard deviations
_SEEDS = 2**62

Layout = list[list[list[Run]]]
"""Groups, scales, runs."""


def layout(body: int, shots: int, groups: Sequence[Group], seed: int) -> Layout:
    """The runs of a body, for a job of so many shots; the first of each group asks for a forecast."""
    draw = np.random.default_rng([seed, body])
    return [[_twirled(run, group, draw) for run in _plain(body, shots, group)] for group in groups]


def _plain(body: int, shots: int, group: Group) -> Iterator[Run]:
    """The runs of a group before they are twirled."""
    for scale, executed in spent(shots).items():
        yield Run(body, executed, scale, group.basis, fold="gate")


def spent(shots: int) -> Mapping[int, int]:
    """Scale -> shots that a group of a circuit is executed for, all twirls together, where a job has so many."""
    executed = shots * BUDGET / (1 + TRAINING)
    return {scale: max(1, round(share * executed)) for scale, share in zip(SCALES, _SHARES, strict=True)}


def _twirled(plain: Run, group: Group, draw: np.random.Generator) -> list[Run]:
    first, *others = spread(plain, TWIRLS)
    asking = replace(first, paulis=group.paulis) if plain.scale == SCALES[0] else first
    return [replace(run, twirl=int(draw.integers(_SEEDS))) for run in (asking, *others)]


@dataclass(frozen=True)
class Learned:
    """A `Method`: one of the regressors in `em.learned.model.REGRESSORS`."""

    regressor: str = "forest"
    folder: Path = DATA
    reader: ClassVar[str] = "raw"
    extrapolation: ClassVar[str | None] = None
    gates: ClassVar[Gates] = "learned"

    @property
    def name(self) -> str:
        """`ml-qem` for the forest, `ml-qem-linear` and `ml-qem-boosting` for its controls."""
        return "ml-qem" if self.regressor == "forest" else f"ml-qem-{self.regressor}"

    @property
    def version(self) -> str:
        """Of the code, and the id of the model that ships."""
        return f"2+{described(self.folder)['model_id'][:12]}"

    def parameters(self, given: Parameters) -> Parameters:
        """See `Method.parameters`: it has none."""
        if given:
            raise JobInvalidError(f"the method {self.name!r} has no parameter {min(given)!r}; it has none")
        return {}

    def width(self, circuit: CircuitFeatures) -> int:
        """See `Method.width`: the circuit's own."""
        return circuit.qubits

    def cost(self, workload: Workload, given: Parameters) -> Cost:
        """See `Method.cost`: `TRAINING` is charged as calibration."""
        executed = Cost.of(self.circuits(workload, given, seed=0), workload)
        training = ceil(TRAINING * executed.shots)
        total = executed.shots + training
        return replace(
            executed, shots=total, overhead=total / workload.asked_shots, shots_by_scale={**executed.shots_by_scale, 0: training}
        )

    def bodies(self, workload: Workload, given: Parameters, seed: int) -> tuple[str, ...]:
        """See `Method.bodies`: the workload's own."""
        return workload.sources

    def circuits(self, workload: Workload, given: Parameters, seed: int) -> tuple[Run, ...]:
        """See `Method.circuits`: `layout`."""
        self.parameters(given)
        if not workload.observables:
            raise JobInvalidError(f"a job without observables returns counts, which the method {self.name!r} cannot; ask for 'raw'")
        return tuple(
            run
            for body in range(workload.circuits)
            for scales in layout(body, workload.shots, workload.groups, seed)
            for run in chain(*scales)
        )

    def combine(
        self,
        workload: Workload,
        given: Parameters,
        seed: int,
        counts: Sequence[Mapping[str, int]],
        weights: Sequence[float] = (),
    ) -> tuple[tuple[Estimate, ...], ...]:
        """See `Method.combine`. Where the model abstains, the note says why, and what stands in."""
        if not workload.groups:
            return (tuple(Estimate(constant(each), 0.0, None) for each in workload.observables),) * workload.circuits
        terms = np.concatenate(workload.terms(), axis=1)
        told = iter(zip(counts, workload.forecasts or [None] * len(counts), strict=True))
        return tuple(
            tuple(
                self._estimated(workload, terms, body, *_read(layout(body, workload.shots, workload.groups, seed), workload, told))
            )
            for body in range(workload.circuits)
        )

    def _estimated(
        self, workload: Workload, terms: Floats, body: int, samples: Sequence[Sequence[Sample]], forecasts: Sequence[Forecast]
    ) -> Iterator[Estimate]:
        if len(forecasts) < len(workload.groups) or not workload.sources:
            return _extrapolated(workload, samples)
        model = shipped(self.folder)
        known = table(workload.sources[body], workload.groups, samples, forecasts)
        return self._predicted(model, workload, terms, model.predict(known, self.regressor))

    def _predicted(self, model: Model, workload: Workload, terms: Floats, prediction: Prediction) -> Iterator[Estimate]:
        quantiles = model.quantiles(self.regressor)
        for observable, row in zip(workload.observables, terms, strict=True):
            distance = prediction.distance(row) if row.any() else 0.0
            if distance > model.threshold:
                why = f"the circuit is unlike what the model knows (distance {distance:.2f} > {model.threshold:.2f})"
                sigma = float(np.sqrt(np.square(row) @ np.square(prediction.sigmas)))
                yield _instead(constant(observable) + float(row @ prediction.physical), sigma, "the physical estimate", why)
            else:
                value = constant(observable) + float(row @ prediction.values)
                yield Estimate(value, prediction.half_width(row, quantiles) / _NORMAL if row.any() else 0.0, None)


def _read(
    runs: Layout, workload: Workload, told: Iterator[tuple[Mapping[str, int], Forecast | None]]
) -> tuple[list[list[Sample]], list[Forecast]]:
    """The samples of each group at each scale, and the forecasts that came back."""
    samples: list[list[Sample]] = []
    forecasts: list[Forecast] = []
    for group, scales in zip(workload.groups, runs, strict=True):
        samples.append([])
        for each in scales:
            counts, known = zip(*islice(told, len(each)), strict=True)
            samples[-1].append(Sample.of(group.qubits, each, counts))
            forecasts += [forecast for forecast in known if forecast]
    return samples, forecasts


def _extrapolated(workload: Workload, samples: Sequence[Sequence[Sample]]) -> Iterator[Estimate]:
    """What stands in where nothing is foretold: an exponential extrapolation of what was read."""
    why = "the backend does not say what its calibration lets expect of a circuit"
    values, variances = np.zeros((2, len(SCALES), len(workload.observables)))
    for group, terms, scales in zip(workload.groups, workload.terms(), samples, strict=True):
        for place, sample in enumerate(scales):
            summed = terms @ sample.parities(group.paulis)
            values[place] += sample.mean(summed)
            variances[place] += sample.variance(summed)
    for index, observable in enumerate(workload.observables):
        largest = bound(observable) - abs(constant(observable))
        found = exponential(np.array(SCALES, dtype=float), values[:, index], np.sqrt(variances[:, index]), largest)
        sigma = float(np.sqrt(np.square(found.gradient) @ variances[:, index]))
        yield _instead(constant(observable) + found.value, sigma, "exponential extrapolation", why)


def _instead(value: float, sigma: float, what: str, why: str) -> Estimate:
    return Estimate(value, sigma, None, f"{what} stands in: {why}", abstained=True)
