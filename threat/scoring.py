"""Scores events by the batch: classically at once, with a second opinion on what is dangerous or new.

| the event | its final score |
|---|---|
| is known and below high | at once, classical |
| is high or critical, or novel | at once, with the exact second opinion; within the budget also asked of a quantum backend |

A novel event is at least HIGH: nobody has seen its like, so somebody should look. The second opinion can raise a level and never
lowers one: what two independent models call a threat is CRITICAL.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.record import now
from schemas.threats import ThreatObserved, ThreatScored
from threat.baseline import Floats
from threat.classical import Classical, Verdicts
from threat.features import COLUMNS, features
from threat.finding import written
from threat.levels import BOUNDS, HIGH, LEVELS, level_ids
from threat.opinion import SecondOpinion

REASONS = 3
"""Features that an explanation names."""

ABSENT = "no second opinion: no quantum model is installed"

_LEAST = np.array((0.0, *BOUNDS))
"""The lowest risk score of each level."""

_STATUS = tuple(
    new + rests
    for new in ("", "novel: unlike the normal events of the training; ")
    for rests in ("classical model", "second opinion asked", "both models call it a threat")
)
"""What a finding rests on."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of n events.

    Attributes:
        records: one per event, in their order.
        escalate: places of those that are dangerous or novel, the worst first.
        asked: (n, k) the second opinion's features; k is 0 where there is none.
    """

    records: list[ThreatScored]
    escalate: list[int]
    asked: NDArray[np.float64]


class Scorer:
    """The models, put together.

    Args:
        classical: the first opinion.
        second: the second, None where there is none.
    """

    def __init__(self, classical: Classical, second: SecondOpinion | None) -> None:
        self.classical, self.second = classical, second
        self._pick = [COLUMNS.index(column) for column in second.columns] if second else []

    def warm(self) -> None:
        """Loads what scores, so that the first event need not wait for it."""
        nothing = np.zeros((1, len(COLUMNS)))
        self.classical.judge(nothing)
        if self.second is not None:
            self.second.score(nothing[:, self._pick])

    def score(self, events: Sequence[ThreatObserved]) -> Scored:
        """Scores of one event or more."""
        began = time.monotonic()
        table = features(events)
        verdicts = self.classical.judge(table)
        risk, novel = verdicts.probability * 100, verdicts.novelty > 0
        levels = level_ids(risk)
        serious = (levels >= HIGH) | novel
        asked = table[:, self._pick]
        opinions = np.full(len(events), np.nan)
        if self.second is not None and serious.any():
            opinions[serious] = self.second.score(asked[serious])
        agrees = (opinions >= 0.5) & (levels >= HIGH)  # nan where nobody was asked: False
        final = np.where(novel, np.maximum(levels, HIGH), levels)
        final[agrees] = len(LEVELS) - 1
        known = np.where(risk >= BOUNDS[1], verdicts.technique, len(self.classical.techniques))
        risk = np.maximum(risk, np.where(final > levels, _LEAST[final], 0.0))
        columns = zip(
            events,
            risk.tolist(),
            final.tolist(),
            _confidence(verdicts, opinions).tolist(),
            known.tolist(),
            serious.tolist(),
            _status(novel, agrees, opinions).tolist(),
            _reasons(table, verdicts.parts),
            self._opinions(verdicts, opinions),
            strict=True,
        )
        records = self._records(columns, (time.monotonic() - began) / len(events))
        (places,) = serious.nonzero()
        worst = np.fmax(risk[places], opinions[places] * 100)
        return Scored(records, places[np.argsort(-worst, kind="stable")].tolist(), asked)

    def _records(self, columns: Iterable[tuple[Any, ...]], seconds: float) -> list[ThreatScored]:
        """One record for each row of what was found."""
        made, at, techniques = ThreatScored.maker(), now(), (*self.classical.techniques, "")
        models = [self.classical, self.second]
        asked = self.second is not None
        model, version = ["/".join(getattr(each, what) for each in models if each) for what in ("name", "version")]
        records = []
        for event, risk, level, confidence, technique, serious, status, reasons, opinions in columns:
            both = serious and asked
            fields = {
                "event_id": event.event_id,
                "entity": event.entity,
                "risk_score": risk,
                "risk_level": LEVELS[level],
                "confidence": confidence,
                "model": model if both else self.classical.name,
                "model_version": version if both else self.classical.version,
                "escalated": False,
                "job_id": None,
                "fallback_reason": ABSENT if serious and not asked else None,
                "finding": written(
                    event_id=event.event_id,
                    time_ms=round(event.observed_at.timestamp() * 1000),
                    level=level,
                    score=risk,
                    confidence=confidence,
                    technique=techniques[technique],
                    status=_STATUS[status],
                    reasons=reasons,
                    opinions=opinions,
                ),
                "latency_seconds": seconds,
                "scored_at": at,
            }
            records.append(made(fields))
        return records

    def _opinions(self, verdicts: Verdicts, opinions: Floats) -> Iterator[list[dict[str, Any]]]:
        """What each model said, event by event."""
        name, version, second = self.classical.name, self.classical.version, self.second
        said = np.column_stack([verdicts.probability, verdicts.baseline, verdicts.novelty, opinions])
        for probability, baseline, novelty, opinion in said.round(6).tolist():
            found = [
                {"name": name, "version": version, "probability": probability},
                {"name": "baseline", "version": version, "probability": baseline},
                {"name": "novelty", "version": version, "over_threshold": novelty},
            ]
            if second is not None and not isnan(opinion):  # nobody was asked
                found.append({"name": second.name, "version": second.version, "probability": opinion})
            yield found


def _reasons(table: Floats, weights: Floats) -> Iterator[list[dict[str, Any]]]:
    """The features that weighed most, event by event, the heaviest first."""
    top = np.argsort(-np.abs(weights), axis=1)[:, :REASONS]
    row = np.arange(len(table))[:, None]
    values, shares = (each[row, top].round(4).tolist() for each in (table, weights))
    for names, said, parts in zip(top.tolist(), values, shares, strict=True):
        yield [{"name": COLUMNS[k], "value": value, "weight": part} for k, value, part in zip(names, said, parts, strict=True)]


def _status(novel: NDArray[np.bool_], agrees: NDArray[np.bool_], opinions: Floats) -> NDArray[np.int64]:
    """(n,) places in `_STATUS`."""
    return np.asarray(3 * novel + np.where(np.isnan(opinions), 0, np.where(agrees, 2, 1)))


def _confidence(verdicts: Verdicts, opinions: Floats) -> Floats:
    """How far from a coin toss boosting is, less by how far the other models are from it."""
    apart = np.abs(verdicts.probability - verdicts.baseline)
    asked = ~np.isnan(opinions)
    apart[asked] = (apart[asked] + np.abs(verdicts.probability[asked] - opinions[asked])) / 2
    found = 0.5 + np.abs(verdicts.probability - 0.5) - apart / 2
    return np.asarray(np.minimum(np.maximum(found, 0.0), 1.0))
