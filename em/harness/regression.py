"""Tonight against the nights before: what moved, by how much, and since which commit."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from em.harness.change import ALARM, Change, change, least
from em.harness.night import Night
from em.harness.replay import Difference, differences
from em.harness.summary import normalised

Floats = NDArray[np.float64]
Series = tuple[str, str, str, str]
"""Family, method, version, parameters: while these are the same, so must the results be."""

CHANNELS: Mapping[str, str] = MappingProxyType(
    {
        "error": "mean |error|",
        "value": "mean signed error",
        "claimed": "mean standard error",
        "answered": "fraction of tasks with an estimate",
        "shots": "shots spent per task",
        "replay": "results under the same seeds",
    }
)
"""What is watched of each series, errors in units of the observable's bound; replays by `em.harness.replay`."""

_SAMPLED = ("error", "value", "claimed", "answered")
_LEAST_SHARED = 0.5  # of tonight's tasks: a night that measured fewer of them says little, and would cost the others theirs


@dataclass(frozen=True)
class Move:
    """Something that moved.

    Attributes:
        channel: of `CHANNELS`.
        before, after: its mean over the tasks that all nights share; NaN for a replay.
        since, until: the first night after the change and the last before it.
        worse: whether it moved for the worse; for the better, it asks for a new version.
        sentence: all of it in words.
    """

    series: Series
    channel: str
    before: float
    after: float
    since: Night
    until: Night
    worse: bool
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """What a night's comparison found.

    Attributes:
        nights: that it was compared with.
        moves: what moved although its version did not, the worse first.
        tested: how many tests were made.
        unheard: series without history, by name.
        deaf: series on so few circuits and devices, or with so few nights before, that nothing could raise an alarm yet, by name.
    """

    nights: tuple[Night, ...]
    moves: tuple[Move, ...]
    tested: int
    unheard: tuple[str, ...]
    deaf: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Move, ...]:
        """What fails the night: all that moved, since a version that stays promises that nothing does."""
        return self.moves


@dataclass(frozen=True)
class _Measured:
    """A series of one night: per task, its cluster and the channels."""

    tasks: tuple[tuple[object, ...], ...]
    channels: Mapping[str, Floats]


def compare(night: Night, earlier: Sequence[Night]) -> Comparison:
    """Tests each series of the night against those of the same name, version and parameters before it."""
    nights = [*earlier, night]
    measured = [_series(each.rows) for each in nights]
    own = measured[-1]
    tests = len(own) * len(_SAMPLED)
    moves: list[Move] = []
    unheard, deaf = [], []
    for series, tonight in own.items():
        past = [
            index for index, each in enumerate(measured[:-1]) if series in each and _share(each[series], tonight) >= _LEAST_SHARED
        ]
        if past:
            places = [*past, len(earlier)]
            shared = _Shared.of([measured[place][series] for place in places])
            moves += _moves(series, [nights[place] for place in places], shared, tests)
            if least(len(set(shared.clusters.tolist())), len(places)) * tests > ALARM:
                deaf.append(f"{series[0]}/{series[1]}")
        else:
            unheard.append(f"{series[0]}/{series[1]}")
    moves += [_replayed(each, night) for each in differences(night, earlier)]
    moves.sort(key=lambda move: not move.worse)
    return Comparison(tuple(earlier), tuple(moves), tests - len(unheard) * len(_SAMPLED), tuple(unheard), tuple(deaf))


def _moves(series: Series, nights: Sequence[Night], shared: "_Shared", tests: int) -> list[Move]:
    stacked, clusters = shared.channels, shared.clusters
    found: dict[str, Change] = {}
    for name in _SAMPLED:
        best = change(stacked[name], clusters)
        if best is not None and best.p * tests <= ALARM:
            found[name] = best
    shots = stacked["shots"]
    other = np.flatnonzero((shots != shots[:, :1]).any(axis=0))
    if len(other):
        found["shots"] = Change(int(other[0]), float(np.sign(shots[:, -1].sum() - shots[:, 0].sum())), 0.0, len(shots))
    error = stacked["error"]
    return [
        _move(series, name, stacked[name], nights, best, worse=not _better(name, best, found.get("error"), error))
        for name, best in found.items()
    ]


def _better(channel: str, best: Change, error: Change | None, errors: Floats) -> bool:
    """Whether it moved for the better. Without a smaller error, claims, costs and values that move are taken for a fault."""
    if channel == "answered":
        return best.z > 0
    if channel == "value" and error is None:
        before, after = _means(errors, best.night)
        return after < before
    return error is not None and error.z < 0


def _replayed(found: Difference, night: Night) -> Move:
    sentence = (
        f"{found.series[0]}/{found.series[1]}: {found.sentence}, since {night.day}, commit {night.code} "
        f"({_what_differs(found.before, night)})"
    )
    return Move(found.series, "replay", math.nan, math.nan, night, found.before, worse=True, sentence=sentence)


def _means(values: Floats, night: int) -> tuple[float, float]:
    """Before a night, and from it on."""
    whole = values[~np.isnan(values).any(axis=1)]
    return float(whole[:, :night].mean()), float(whole[:, night:].mean())


def _move(series: Series, channel: str, values: Floats, nights: Sequence[Night], best: Change, *, worse: bool) -> Move:
    before, after = _means(values, best.night)
    since, until = nights[best.night], nights[best.night - 1]
    amount = f" ({(after - before) / abs(before):+.1%})" if before else ""
    how = f"z = {best.z:+.1f} over {best.clusters} circuits and devices" if best.p else "every night it should be the same"
    sentence = (
        f"{series[0]}/{series[1]}: the {CHANNELS[channel]} went from {before:.4g} to {after:.4g}{amount}, {how}, "
        f"since {since.day}, commit {since.code} ({_what_differs(until, since)})"
    )
    if not worse:
        sentence += "; that is better, but the version is the same: give it a new one"
    return Move(series, channel, before, after, since, until, worse, sentence)


def _what_differs(until: Night, since: Night) -> str:
    """The last good commit; and the packages that differ, where the commit is the same or they may be to blame."""
    old, new = (json.loads(night.rows["software"][0].as_py()) for night in (until, since))
    packages = [f"{name} {old.get(name, 'absent')} -> {new[name]}" for name in new if old.get(name) != new[name]]
    return "; ".join([f"before: {until.day}, commit {until.code}", *packages])


def _series(rows: pa.Table) -> dict[Series, _Measured]:
    """Per series, the tasks with their channels averaged over observables."""
    error, _, claimed = normalised(rows)
    columns = [rows[name].to_pylist() for name in ("family", "method", "method_version", "parameters")]
    places = [rows[name].to_pylist() for name in ("circuit_hash", "backend", "calibration_id", "budget")]
    shots = rows["shots"].to_numpy()
    members: dict[Series, dict[tuple[object, ...], list[int]]] = {}
    for index, (series, task) in enumerate(zip(zip(*columns, strict=True), zip(*places, strict=True), strict=True)):
        members.setdefault(series, {}).setdefault(task, []).append(index)
    found = {}
    for series, tasks in members.items():
        rows_of = [np.array(rows_of_task) for rows_of_task in tasks.values()]
        starts = np.concatenate([[0], np.cumsum([len(each) for each in rows_of])[:-1]])
        order, sizes = np.concatenate(rows_of), np.array([len(each) for each in rows_of])
        channels = {
            name: np.add.reduceat(values[order].astype(float), starts) / sizes
            for name, values in (("error", np.abs(error)), ("value", error), ("claimed", claimed), ("shots", shots))
        }
        channels["answered"] = (~np.isnan(channels["error"])).astype(float)
        found[series] = _Measured(tuple(tasks), channels)
    return found


def _share(past: _Measured | None, tonight: _Measured) -> float:
    return 0.0 if past is None else len(set(past.tasks) & set(tonight.tasks)) / len(tonight.tasks)


@dataclass(frozen=True)
class _Shared:
    """The tasks of a series that all nights have.

    Attributes:
        clusters: (tasks,) the number of each one's circuit and device.
        channels: (tasks, nights) each.
    """

    clusters: NDArray[np.intp]
    channels: Mapping[str, Floats]

    @classmethod
    def of(cls, measured: Sequence[_Measured]) -> Self:
        shared = set(measured[0].tasks).intersection(*(each.tasks for each in measured[1:]))
        tasks = [task for task in measured[-1].tasks if task in shared]
        numbers: dict[tuple[object, ...], int] = {}
        clusters = [numbers.setdefault(task[:2], len(numbers)) for task in tasks]
        channels = {name: np.column_stack([_aligned(each, tasks, name) for each in measured]) for name in (*_SAMPLED, "shots")}
        return cls(np.array(clusters, dtype=np.intp), channels)


def _aligned(measured: _Measured, tasks: Sequence[tuple[object, ...]], channel: str) -> Floats:
    place = {task: index for index, task in enumerate(measured.tasks)}
    return measured.channels[channel][[place[task] for task in tasks]]
