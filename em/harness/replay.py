"""The same seeds again: while a method's version stays, what a night replays must be what the nights before it had.

A version changes whenever the same counts would give another estimate, or the same job other circuits; so a task that is the
same in all that it depends on has one result, to rounding. This sees what no statistics can: a change smaller than shot noise.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from em.harness.night import Night

_ROUNDING = 1e-9  # of the observable's bound: sums in another order
_IN_BOUNDS = ("estimate", "standard_error", "raw")
_FIGURES = (*_IN_BOUNDS, "shots", "executions")

Series = tuple[str, str, str, str]
Figures = dict[tuple[str, str], tuple[float, ...]]
"""(task, observable) -> figures, those of the observable in units of its bound."""


@dataclass(frozen=True)
class Difference:
    """A method that did otherwise than before on one family.

    Attributes:
        series: family, method, version, parameters.
        before: the latest night that replayed it.
        sentence: what differs.
    """

    series: Series
    before: Night
    sentence: str


def differences(night: Night, earlier: Sequence[Night]) -> Iterator[Difference]:
    """Of each method and family, against the latest earlier night that has them in the same version."""
    past = [(each, _series(each.replays)) for each in earlier]
    for series, rows in _series(night.replays).items():
        name = series[:3]
        before = next(((each, known) for each, known in reversed(past) if any(key[:3] == name for key in known)), None)
        if before is None:
            continue
        others = next((key[3] for key in before[1] if key[:3] == name and key != series), "")
        if series not in before[1]:
            yield Difference(series, before[0], f"its parameters went from {_short(others, series[3])} without a new version")
            continue
        known = before[1][series]
        shared = rows.keys() & known.keys()
        moved = [key for key in shared if not np.allclose(rows[key], known[key], rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)]
        if moved:
            yield Difference(series, before[0], f"the same seeds give other results ({len(moved)} of {len(shared)} estimates)")


def _series(rows: pa.Table) -> dict[Series, Figures]:
    names = [rows[name].to_pylist() for name in ("family", "method", "method_version", "parameters")]
    keys = [rows[name].to_pylist() for name in ("task_id", "observable")]
    bound = rows["bound"].to_numpy()
    columns = [rows[name].to_numpy().astype(float) / (bound if name in _IN_BOUNDS else 1.0) for name in _FIGURES]
    found: dict[Series, Figures] = {}
    for series, key, figures in zip(zip(*names, strict=True), zip(*keys, strict=True), zip(*columns, strict=True), strict=True):
        found.setdefault(series, {})[key] = figures
    return found


def _short(before: str, after: str) -> str:
    old, new = json.loads(before), json.loads(after)
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return ", ".join(f"{name}={old.get(name)} to {new.get(name)}" for name in changed)
