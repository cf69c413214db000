"""A model against raw runs, readout mitigation and extrapolation: on circuits, devices and calibrations that it has not seen."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from em.harness.executions import Executions
from em.learned.cases import Case
from em.learned.features import Floats
from em.learned.model import REGRESSORS, Model, Prediction
from em.methods import METHODS, Estimate, Method, Workload
from em.methods.learned import Learned
from em.observables import bound, constant, grouped
from em.planning import planned
from schemas.mitigation import Parameters

WEAK, STRONG = "zne-linear", "readout-twirl-zne-exponential"
"""The authors' control, and the strongest that takes no training."""

CONTROLS: Mapping[str, Parameters] = {
    "raw": {},
    "readout": {},
    WEAK: {"scale_factors": [1.0, 3.0]},
    "readout-zne-exponential": {},
    STRONG: {"gate_twirls": 4},
}
"""With their parameters."""

PHYSICAL = "physical"
"""The name of the control that is the model's own runs, uncorrected."""

_INTERVAL = 1.959964  # standard errors


class Uncorrected(Learned):
    """What the model's runs say before it corrects them: the physical estimate, which takes no training."""

    @property
    def name(self) -> str:
        """`physical`."""
        return PHYSICAL

    def _predicted(self, model: Model, workload: Workload, terms: Floats, prediction: Prediction) -> Iterator[Estimate]:
        for observable, row in zip(workload.observables, terms, strict=True):
            yield Estimate(constant(observable) + float(row @ prediction.physical), 0.0, None)


@dataclass(frozen=True, slots=True)
class Score:
    """What a method made of one observable.

    Attributes:
        error: |estimate - ideal| in units of the observable's bound; NaN where the method gave no estimate.
        covered: whether the 95 % interval holds the ideal value.
        abstained: whether another estimate stood in.
    """

    setting: str
    method: str
    error: float
    covered: bool
    abstained: bool


def scores(cases: Iterable[Case], folder: Path) -> Iterator[Score]:
    """Every method on every observable of the cases; methods share simulations and seeds."""
    learned = {name: Learned(name, folder) for name in REGRESSORS}
    methods: list[tuple[Method, Parameters]] = [(METHODS[name], given) for name, given in CONTROLS.items()]
    methods += [(method, {}) for method in (*learned.values(), Uncorrected(folder=folder))]
    for case in cases:
        instance = case.instance
        workload = Workload(1, instance.observables, grouped(instance.observables), case.shots, (instance.source,))
        plans = [planned(method, workload, given, case.seed) for method, given in methods]
        executions = Executions(case.drawn.device())
        executions.prepare([plan.work for plan in plans])
        for plan in plans:
            (estimates,) = plan.combine(executions.run(plan.work).result)
            for observable, ideal, estimate in zip(instance.observables, instance.ideal, estimates, strict=True):
                yield _score(case.setting, plan.method.name, estimate, ideal, bound(observable))


def _score(setting: str, method: str, estimate: Estimate, ideal: float, unit: float) -> Score:
    off = abs(estimate.value - ideal)
    return Score(
        setting,
        method,
        off / unit,
        off <= _INTERVAL * estimate.standard_error,
        estimate.abstained,
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A setting.

    Attributes:
        errors: method -> mean error.
        observables: how many.
        coverage: of the model's 95 % intervals, where it did not abstain; NaN where it always did.
        abstained: fraction of the observables.
    """

    setting: str
    errors: Mapping[str, float]
    observables: int
    coverage: float
    abstained: float

    def ratio(self, method: str) -> float:
        """The method's mean error / the model's."""
        return self.errors[method] / self.errors["ml-qem"]


def lines(found: Iterable[Score]) -> list[Line]:
    """A line for each setting, in the order in which they come."""
    by_setting: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for score in found:
        by_setting[score.setting][score.method].append(score)
    return [_line(setting, methods) for setting, methods in by_setting.items()]


def _line(setting: str, methods: Mapping[str, Sequence[Score]]) -> Line:
    ours = methods["ml-qem"]
    spoke = [score.covered for score in ours if not score.abstained]
    return Line(
        setting,
        {name: float(np.mean([score.error for score in some])) for name, some in methods.items()},
        len(ours),
        float(np.mean(spoke)) if spoke else float("nan"),
        1 - len(spoke) / len(ours),
    )
