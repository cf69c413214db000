"""What was achieved, for learning and for watching: errors of runs against what a model expects.

Errors of one run are noisy: those of the same circuit, observable, device, method and shots are averaged, and what a logarithm of
so few falls short of is added.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from backends.device import Device
from backends.errors import BackendError
from policy.achieved import Achieved
from policy.choice import AUTOMATIC
from policy.device import Device as Outline
from policy.features import NAMES
from policy.model import Model
from policy.seen import Seen
from schemas.calibration import CalibrationUpdated
from schemas.errors import InputError
from schemas.jobs import Observable

Floats = NDArray[np.float64]

_BIAS, _DEVIATION = NAMES.index("bias"), NAMES.index("deviation")
_RATIOS = np.linspace(0.0, 8.0, 161)  # bias / deviation; beyond, one draw is as good as many
_DRAWS = norm.ppf((np.arange(4096) + 0.5) / 4096)


@dataclass(frozen=True)
class Experience:
    """Methods on circuits, as they were measured.

    Attributes:
        features: (rows, features).
        errors: (rows,) mean |error| in units of the observable's bound.
        backend: (rows,) names.
        draws: (rows,) runs behind each error.
        left_out: runs that nothing could be learned from, by reason.
    """

    features: NDArray[np.float32]
    errors: Floats
    backend: NDArray[np.str_]
    draws: NDArray[np.int64]
    left_out: Mapping[str, int]

    @property
    def targets(self) -> Floats:
        """(rows,) what a forest is fitted to: log (error / the closed form's)."""
        ratios = np.exp(self.features[:, _BIAS] - self.features[:, _DEVIATION])
        return np.asarray(np.log(np.maximum(self.errors, 1e-6)) + short(ratios) / self.draws - self.features[:, 0])


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


def experience(achieved: Iterable[Achieved], calibrations: Mapping[str, CalibrationUpdated], left_out: Counter[str]) -> Experience:
    """What runs teach.

    Args:
        achieved: errors of single runs.
        calibrations: by calibration_id.
        left_out: counts runs that nothing can be learned from, by reason.
    """
    grouped: dict[tuple[str, Observable, str, str, int], list[float]] = defaultdict(list)
    for run in achieved:
        if run.calibration_id not in calibrations:
            left_out["a calibration that is not known"] += 1
        else:
            grouped[run.source, run.observable, run.calibration_id, run.method, run.shots].append(run.error)
    known, found = _Places(calibrations), []
    for (source, observable, calibration_id, method, shots), errors in grouped.items():
        seen = known.seen(source, observable, calibration_id)
        if seen is None:
            left_out["a circuit that does not fit the device any more"] += len(errors)
        else:
            row = seen.features(dict.fromkeys(AUTOMATIC, shots))[AUTOMATIC.index(method)]
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


def short(ratios: Floats) -> Floats:
    """log E|x| - E log |x| of one draw of a normal x by its |mean| / standard deviation; of a mean over n, about a n-th of it."""
    return np.interp(ratios, _RATIOS, _shorts())


@cache
def _shorts() -> Floats:
    sizes = np.abs(_RATIOS[:, None] + _DRAWS)
    return np.asarray(np.log(sizes.mean(axis=1)) - np.log(sizes).mean(axis=1))


class _Places:
    """What circuits meet on devices; each found once."""

    def __init__(self, calibrations: Mapping[str, CalibrationUpdated]) -> None:
        self._calibrations = calibrations
        self._devices: dict[str, tuple[Device, Outline]] = {}
        self._seen: dict[tuple[str, Observable, str], Seen | None] = {}

    def seen(self, source: str, observable: Observable, calibration_id: str) -> Seen | None:
        """An observable on a device; None where it does not fit."""
        key = source, observable, calibration_id
        if key not in self._seen:
            calibration = self._calibrations[calibration_id]
            device, outline = self._devices.setdefault(
                calibration_id, (Device(calibration), Outline(calibration.backend, calibration))
            )
            try:
                self._seen[key] = Seen(device, outline, source, observable)
            except (BackendError, InputError):
                self._seen[key] = None
        return self._seen[key]
