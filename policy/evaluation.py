"""How near the picks are to the best, on families, devices and days that were not learned from; beside it, the controls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from em.learned.conformal import quantile
from policy.choice import AUTOMATIC
from policy.examples import Examples
from policy.features import NAMES
from policy.model import Model, gaps
from policy.training import CLOSE, COVERAGE, FITTED, Sizes, confident, forest, scores

Floats = NDArray[np.float64]

FAR = np.log(1.1)
"""Pairs of methods whose errors differ by more count for the ranking."""

_BINS = 10
_DRAWS = 1  # the seed of runs that intervals shall cover


@dataclass(frozen=True, slots=True)
class Figures:
    """One way to choose, on one set of cases.

    Attributes:
        name: of the way; `held` says what was held out.
        cases: observables x devices x budgets.
        within: share of picks whose true error is at most 1.1 times the least.
        ratio: geometric mean of error of the pick / least error.
        pairs: share of pairs of methods, differing by more than 10 %, that are ranked rightly.
        top: share of picks that are the best.
        calibration: expected calibration error of the confidence that a pick is within 10 %; None without one.
        covered: share of runs inside the interval; None without one.
    """

    held: str
    name: str
    cases: int
    within: float
    ratio: float
    pairs: float
    top: float
    calibration: float | None = None
    covered: float | None = None


def figures(held: str, name: str, predicted: Floats, data: Examples) -> Figures:
    """The figures of (cases, methods) predicted errors; of equal ones, the first counts as picked."""
    rows, picks = np.arange(len(data)), predicted.argmin(axis=1)
    least = data.errors.min(axis=1)
    ratios = data.errors[rows, picks] / least
    one, other = np.triu_indices(len(AUTOMATIC), 1)
    true, said = (np.log(np.maximum(each, 1e-12)) for each in (data.errors, predicted))
    apart, ranked = true[:, one] - true[:, other], said[:, one] - said[:, other]
    right = (apart * ranked > 0)[np.abs(apart) > FAR]
    return Figures(
        held,
        name,
        len(data),
        float((np.log(ratios) <= CLOSE).mean()),
        float(np.exp(np.log(ratios).mean())),
        float(right.mean()),
        float((ratios <= 1.0).mean()),
    )


def controls(held: str, known: Examples, data: Examples) -> Iterator[Figures]:
    """The best fixed method (of the cases that may be known), the closed form, and the closed form with the signal."""
    order = np.log(known.errors).mean(axis=0)
    best = AUTOMATIC[int(order.argmin())]
    yield figures(held, f"always {best}", np.tile(np.exp(order), (len(data), 1)), data)
    yield figures(held, "closed form", data.control, data)
    yield figures(held, "closed form with signal", np.exp(data.features[:, :, 0].astype(float)), data)


def judged(held: str, known: Examples, calibrated: Examples, data: Examples, *, seed: int) -> list[Figures]:
    """The controls, and a policy fitted to `known` alone, its intervals calibrated on `calibrated`."""
    found = forest(known, seed, Sizes())
    judge, _ = confident(known, seed, Sizes(trees=20))
    inside, outside = _predicted(found, calibrated), _predicted(found, data)
    limit = quantile(scores(inside, calibrated, seed), COVERAGE)
    said = np.clip(judge.predict(gaps(outside, data.features)), 0.0, 1.0)
    return [*controls(held, known, data), _learned(held, outside, said, limit, data)]


def measured(held: str, model: Model, data: Examples) -> Figures:
    """The figures of a model as it ships."""
    said = model.predict(data.features)
    return _learned(held, said.errors, said.confidence, model.quantile, data)


def _learned(held: str, predicted: Floats, said: Floats, limit: float, data: Examples) -> Figures:
    picked = data.errors[np.arange(len(data)), predicted.argmin(axis=1)]
    good = np.log(picked / data.errors.min(axis=1)) <= CLOSE
    covered = float((scores(predicted, data, _DRAWS) <= limit).mean())
    return replace(figures(held, "learned", predicted, data), calibration=calibration_error(said, good), covered=covered)


def families(data: Examples) -> Iterator[tuple[str, Examples, Examples]]:
    """(family, what may be known, what is judged on), on the same devices: nothing else is held out."""
    fitted, kept = np.isin(data.group, FITTED), data.group == "conformal"
    for name in np.unique(data.family):
        yield str(name), data.where((fitted | kept) & (data.family != name)), data.where(fitted & (data.family == name))


def calibration_error(said: Floats, good: NDArray[np.bool_]) -> float:
    """Expected calibration error with ten bins of equal size (Naeini et al. 2015)."""
    bins = np.array_split(np.argsort(said, kind="stable"), _BINS)
    return float(sum(abs(said[each].mean() - good[each].mean()) * len(each) for each in bins if len(each)) / len(said))


def pooled(found: Sequence[Figures], held: str) -> list[Figures]:
    """All families in one line for each way to choose, each family weighing the same."""
    ways: dict[str, list[Figures]] = {}
    for each in found:
        ways.setdefault("always the best fixed" if each.name.startswith("always") else each.name, []).append(each)
    return [
        Figures(
            held,
            name,
            sum(each.cases for each in some),
            float(np.mean([each.within for each in some])),
            float(np.exp(np.mean([np.log(each.ratio) for each in some]))),
            float(np.mean([each.pairs for each in some])),
            float(np.mean([each.top for each in some])),
            _mean([each.calibration for each in some]),
            _mean([each.covered for each in some]),
        )
        for name, some in ways.items()
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _predicted(found: object, data: Examples) -> Floats:
    residual = found.predict(data.features.reshape(-1, len(NAMES))).reshape(data.errors.shape)  # type: ignore[attr-defined]
    return np.asarray(np.exp(data.features[:, :, 0] + residual))
