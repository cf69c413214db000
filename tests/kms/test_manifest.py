"""What a manifest says, in which bytes, and that it is tied to one event."""

import hashlib
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis.strategies import binary, text
from kms_events import routed, score

from kms.manifest import PAYLOAD_TYPE, binds, completed_manifest, manifest_leaf, routed_manifest
from schemas.cloudevents import Event
from schemas.jobs import JobCompleted
from schemas.manifests import ManifestRequested


def completed(**changes):
    fields = {
        "job_id": "job-1",
        "tenant": "acme",
        "status": "DONE",
        "shots": 8192,
        "seeds": {"simulation": 2**62, "twirl": 3},
        "method": "zne",
        "method_version": "2",
        "parameters": {"scale_factors": [1.0, 3.0]},
        "backend": "aer",
        "calibration_id": "a" * 64,
        "vendor_job_id": "v-9",
        "circuit_hash": "c" * 64,
        "result_hash": "d" * 64,
        "queue_seconds": 0.0,
        "execution_seconds": 1.5,
        "cost_usd": 0.25,
        "software": {"qiskit": "2.3.0"},
        "routed_event_id": "routed-1",
        "crypto_mode": "pqc",
        "scores": (score("aer"), score("fez", "too few qubits", "no pqc route")),
        "reasons": ("highest score",),
    }
    return Event(JobCompleted(**{**fields, **changes}), "completed-1", bytes(range(32)))


def statement(manifest):
    return json.loads(manifest.payload)


def test_a_routed_manifest_says_what_was_decided_and_why():
    event = routed(7)
    cause = Event(event.record, "recommended-7", bytes(32))
    manifest = routed_manifest(cause, event)
    said = statement(manifest)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "urn:quantumai:manifest:routed:v1"
    run = said["predicate"]
    assert run["job"] == {"job_id": "job-7", "tenant": "default", "circuit_hash": event.record.job.circuit_hash}
    assert (run["backend"], run["calibration_id"]) == ("aer", "a" * 64)
    assert run["method"] == {"name": "zne", "version": "2", "parameters": {"scale_factors": [1, 3], "folds": str(2**60)}}
    assert run["seeds"] == {"job": str(2**62 + 7)}
    assert run["shots"] == {"requested": 4096, "total": 8192}
    assert run["crypto"] == {"mode": "pqc", "route": "direct", "signatures": ["ECDSA-P384", "ML-DSA-65"]}
    assert [(place["backend"], place["score"], place["blocked"]) for place in run["decision"]["scores"]] == [
        ("aer", 7.5, []),
        ("fez", 0, ["no route offers ML-KEM"]),
    ]
    assert run["decision"]["outcome"] == "ROUTED"
    assert run["decision"]["reasons"] == ["highest score"]
    assert (run["inputs"], run["outputs"]) == (["recommended-7"], [event.event_id])
    assert set(run["software"]) == {"quantumai"}


def test_a_rejection_is_a_manifest_too():
    said = statement(routed_manifest(None, routed(1, decision="REJECTED", backend=None, recommendation=None)))["predicate"]
    assert said["decision"]["outcome"] == "REJECTED"
    assert (said["backend"], said["calibration_id"], said["method"], said["inputs"]) == (None, None, None, [])


def test_a_completed_manifest_says_what_ran_and_what_came_out():
    manifest = completed_manifest(None, completed())
    run = statement(manifest)["predicate"]
    assert run["job"] == {"job_id": "job-1", "tenant": "acme", "circuit_hash": "c" * 64}
    assert (run["backend"], run["calibration_id"]) == ("aer", "a" * 64)
    assert run["method"] == {"name": "zne", "version": "2", "parameters": {"scale_factors": [1, 3]}}
    assert run["seeds"] == {"simulation": str(2**62), "twirl": "3"}
    assert run["shots"] == {"total": 8192}
    assert run["crypto"]["mode"] == "pqc"
    assert run["crypto"]["route"] == "direct"
    assert run["decision"]["scores"][1]["blocked"] == ["too few qubits", "no pqc route"]
    assert run["result"] == {"status": "DONE", "result_hash": "d" * 64, "error": None, "vendor_job_id": "v-9"}
    assert run["software"]["qiskit"] == "2.3.0"
    assert (run["inputs"], run["outputs"]) == (["routed-1"], ["completed-1"])
    assert manifest.subject == "job-1"


@pytest.mark.parametrize(
    "manifest", [routed_manifest(None, routed(3)), completed_manifest(None, completed())], ids=["routed", "completed"]
)
def test_the_payload_is_canonical_and_names_its_event(manifest):
    assert manifest.payload == rfc8785.dumps(statement(manifest))
    (subject,) = statement(manifest)["subject"]
    assert subject["name"] == manifest.event_id
    assert subject["digest"] == {"sha256": manifest.event_digest.hex()}
    assert subject["annotations"] == {"about": manifest.subject, "topic": manifest.event_topic}
    assert binds(manifest)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "job-4"},
        {"event_id": str(routed(4).event_id)},
        {"event_topic": "job.completed"},
        {"event_digest": bytes(32)},
        {"payload_type": "application/json"},
        {"payload": routed_manifest(None, routed(4)).payload},
        {"payload": routed_manifest(None, routed(3)).payload + b" "},
        {"payload": b""},
    ],
    ids="-".join,
)
def test_no_field_can_be_turned_to_another_event(changes):
    manifest = routed_manifest(None, routed(3))
    assert binds(manifest)
    assert not binds(manifest.model_copy(update=changes))


@given(text(), text(), binary(min_size=32, max_size=32))
def test_any_name_of_an_event_is_bound(event_id, topic, digest):
    subject = [{"name": event_id, "digest": {"sha256": digest.hex()}, "annotations": {"about": "job-1", "topic": topic}}]
    manifest = ManifestRequested(
        subject="job-1",
        payload_type=PAYLOAD_TYPE,
        payload=rfc8785.dumps({"_type": "t", "predicate": {}, "predicateType": "p", "subject": subject}),
        event_topic=topic,
        event_id=event_id,
        event_digest=digest,
    )
    assert binds(manifest)
    assert not binds(manifest.model_copy(update={"event_id": event_id + "x"}))


@given(text(max_size=40), binary(max_size=300))
def test_a_leaf_is_the_hash_of_the_dsse_encoding(kind, payload):
    # DSSE 1.0: "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body, lengths in bytes, ASCII decimal
    encoding = b" ".join([b"DSSEv1", str(len(kind.encode())).encode(), kind.encode(), str(len(payload)).encode(), payload])
    assert manifest_leaf(kind, payload) == hashlib.sha256(bytes([0]) + encoding).digest()
