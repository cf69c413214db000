"""The month's batch: every event scored by both models again, a day at a time, and what changes in the long run.

A day is a `Day`, sums and counts alone: memory does not grow with the events, and finished days are kept, so that a run that was
stopped goes on with the next one. What the platform said of an event is counted as it was first said.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from scipy.stats import false_discovery_control, kendalltau, theilslopes

from schemas.threats import ThreatObserved, ThreatScored
from threat.classical import Classical
from threat.features import COLUMNS, features
from threat.finding import CREATE
from threat.levels import HIGH, LEVELS
from threat.opinion import SecondOpinion
from threat.vqc.circuit import Floats

ENTITIES = 1_000
"""Of a day, those with most dangerous events are kept."""

SHOWN = 20
BINS = 25
COMPARED = 7
"""Days, at most, at either end whose features are compared."""

_SCALE = np.array([1.0 if column.startswith("log_") or column == "severity" else 10.0 for column in COLUMNS])


@dataclass
class Day:
    """Counts of one day.

    Attributes:
        day: its date.
        events: of threat.observed.
        classical, quantum: how many of them each model calls threats.
        disagree: how many one of them does.
        apart: sum of the differences of their probabilities.
        levels, techniques: how many findings.
        entities: dangerous findings of each; `ENTITIES` at most.
        bins: (features, BINS) events whose feature is there: of logarithms and the severity by ones, of others by tenths.
    """

    day: str
    events: int = 0
    classical: int = 0
    quantum: int = 0
    disagree: int = 0
    apart: float = 0.0
    levels: Counter[str] = field(default_factory=Counter)
    techniques: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    bins: list[list[int]] = field(default_factory=lambda: [[0] * BINS for _ in COLUMNS])

    def observed(self, events: Sequence[ThreatObserved], classical: Classical, second: SecondOpinion) -> None:
        """Adds events, one or more, as both models see them now."""
        table = features(events)
        first = classical.judge(table).probability
        other = second.score(table[:, [COLUMNS.index(column) for column in second.columns]])
        self.events += len(events)
        self.classical += int(np.sum(first >= 0.5))
        self.quantum += int(np.sum(other >= 0.5))
        self.disagree += int(np.sum((first >= 0.5) != (other >= 0.5)))
        self.apart += float(np.sum(np.abs(first - other)))
        places = np.clip(table * _SCALE, 0, BINS - 1).astype(int)
        counted = [np.bincount(column, minlength=BINS) for column in places.T]
        self.bins = (np.array(self.bins) + counted).tolist()

    def scored(self, found: ThreatScored) -> None:
        """Adds a finding, unless it is about an event of which one was published before."""
        finding = orjson.loads(found.finding)
        if finding["activity_id"] != CREATE:
            return
        self.levels[found.risk_level] += 1
        for attack in finding["finding_info"].get("attacks", ()):
            self.techniques[attack["technique"]["uid"]] += 1
        if LEVELS.index(found.risk_level) >= HIGH:
            self.entities[found.entity] += 1

    def json(self) -> bytes:
        """To be kept."""
        return orjson.dumps({**vars(self), "entities": dict(self.entities.most_common(ENTITIES))})

    @classmethod
    def read(cls, text: bytes) -> "Day":
        """From `json`.

        Raises:
            ValueError, TypeError: it is something else.
        """
        found = orjson.loads(text)
        return cls(**{**found, **{name: Counter(found[name]) for name in ("levels", "techniques", "entities")}})


def rows(days: Iterable[Day]) -> list[dict[str, Any]]:
    """A row a day, for tables and Parquet."""
    return [
        {
            "day": day.day,
            "events": day.events,
            **{level.lower(): day.levels[level] for level in LEVELS},
            "classical_threats": day.classical,
            "quantum_threats": day.quantum,
            "disagreement": day.disagree / day.events if day.events else None,
            "mean_difference": day.apart / day.events if day.events else None,
        }
        for day in days
    ]


def report(days: Sequence[Day]) -> dict[str, Any]:
    """The long run: trends of entities, techniques and of the models' disagreement, and drift of features; for JSON."""
    total = sum((day.levels for day in days), Counter[str]())
    shares = [day.disagree / day.events for day in days if day.events]
    return {
        "events": sum(day.events for day in days),
        "days": len(days),
        "days_with_events": len(shares),
        "days_whose_events_are_gone": sum(not day.events and day.levels.total() > 0 for day in days),
        "levels": {level: total[level] for level in LEVELS},
        "disagreement": {
            "share": sum(day.disagree for day in days) / max(1, sum(day.events for day in days)),
            "trend": _trend(shares),
        },
        "techniques": trends([day.techniques for day in days]),
        "entities": trends([day.entities for day in days]),
        "drift": drift(days),
    }


def trends(counts: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    """The most frequent names with the trend of their daily counts.

    Kendall's tau against time (the test of Mann 1945), the slope a day of Theil and Sen, and Benjamini's and Hochberg's q over the
    names shown: how likely such a tau is by chance, given how many names were looked at.
    """
    total = sum((Counter(day) for day in counts), Counter[str]())
    names = [name for name, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]]
    found = [{"name": name, "count": total[name], **_trend([day.get(name, 0) for day in counts])} for name in names]
    known = [row for row in found if row["p"] is not None]
    for row, q in zip(known, false_discovery_control([row["p"] for row in known]) if known else (), strict=True):
        row["q"] = float(q)
    return found


def drift(days: Sequence[Day]) -> list[dict[str, Any]]:
    """How far each feature's distribution has moved between the period's first days and its last, the furthest first.

    Population stability index: the sum over bins of (b - a) ln(b / a), with half an event added to each bin. By custom it is called
    stable below 0.1 and drifted above 0.25. Empty where fewer than two days have events.
    """
    full = [day for day in days if day.events]
    width = min(COMPARED, len(full) // 2)
    if not width:
        return []
    first, last = (np.sum([np.array(day.bins) for day in part], axis=0) for part in (full[:width], full[-width:]))
    found = zip(COLUMNS, map(stability, first, last), strict=True)
    return [{"feature": name, "psi": index} for name, index in sorted(found, key=lambda pair: -pair[1])]


def stability(first: Floats, last: Floats) -> float:
    """The population stability index of two histograms of the same bins."""
    used = (first + last) > 0
    shares = [(part[used] + 0.5) / (part[used] + 0.5).sum() for part in (first, last)]
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


def _trend(values: Sequence[float]) -> dict[str, float | None]:
    if len(values) < 3 or len(set(values)) == 1:
        return {"tau": None, "p": None, "slope": None}
    found = kendalltau(range(len(values)), values)
    return {"tau": float(found.statistic), "p": float(found.pvalue), "slope": float(theilslopes(values).slope)}
