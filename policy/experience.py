"""What was measured of methods, for learning and for watching: `em.measured` events against what a model expects.

An event names its circuit by a hash; circuits are drawn again from the families to find it. Errors of one run are noisy: those of
the same circuit, observable, device, method and shots are averaged, and what a logarithm of so few falls short of is added.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from backends.device import Device
from backends.errors import BackendError
from em.families import FAMILIES, Instance
from policy.choice import AUTOMATIC
from policy.demand import Demand
from policy.features import NAMES, table
from policy.model import Model
from policy.placement import Placement, placed
from policy.prior import prior
from schemas.calibration import CalibrationUpdated
from schemas.errors import InputError
from schemas.jobs import JobRequested
from schemas.mitigation import EmMeasured

Floats = NDArray[np.float64]

SEARCHED = 200
"""Circuits of each family and seed among which a hash is looked for."""

ONE_DRAW = 0.41
"""log E|x| - E log |x| of one normal draw; of a mean over n, about a n-th of it."""


@dataclass(frozen=True)
class Experience:
    """Methods on circuits, as they were measured.

    Attributes:
        features: (rows, features).
        errors: (rows,) mean |error| in units of the observable's bound.
        backend: (rows,) names.
        draws: (rows,) runs behind each error.
        left_out: events that nothing could be learned from, by reason.
    """

    features: NDArray[np.float32]
    errors: Floats
    backend: NDArray[np.str_]
    draws: NDArray[np.int64]
    left_out: Mapping[str, int]

    @property
    def targets(self) -> Floats:
        """(rows,) what a forest is fitted to: log (error / the closed form's)."""
        return np.asarray(np.log(np.maximum(self.errors, 1e-6)) + ONE_DRAW / self.draws - self.features[:, 0])


@dataclass(frozen=True, slots=True)
class Drift:
    """A backend, predicted against achieved.

    Attributes:
        runs: behind it.
        ratio: geometric mean of achieved / predicted errors: above 1, predictions are too good.
        error: standard error of its logarithm.
    """

    backend: str
    runs: int
    ratio: float
    error: float

    @property
    def significant(self) -> bool:
        """Whether it differs from 1 by more than three standard errors and by more than a fifth."""
        size = abs(np.log(self.ratio))
        return bool(size > max(3 * self.error, np.log(1.2)))


def experience(
    events: Iterable[EmMeasured], calibrations: Mapping[str, CalibrationUpdated], seeds: Iterable[int] = (0,)
) -> Experience:
    """What the events teach.

    Args:
        events: of any methods, families and devices.
        calibrations: by calibration_id.
        seeds: that circuits may have been drawn with.
    """
    grouped: dict[tuple[str, str, str, str, str, int], list[float]] = defaultdict(list)
    left_out: dict[str, int] = defaultdict(int)
    for event in events:
        if event.method not in AUTOMATIC:
            left_out["a method that is not chosen automatically"] += 1
        elif event.calibration_id not in calibrations:
            left_out["a calibration that is not known"] += 1
        else:
            place = event.family, event.circuit_hash, event.observable, event.calibration_id, event.method, event.budget
            grouped[place].append(abs(event.value - event.ideal) / (event.bound or 1.0))
    known, found = _Places(calibrations, tuple(seeds)), []
    for (family, circuit, observable, calibration_id, method, shots), errors in grouped.items():
        row = known.row(family, circuit, observable, calibration_id, method=method, shots=shots)
        if row is None:
            left_out["a circuit that is not among the first of its family, or does not fit"] += len(errors)
        else:
            found.append((row, np.mean(errors), calibrations[calibration_id].backend, len(errors)))
    rows, means, backends, draws = zip(*found, strict=True) if found else ((), (), (), ())
    features = np.array(rows, dtype=np.float32).reshape(len(rows), len(NAMES))
    return Experience(features, np.array(means), np.array(backends, dtype=str), np.array(draws, dtype=np.int64), dict(left_out))


def drifts(model: Model, seen: Experience) -> list[Drift]:
    """Predicted against achieved, for each backend; the worst first."""
    if not len(seen.errors):
        return []
    residual = seen.targets - np.log(model.errors(seen.features[:, None, :])[:, 0]) + seen.features[:, 0]
    found = []
    for name in np.unique(seen.backend):
        some = residual[seen.backend == name]
        error = float(some.std(ddof=1) / np.sqrt(len(some))) if len(some) > 1 else np.inf
        found.append(Drift(str(name), int(seen.draws[seen.backend == name].sum()), float(np.exp(some.mean())), error))
    return sorted(found, key=lambda each: -abs(np.log(each.ratio)))


class _Places:
    """Circuits by hash, and what they meet on devices; each found once."""

    def __init__(self, calibrations: Mapping[str, CalibrationUpdated], seeds: tuple[int, ...]) -> None:
        self._calibrations, self._seeds = calibrations, seeds
        self._devices: dict[str, Device] = {}
        self._placed: dict[tuple[str, str, str], tuple[Demand, Placement] | None] = {}

    def row(self, family: str, circuit: str, observable: str, calibration_id: str, *, method: str, shots: int) -> Floats | None:
        """The features of a method, or None where they cannot be found."""
        key = circuit, observable, calibration_id
        if key not in self._placed:
            self._placed[key] = self._find(family, circuit, observable, calibration_id)
        found = self._placed[key]
        if found is None or shots < 1:
            return None
        demand, place = found
        runs = np.full(len(AUTOMATIC), float(shots))
        features = table(
            demand.target,
            demand.hardest,
            [place],
            methods=AUTOMATIC,
            shots=runs,
            seen=prior(demand.target, [place], AUTOMATIC, runs),
        )
        return np.asarray(features[0, AUTOMATIC.index(method)], dtype=np.float64)

    def _find(self, family: str, circuit: str, observable: str, calibration_id: str) -> tuple[Demand, Placement] | None:
        instance = next((index[circuit] for seed in self._seeds if circuit in (index := _drawn(family, seed))), None)
        asked = None if instance is None else next((each for each in instance.observables if each.name == observable), None)
        if instance is None or asked is None:
            return None
        device = self._devices.setdefault(calibration_id, Device(self._calibrations[calibration_id]))
        try:
            return Demand.of(JobRequested(job_id="seen", circuits=(instance.source,), observables=(asked,))), placed(
                device, instance.source, asked
            )
        except (BackendError, InputError):
            return None


@lru_cache(maxsize=64)
def _drawn(family: str, seed: int) -> Mapping[str, Instance]:
    if family not in FAMILIES:
        return {}
    found = (FAMILIES[family].instance(number, seed) for number in range(SEARCHED))
    return {instance.circuit_hash: instance for instance in found}
