"""Scores events by the batch: classically at once, with a second opinion on what is dangerous or new.

| the event | its final score |
|---|---|
| is known and below high | at once, classical |
| is high or critical, or novel | at once, with the exact second opinion; within the budget also asked of a quantum backend |

A novel event is at least HIGH: nobody has seen its like, so somebody should look. The second opinion can raise a level and never
lowers one: what two independent models call a threat is CRITICAL.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.record import now
from schemas.threats import ThreatObserved, ThreatScored
from threat.classical import Classical, Verdicts
from threat.features import COLUMNS, features
from threat.finding import Finding
from threat.levels import BOUNDS, HIGH, LEVELS, level_ids
from threat.opinion import SecondOpinion

REASONS = 3
"""Features that an explanation names."""

ABSENT = "no second opinion: no quantum model is installed"


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
        final, status = _final(levels, novel, opinions)
        risk = np.maximum(risk, np.where(final > levels, np.array((0.0, *BOUNDS))[final], 0.0))
        confidence = _confidence(verdicts, opinions)
        top = np.argsort(-np.abs(verdicts.parts), axis=1)[:, :REASONS]
        said = _Said(
            risk=risk.tolist(),
            level=final.tolist(),
            confidence=confidence.tolist(),
            probability=verdicts.probability.tolist(),
            baseline=verdicts.baseline.tolist(),
            novelty=verdicts.novelty.tolist(),
            technique=verdicts.technique.tolist(),
            opinion=opinions.tolist(),
            serious=serious.tolist(),
            top=top.tolist(),
            status=status,
            values=table,
            weights=verdicts.parts,
            seconds=(time.monotonic() - began) / len(events),
        )
        records = [self._record(event, place, said) for place, event in enumerate(events)]
        order = np.argsort(-np.maximum(risk, np.nan_to_num(opinions) * 100), kind="stable")
        return Scored(records, [place for place in order.tolist() if serious[place]], asked)

    def _record(self, event: ThreatObserved, at: int, said: "_Said") -> ThreatScored:
        second = self.second if said.serious[at] else None
        names, versions = [self.classical.name], [self.classical.version]
        if second is not None:
            names.append(second.name)
            versions.append(second.version)
        found = Finding(
            event_id=event.event_id,
            time_ms=round(event.observed_at.timestamp() * 1000),
            level=said.level[at],
            score=said.risk[at],
            confidence=said.confidence[at],
            technique=self.classical.techniques[said.technique[at]] if said.probability[at] * 100 >= BOUNDS[1] else "",
            reasons=[
                {"name": COLUMNS[k], "value": round(float(said.values[at, k]), 4), "weight": round(float(said.weights[at, k]), 4)}
                for k in said.top[at]
            ],
            opinions=self._opinions(at, said, second),
            status=said.status[at],
        )
        return ThreatScored.unchecked(
            {
                "event_id": event.event_id,
                "entity": event.entity,
                "risk_score": said.risk[at],
                "risk_level": LEVELS[said.level[at]],
                "confidence": said.confidence[at],
                "model": "/".join(names),
                "model_version": "/".join(versions),
                "escalated": False,
                "job_id": None,
                "fallback_reason": ABSENT if said.serious[at] and second is None else None,
                "finding": found.json(),
                "latency_seconds": said.seconds,
                "scored_at": now(),
            }
        )

    def _opinions(self, at: int, said: "_Said", second: SecondOpinion | None) -> list[dict[str, Any]]:
        model = self.classical
        opinions: list[dict[str, Any]] = [
            {"name": model.name, "version": model.version, "probability": round(said.probability[at], 6)},
            {"name": "baseline", "version": model.version, "probability": round(said.baseline[at], 6)},
            {"name": "novelty", "version": model.version, "over_threshold": round(said.novelty[at], 6)},
        ]
        if second is not None:
            opinions.append({"name": second.name, "version": second.version, "probability": round(said.opinion[at], 6)})
        return opinions


@dataclass(frozen=True, slots=True)
class _Said:
    """All that is said of n events, as lists of n: numbers of NumPy's would cost more one by one than they do together."""

    risk: list[float]
    level: list[int]
    confidence: list[float]
    probability: list[float]
    baseline: list[float]
    novelty: list[float]
    technique: list[int]
    opinion: list[float]
    serious: list[bool]
    top: list[list[int]]
    status: list[str]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    seconds: float


def _final(
    levels: NDArray[np.int64], novel: NDArray[np.bool_], opinions: NDArray[np.float64]
) -> tuple[NDArray[np.int64], list[str]]:
    """The levels with novelty and second opinion, and what each rests on."""
    agrees = opinions >= 0.5  # nan where nobody was asked: False
    final = np.where(novel, np.maximum(levels, HIGH), levels)
    final = np.where(agrees & (levels >= HIGH), len(LEVELS) - 1, final)
    words = [
        ("novel: unlike the normal events of the training; " if new else "")
        + ("both models call it a threat" if both else "classical model" if np.isnan(opinion) else "second opinion asked")
        for new, both, opinion in zip(novel, agrees & (levels >= HIGH), opinions, strict=True)
    ]
    return final, words


def _confidence(verdicts: Verdicts, opinions: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far from a coin toss boosting is, less by how far the other models are from it."""
    apart = np.abs(verdicts.probability - verdicts.baseline)
    apart = np.where(np.isnan(opinions), apart, (apart + np.abs(verdicts.probability - np.nan_to_num(opinions))) / 2)
    return np.clip(0.5 + np.abs(verdicts.probability - 0.5) - apart / 2, 0.0, 1.0)
