"""Run manifests: what was decided or run, by whom and with what, as one canonical JSON statement that binds its event.

The payload is an in-toto Statement v1 in RFC 8785 canonical form. It is built once, by whoever decided or ran; who signs or
verifies takes the bytes as they are. Canonical order puts `subject` last, so the end of a payload names the one event it is about.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib.metadata import version
from json.encoder import encode_basestring
from typing import Any

from kms.algorithms import LOG_SUITES
from kms.canonical import canonical, number, prepared
from schemas.cloudevents import Event
from schemas.jobs import BackendScore, EmRecommended, JobCompleted, JobRouted
from schemas.manifests import ManifestRequested, ManifestSigned
from schemas.record import Record
from schemas.threats import ThreatAnalysed, ThreatScored

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
ROUTED = "urn:quantumai:manifest:routed:v1"
COMPLETED = "urn:quantumai:manifest:completed:v1"
SCORED = "urn:quantumai:manifest:scored:v1"
ANALYSED = "urn:quantumai:manifest:analysed:v1"


def routed_manifest(cause: Event[EmRecommended] | None, output: Event[JobRouted]) -> ManifestRequested:
    """The manifest of a decision: the job, every backend's score term by term, and why each blocked one was blocked."""
    routed, job = output.record, output.record.job
    advice = routed.recommendation
    predicate = {
        "job": {"job_id": routed.job_id, "tenant": job.tenant, "circuit_hash": job.circuit_hash},
        "backend": routed.backend,
        "calibration_id": advice and advice.calibration_id,
        "method": advice and _method(advice.method, advice.method_version, advice.parameters),
        "seeds": {"job": str(job.seed)},
        "shots": {"requested": job.shots, "total": advice and advice.total_shots},
        "crypto": _crypto(job.crypto_mode, routed.backend, routed.scores),
        "decision": {
            "outcome": routed.decision,
            "scores": [score.model_dump(mode="json") for score in routed.scores],
            "reasons": list(routed.reasons),
            "scoring_policy": routed.scoring_policy,
            "model_version": routed.model_version,
            **({"supersedes": routed.supersedes, "moves_from": routed.moves_from} if routed.supersedes else {}),
        },
        "result": None,
        "software": {"quantumai": _version()},
        "inputs": [cause.event_id] if cause else [],
        "outputs": [output.event_id],
    }
    return _manifest(ROUTED, predicate, routed.job_id, output)


def completed_manifest(cause: Event[Any] | None, output: Event[JobCompleted]) -> ManifestRequested:
    """The manifest of a run: what ran where and how, the decision that it obeyed, and the hash of what came out."""
    done = output.record
    inputs = [done.routed_event_id, *([cause.event_id] if cause and cause.event_id != done.routed_event_id else [])]
    predicate = {
        "job": {"job_id": done.job_id, "tenant": done.tenant, "circuit_hash": done.circuit_hash},
        "backend": done.backend,
        "calibration_id": done.calibration_id,
        "method": _method(done.method, done.method_version, done.parameters),
        "seeds": {purpose: str(seed) for purpose, seed in done.seeds.items()},
        "shots": {"total": done.shots},
        "crypto": _crypto(done.crypto_mode, done.backend, done.scores),
        "decision": {
            "outcome": "ROUTED",
            "scores": [score.model_dump(mode="json") for score in done.scores],
            "reasons": list(done.reasons),
            "routed_event_id": done.routed_event_id,
        },
        "result": {
            "status": done.status,
            "result_hash": done.result_hash,
            "error": done.error,
            "vendor_job_id": done.vendor_job_id,
        },
        "software": {**done.software, "quantumai": _version()},
        "inputs": inputs,
        "outputs": [output.event_id],
    }
    return _manifest(COMPLETED, predicate, done.job_id, output)


def scored_manifest(cause: Event[Any] | None, output: Event[ThreatScored]) -> ManifestRequested:
    """The manifest of a score: which models said what of which event, whether it was escalated, and why something fell back."""
    scored = output.record
    predicate = {
        "event": {"event_id": scored.event_id, "entity": scored.entity},
        "model": {"name": scored.model, "version": scored.model_version},
        "result": {
            "risk_score": number(scored.risk_score),
            "risk_level": scored.risk_level,
            "confidence": number(scored.confidence),
            "finding_hash": hashlib.sha256(scored.finding.encode()).hexdigest(),
        },
        "escalation": {"escalated": scored.escalated, "job_id": scored.job_id, "fallback_reason": scored.fallback_reason},
        "software": {"quantumai": _version()},
        "inputs": [scored.event_id],
        "outputs": [output.event_id],
    }
    return _manifest(SCORED, predicate, scored.event_id, output, prepared)  # there are thousands a second


def analysed_manifest(cause: Event[Any] | None, output: Event[ThreatAnalysed]) -> ManifestRequested:
    """The manifest of a scheduled analysis: its period, the model, what came of it, and the hash of all its figures."""
    analysed = output.record
    predicate = {
        "period": {"name": analysed.period, "since": analysed.since.isoformat(), "until": analysed.until.isoformat()},
        "model": {"name": analysed.model, "version": analysed.model_version, "promoted": analysed.promoted},
        "result": {
            "events": analysed.events,
            "findings": analysed.findings,
            "outcome": analysed.outcome,
            "report_hash": hashlib.sha256(analysed.report.encode()).hexdigest(),
        },
        "software": {"quantumai": _version()},
        "inputs": [cause.event_id] if cause else [],
        "outputs": [output.event_id],
    }
    return _manifest(ANALYSED, predicate, analysed.period, output)


def manifest_leaf(payload_type: str, payload: bytes) -> bytes:
    """The manifest's leaf hash: SHA-256(0x00 || DSSE pre-authentication encoding of type and payload)."""
    return hashlib.sha256(b"%b %d %b" % (_leaf_prefix(payload_type), len(payload), payload)).digest()


def binds(manifest: ManifestRequested | ManifestSigned) -> bool:
    """Whether the payload is a statement about the very event that the record's fields name.

    The end of a canonical statement is its `subject`; in valid JSON a suffix that closes as many strings and brackets as
    this one opens can stand nowhere else, so comparing bytes is enough, and much faster than parsing.
    """
    subject = _subject(manifest.subject, manifest.event_topic, manifest.event_id, manifest.event_digest)
    return manifest.payload_type == PAYLOAD_TYPE and manifest.payload.endswith(subject)


def _subject(about: str, topic: str, event_id: str, digest: bytes) -> bytes:
    return (
        f',"subject":[{{"annotations":{{"about":{encode_basestring(about)},"topic":{encode_basestring(topic)}}},'
        f'"digest":{{"sha256":"{digest.hex()}"}},"name":{encode_basestring(event_id)}}}]}}'
    ).encode()


def _manifest(
    predicate_type: str,
    predicate: Mapping[str, Any],
    about: str,
    event: Event[Record],
    write: Callable[[Any], bytes] = canonical,
) -> ManifestRequested:
    topic = event.record.topic
    statement = {
        "_type": STATEMENT_TYPE,
        "predicateType": predicate_type,
        "predicate": predicate,
        "subject": [
            {
                "name": event.event_id,
                "digest": {"sha256": event.digest.hex()},
                "annotations": {"about": about, "topic": topic},
            }
        ],
    }
    return ManifestRequested.unchecked(
        {
            "subject": about,
            "payload_type": PAYLOAD_TYPE,
            "payload": write(statement),
            "event_topic": topic,
            "event_id": event.event_id,
            "event_digest": event.digest,
        }
    )


def _method(name: str, method_version: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": method_version, "parameters": dict(parameters)}


def _crypto(mode: str, backend: str | None, scores: tuple[BackendScore, ...]) -> dict[str, Any]:
    route = next((score.route for score in scores if score.backend == backend), "")
    return {"mode": mode, "route": route, "signatures": list(LOG_SUITES)}


@lru_cache(maxsize=64)
def _leaf_prefix(payload_type: str) -> bytes:
    kind = payload_type.encode()
    return b"\x00DSSEv1 %d %b" % (len(kind), kind)


@cache
def _version() -> str:
    return version("quantumai")
