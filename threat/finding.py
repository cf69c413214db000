"""A score as an OCSF Detection Finding: https://schema.ocsf.io/1.4.0/classes/detection_finding (class 2004)."""

from functools import cache
from typing import Any

import orjson

from threat.levels import LEVELS, SEVERITIES
from threat.scenarios import TECHNIQUES

CLASS = 2004
CREATE, UPDATE = 1, 2

_METADATA = orjson.Fragment(
    orjson.dumps({"version": "1.4.0", "product": {"name": "QuantumAI", "vendor_name": "QuantumAI"}})
)  # thousands a second say the same


def written(
    *,
    event_id: str,
    time_ms: int,
    level: int,
    score: float,
    confidence: float,
    technique: str,
    status: str,
    reasons: list[dict[str, Any]],
    opinions: list[dict[str, Any]],
) -> str:
    """The finding about one event, OCSF JSON.

    Args:
        event_id: of the event; also the finding's uid, so that later ones about it refer to the first.
        time_ms: of the event, milliseconds since 1970.
        level: place in `threat.levels.LEVELS`.
        score: risk, 0 to 100.
        confidence: 0 to 1.
        technique: ATT&CK id, or empty where none is known.
        status: a sentence: what the finding rests on.
        reasons: the features that weighed most.
        opinions: what each model said.
    """
    name = LEVELS[level]
    info: dict[str, Any] = {"uid": event_id, "title": f"{name.lower()} risk", "desc": status}
    if technique in TECHNIQUES:
        info["attacks"] = _attacks(technique)
    fields = {
        "class_uid": CLASS,
        "category_uid": 2,
        "activity_id": CREATE,
        "type_uid": CLASS * 100 + CREATE,
        "time": time_ms,
        "metadata": _METADATA,
        "severity_id": SEVERITIES[level],
        "risk_score": round(score),
        "risk_level_id": level,
        "risk_level": name.title(),
        "confidence_score": round(confidence * 100),
        "finding_info": info,
        "status_detail": status,
        "evidences": [{"data": {"features": reasons, "models": opinions}}],
    }
    return orjson.dumps(fields).decode()


@cache
def _attacks(technique: str) -> orjson.Fragment:
    attack = {"technique": {"uid": technique, "name": TECHNIQUES[technique]}, "version": "16.1"}
    return orjson.Fragment(orjson.dumps([attack]))


def updated(earlier: str, status: str, opinion: dict[str, Any] | None, level: int, score: float) -> str:
    """A finding that takes the place of an earlier one about the same event.

    Args:
        earlier: its JSON.
        status: what it rests on now.
        opinion: what another model said, where one did.
        level: place in `threat.levels.LEVELS`.
        score: risk, 0 to 100.
    """
    found: dict[str, Any] = orjson.loads(earlier)
    found |= {"activity_id": UPDATE, "type_uid": CLASS * 100 + UPDATE, "status_detail": status, "severity_id": SEVERITIES[level]}
    found |= {"risk_level_id": level, "risk_level": LEVELS[level].title(), "risk_score": round(score)}
    found["finding_info"] |= {"desc": status, "title": f"{LEVELS[level].lower()} risk"}
    if opinion is not None:
        found["evidences"][0]["data"]["models"].append(opinion)
    return orjson.dumps(found).decode()
