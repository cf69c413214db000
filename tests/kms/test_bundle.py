"""One manifest of a log, alone: verified offline, and refused under its own name whatever is changed in it."""

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis.strategies import characters, data, integers
from kms_events import Log, requests, software_keys, trusting

from kms.bundle import bundle, read_bundle, verify_bundle
from kms.errors import (
    KmsError,
    MalformedEnvelope,
    MalformedNote,
    MalformedProof,
    MissingCheckpoint,
    MissingSuite,
    NotWitnessed,
    WrongBinding,
    WrongInclusion,
    WrongSignature,
)
from schemas.manifests import LogCheckpoint, ManifestSigned

KEYS = software_keys()
TRUST = trusting(KEYS)


def records():
    log = Log(KEYS)
    for start in (0, 5, 8):
        log.sign(requests(range(start, start + 5)))
    return log.records


RECORDS = records()
LEAVES = [record for record in RECORDS if isinstance(record, ManifestSigned)]
HEADS = {record.tree_size: record for record in RECORDS if isinstance(record, LogCheckpoint)}
MANIFEST = LEAVES[7]
DOCUMENT = bundle(MANIFEST, HEADS[10], TRUST)


def verify(document, trust=TRUST, **options):
    return [link.name for link in verify_bundle(read_bundle(document), trust, **options)]


def test_every_leaf_has_a_bundle_that_verifies_after_a_round_trip_through_json():
    for leaf in LEAVES:
        document = json.loads(json.dumps(bundle(leaf, HEADS[leaf.tree_size], TRUST)))
        assert verify(document) == ["manifest", "inclusion", "checkpoint"]
        assert document["keyIds"] == [key.public.kid for key in KEYS]


def test_a_checkpoint_that_the_proof_does_not_lead_to_is_refused():
    with pytest.raises(MissingCheckpoint, match="size 10"):
        bundle(MANIFEST, HEADS[5])


def edited(path, value):
    document = copy.deepcopy(DOCUMENT)
    *way, last = path
    place = document
    for name in way:
        place = place[name]
    place[last] = value(place[last]) if callable(value) else value
    return document


CHANGES = {
    "another payload": ((["dsseEnvelope", "payload"]), bundle(LEAVES[8], HEADS[10])["dsseEnvelope"]["payload"], WrongBinding),
    "another type of payload": (["dsseEnvelope", "payloadType"], "text/plain", WrongBinding),
    "another event": (["logEntry", "event", "id"], "x", WrongBinding),
    "another digest": (["logEntry", "event", "digest"], "0" * 64, WrongBinding),
    "another subject": (["logEntry", "subject"], "job-8", WrongBinding),
    "a subject that cannot be one": (["logEntry", "subject"], "job 7", MalformedEnvelope),
    "another place": (["logEntry", "logIndex"], 6, WrongInclusion),
    "a place beyond the tree": (["logEntry", "logIndex"], 10, WrongInclusion),
    "another log": (["logEntry", "logId"], "test.example/1", MalformedNote),
    "a hash less": (["logEntry", "inclusionProof"], lambda proof: proof[:-1], MalformedProof),
    "another hash": (["logEntry", "inclusionProof"], lambda proof: [proof[0], *proof[:-1]], WrongInclusion),
    "a hash that is none": (["logEntry", "inclusionProof"], ["!"], MalformedEnvelope),
    "another checkpoint": (["logEntry", "checkpoint"], HEADS[5].note, WrongInclusion),
    "a signature stripped": (
        ["logEntry", "checkpoint"],
        lambda note: "\n".join(note[:-1].split("\n")[:-1]) + "\n",
        MissingSuite,
    ),
    "a suite taken out of the text": (["logEntry", "checkpoint"], lambda note: note.replace(" ML-DSA-65\n", "\n"), MissingSuite),
    "the time": (["logEntry", "checkpoint"], lambda note: note.replace("time 2026", "time 2027"), WrongSignature),
    "no checkpoint": (["logEntry", "checkpoint"], "hello", MalformedNote),
    "a negative place": (["logEntry", "logIndex"], -1, MalformedEnvelope),
    "another kind of bundle": (["mediaType"], "x", MalformedEnvelope),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_refused_under_its_name(change):
    path, value, error = CHANGES[change]
    with pytest.raises(error):
        verify(edited(path, value))


def test_an_unknown_field_is_named():
    with pytest.raises(MalformedEnvelope, match=r"logEntry\.colour"):
        read_bundle({**DOCUMENT, "logEntry": {**DOCUMENT["logEntry"], "colour": 1}})


def test_a_revoked_key_and_a_strangers_trust_root_do_not_do():
    revoked = replace(TRUST, keys=(TRUST.keys[0], replace(TRUST.keys[1], state="revoked")))
    for trust in (revoked, trusting(software_keys())):
        with pytest.raises(MissingSuite):
            verify(DOCUMENT, trust)
    with pytest.raises(NotWitnessed, match="0 of the 1"):
        verify(DOCUMENT, quorum=1)


TEXT = json.dumps(DOCUMENT)


@given(data())
@settings(max_examples=150, deadline=None)
def test_no_single_changed_character_is_accepted(drawn):
    """But where it changes nothing that is said: the keys' names, which are a hint, and what follows no rule of ours."""
    at = drawn.draw(integers(0, len(TEXT) - 1))
    changed = TEXT[:at] + drawn.draw(characters(codec="ascii")) + TEXT[at + 1 :]
    try:
        document = json.loads(changed)
        same = {**document, "keyIds": ()} == {**DOCUMENT, "keyIds": ()} if isinstance(document, dict) else False
    except ValueError:
        return
    if same:
        return
    try:
        found = read_bundle(document)
        list(verify_bundle(found, TRUST))
    except KmsError:
        return
    original = read_bundle(DOCUMENT)
    assert (found.envelope.payload, found.envelope.payload_type, found.proof, found.note.text, found.entry.index) == (
        original.envelope.payload,
        original.envelope.payload_type,
        original.proof,
        original.note.text,
        original.entry.index,
    ), f"character {at} is not looked at"
