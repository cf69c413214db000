"""Machine learning for error mitigation, Liao et al. 2024, arXiv:2309.17368: a regressor corrects what raw runs say.

The runs are raw's; what the calibration lets expect of each Pauli string comes back with the counts. The model is fitted to
simulated devices (`em.learned`), gives conformal intervals, and abstains on inputs unlike those that it was fitted to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from typing import ClassVar

import numpy as np

from backends.adapter import Run
from em.circuits import CircuitFeatures
from em.errors import JobInvalidError
from em.learned.features import runs, table
from em.learned.model import DATA, Model, Prediction, described, shipped
from em.methods.method import Cost, Estimate, Gates, Workload
from em.methods.mitigated import Mitigated
from em.methods.raw import RawReader
from em.methods.samples import Floats, Sample
from em.observables import constant
from schemas.mitigation import Parameters

STAND_IN = Mitigated(RawReader())
"""What is given where the model abstains: the same counts, without mitigation."""

TRAINING = 0.2
"""Shots charged for training / shots of the job: Liao et al. train on 500 circuits to mitigate 2,500. Ours are simulated."""

_NORMAL = 1.959964  # half the width of a normal distribution's 95 % interval, in standard deviations


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
        return f"1+{described(self.folder)['model_id'][:12]}"

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
        plain = self.circuits(workload, given, seed=0)
        shots = sum(run.shots for run in plain)
        training = ceil(TRAINING * shots)
        total = shots + training
        return Cost(len(plain), total, total / workload.asked_shots, {1: shots, 0: training})

    def bodies(self, workload: Workload, given: Parameters, seed: int) -> tuple[str, ...]:
        """See `Method.bodies`: the workload's own."""
        return workload.sources

    def circuits(self, workload: Workload, given: Parameters, seed: int) -> tuple[Run, ...]:
        """See `Method.circuits`: raw's, which ask for a forecast."""
        self.parameters(given)
        if not workload.observables:
            raise JobInvalidError(f"a job without observables returns counts, which the method {self.name!r} cannot; ask for 'raw'")
        return tuple(run for body in range(workload.circuits) for run in runs(body, workload.shots, workload.groups))

    def combine(
        self,
        workload: Workload,
        given: Parameters,
        seed: int,
        counts: Sequence[Mapping[str, int]],
        weights: Sequence[float] = (),
    ) -> tuple[tuple[Estimate, ...], ...]:
        """See `Method.combine`. Where the model abstains, the note says why, and what stands in."""
        plain = STAND_IN.combine(workload, {}, seed, counts)
        if not any(workload.forecasts) or not workload.sources:
            why = "the backend does not say what its calibration lets expect of a circuit"
            return tuple(tuple(_instead(estimate, why) for estimate in row) for row in plain)
        model, terms = shipped(self.folder), np.concatenate(workload.terms(), axis=1)
        return tuple(
            tuple(self._estimates(model, workload, terms, prediction, row))
            for prediction, row in zip(self._predicted(model, workload, counts), plain, strict=True)
        )

    def _predicted(self, model: Model, workload: Workload, counts: Sequence[Mapping[str, int]]) -> Iterator[Prediction]:
        """What the model says of each circuit's strings."""
        told = iter(zip(counts, workload.forecasts, strict=True))
        for source in workload.sources:
            mine = [(group, *pair) for group, pair in zip(workload.groups, islice(told, len(workload.groups)), strict=True)]
            known = [(group, Sample.of(group.qubits, [Run(0, 1)], [seen]), forecast) for group, seen, forecast in mine if forecast]
            groups, samples, forecasts = zip(*known, strict=True)
            yield model.predict(table(source, groups, samples, forecasts), self.regressor)

    def _estimates(
        self, model: Model, workload: Workload, terms: Floats, prediction: Prediction, plain: Sequence[Estimate]
    ) -> Iterator[Estimate]:
        quantiles = model.quantiles(self.regressor)
        for observable, row, raw in zip(workload.observables, terms, plain, strict=True):
            if not row.any():
                yield raw
                continue
            distance = prediction.distance(row)
            if distance > model.threshold:
                yield _instead(raw, f"the circuit is unlike what the model knows (distance {distance:.2f} > {model.threshold:.2f})")
                continue
            value = constant(observable) + float(row @ prediction.values)
            yield Estimate(value, prediction.half_width(row, quantiles) / _NORMAL, raw.raw_value)


def _instead(raw: Estimate, why: str) -> Estimate:
    return Estimate(raw.value, raw.standard_error, raw.raw_value, f"{STAND_IN.name} stands in: {why}", abstained=True)
