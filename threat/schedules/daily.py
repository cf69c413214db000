"""The day's dangerous events once more: what the quantum model that is in use now says of them.

The rule is that of `threat.scoring`: the second opinion can raise a level and never lowers one; what boosting and the quantum
model both call a threat is CRITICAL. The new finding has the uid of the earlier one and names its event among the related ones.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from schemas.jobs import JobCompleted, JobRequested
from schemas.record import now
from schemas.threats import ThreatObserved, ThreatScored
from threat.features import COLUMNS, features
from threat.finding import updated
from threat.levels import BOUNDS, HIGH, LEVELS
from threat.opinion import SecondOpinion

PREFIX = "again-"
"""What the ids of its jobs begin with."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was said of an event before.

    Attributes:
        scored: the last word.
        ce_id: of the event that said so.
    """

    scored: ThreatScored
    ce_id: str

    @property
    def serious(self) -> bool:
        """Whether it is looked at again."""
        return LEVELS.index(self.scored.risk_level) >= HIGH


def asked(second: SecondOpinion, events: Sequence[ThreatObserved]) -> Any:
    """(events, k): what the quantum model looks at."""
    return features(events)[:, [COLUMNS.index(column) for column in second.columns]]


def request(
    second: SecondOpinion, event: ThreatObserved, period: str, *, backend: str, shots: int, deadline: datetime
) -> JobRequested:
    """The job that asks a backend about an event; its id is the same however often the period is run."""
    digest = hashlib.sha256(f"{period}/{event.event_id}".encode()).hexdigest()
    circuit, observable = second.question(asked(second, [event])[0])
    return JobRequested(
        job_id=PREFIX + digest[:24],
        name=f"{period}: {event.event_id}",
        circuits=(circuit,),
        observables=(observable,),
        shots=shots,
        backend=backend,
        method="raw",
        seed=int(digest[:8], 16),
        deadline=deadline,
    )


def again(
    second: SecondOpinion,
    pairs: Sequence[tuple[Earlier, ThreatObserved]],
    period: str,
    answers: Mapping[str, JobCompleted | str],
) -> list[ThreatScored]:
    """New findings, in the order of the events.

    Args:
        second: the quantum model.
        pairs: one or more events, each with what was said of it.
        period: for whose sake.
        answers: event id -> a backend's answer, or why there is none; who was not asked is not in it.
    """
    exact = second.score(asked(second, [event for _, event in pairs])).tolist()
    return [
        _again(second, earlier, period, probability, answers.get(earlier.scored.event_id))
        for (earlier, _), probability in zip(pairs, exact, strict=True)
    ]


def _again(second: SecondOpinion, earlier: Earlier, period: str, exact: float, answer: JobCompleted | str | None) -> ThreatScored:
    before = earlier.scored
    finding: dict[str, Any] = orjson.loads(before.finding)
    opinion: dict[str, Any] = {"name": second.name, "version": second.version, "probability": round(exact, 6), "period": period}
    sentence, where, probability = f"{period}: {second.name} {second.version} says {exact:.3f}", "", exact
    if isinstance(answer, JobCompleted):
        found = answer.expectations[0]
        probability, where = second.answer(found.value), f"/{answer.backend}"
        opinion |= {"probability": round(probability, 6), "exact": round(exact, 6), "shots": answer.shots}
        opinion |= {"expectation": found.value, "standard_error": found.standard_error, "backend": answer.backend}
        opinion |= {"calibration_id": answer.calibration_id, "job_id": answer.job_id}
        sentence += f"; {answer.backend} says {probability:.3f} with {answer.shots:,} shots"
    classical = finding["evidences"][0]["data"]["models"][0]["probability"] * 100
    both = probability >= 0.5 and classical >= BOUNDS[HIGH - 1]
    level = len(LEVELS) - 1 if both else LEVELS.index(before.risk_level)
    risk = max(before.risk_score, (0.0, *BOUNDS)[level])
    finding["finding_info"]["related_events"] = [{"uid": earlier.ce_id, "type": before.topic}]
    return before.model_copy(
        update={
            "risk_level": LEVELS[level],
            "risk_score": risk,
            "model": f"{before.model.split('/')[0]}/{second.name}{where}",
            "model_version": f"{before.model_version.split('/')[0]}/{second.version}",
            "job_id": answer.job_id if isinstance(answer, JobCompleted) else None,
            "escalated": answer is not None,
            "fallback_reason": answer if isinstance(answer, str) else None,
            "finding": updated(orjson.dumps(finding).decode(), sentence, opinion, level, risk),
            "latency_seconds": 0.0,
            "scored_at": now(),
        }
    )


def figures(before: Sequence[Earlier], after: Sequence[ThreatScored]) -> dict[str, float]:
    """How many were raised, and how many the quantum model calls threats."""
    pairs = list(zip(before, after, strict=True))
    said = [orjson.loads(scored.finding)["evidences"][0]["data"]["models"][-1]["probability"] for scored in after]
    return {
        "raised": sum(new.risk_level != old.scored.risk_level for old, new in pairs),
        "called_threats": int(np.sum(np.array(said) >= 0.5)),
        "asked_of_backend": sum(scored.escalated for scored in after),
        "answered_by_backend": sum(scored.job_id is not None for scored in after),
    }
