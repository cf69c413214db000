"""A log grows batch by batch from its own last checkpoint, and from nothing else."""

import hashlib
from datetime import timedelta
from itertools import pairwise

import pytest
from kms_events import START, Clock, Log, requests, software_keys, trusting

from kms.errors import LogError, UnboundManifest
from kms.manifest import manifest_leaf
from kms.merkle import EMPTY_ROOT, Frontier, verify_consistency, verify_inclusion
from kms.note import read_note, verify_note
from kms.signing import LogSigner
from kms.verification import LogVerifier
from schemas.errors import InputError
from schemas.manifests import LogCheckpoint, ManifestSigned

KEYS = software_keys()


def tree_hash(leaves):
    """RFC 6962 section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def test_a_batch_gives_its_manifests_in_order_and_one_checkpoint():
    log, made = Log(KEYS, partition=3), requests(range(5))
    *signed, head = log.sign(made)
    assert all(isinstance(record, ManifestSigned) for record in signed)
    assert [(record.index, record.tree_size, record.log_id) for record in signed] == [(at, 5, "test.example/3") for at in range(5)]
    for request, record in zip(made, signed, strict=True):
        assert {**request.__dict__}.items() <= record.__dict__.items()
    leaves = [manifest_leaf(record.payload_type, record.payload) for record in signed]
    assert head.root_hash == tree_hash(leaves)
    assert (head.tree_size, head.previous_size, head.heartbeat, head.consistency_proof) == (5, 0, False, b"")
    for record, leaf in zip(signed, leaves, strict=True):
        verify_inclusion(leaf, record.index, 5, record.inclusion_proof, head.root_hash)
    verify_note(read_note(head.note), trusting(KEYS))


def test_each_checkpoint_continues_the_one_before():
    log, leaves, heads = Log(KEYS), [], []
    for start, stop in ((0, 1), (1, 4), (4, 5), (5, 18), (18, 32)):
        *signed, head = log.sign(requests(range(start, stop)))
        leaves += [manifest_leaf(record.payload_type, record.payload) for record in signed]
        heads.append(head)
        assert head.root_hash == tree_hash(leaves)
        assert Frontier.of(head.tree_size, head.frontier).root() == head.root_hash
    for older, newer in pairwise(heads):
        assert newer.previous_size == older.tree_size
        verify_consistency(older.tree_size, older.root_hash, newer.tree_size, newer.root_hash, newer.consistency_proof)


def test_any_signer_of_the_same_keys_continues_a_log_from_its_last_checkpoint():
    first, second = Log(KEYS), Log(KEYS)
    records = []
    for at in range(6):
        writer = (first, second)[at % 2]
        records += writer.sign(requests(range(3 * at, 3 * at + 3)))
        first.last = second.last = writer.last
    verifier = LogVerifier(trusting(KEYS))
    for record in records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    assert verifier.finish().logs["test.example/0"].size == 18


def test_a_batch_that_is_signed_again_after_a_crash_has_the_same_places_and_proofs():
    log = Log(KEYS)
    log.sign(requests(range(3)))
    last = log.last
    first = log.sign(requests(range(3, 6)))[:-1]
    log.last = last
    assert log.sign(requests(range(3, 6)))[:-1] == first


def test_a_heartbeat_says_once_a_period_that_the_log_still_ends_there():
    clock = Clock()
    log = Log(KEYS, clock=clock)
    (empty,) = log.heartbeat()
    assert (empty.tree_size, empty.root_hash, empty.heartbeat) == (0, EMPTY_ROOT, True)
    log.sign(requests(range(3)))
    ended = log.last
    assert log.heartbeat() == []
    clock.time = ended.signed_at + timedelta(seconds=597)
    assert log.heartbeat() == []
    clock.time = ended.signed_at + timedelta(seconds=599)
    (beat,) = log.heartbeat()
    assert (beat.tree_size, beat.previous_size, beat.root_hash, beat.frontier) == (3, 3, ended.root_hash, ended.frontier)
    assert beat.heartbeat
    assert beat.consistency_proof == b""
    assert beat.signed_at > ended.signed_at > START
    verify_note(read_note(beat.note), trusting(KEYS))
    *_, head = log.sign(requests(range(3, 5)))
    assert (head.previous_size, head.tree_size, head.heartbeat) == (3, 5, False)


def test_nothing_is_signed_for_nothing():
    log = Log(KEYS)
    assert log.sign([]) == []
    assert log.last is None


def test_a_manifest_about_another_event_is_an_input_error():
    (request,) = requests([1])
    with pytest.raises(UnboundManifest, match=r"does not end with the subject job\.routed forged") as caught:
        Log(KEYS).sign([*requests([0]), request.model_copy(update={"event_id": "forged"})])
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frontier": bytes(64)}, "is not of its root"),
        ({"frontier": bytes(32)}, "frontier nodes"),
        ({"root_hash": bytes(32)}, "is not of its root"),
        ({"log_id": "elsewhere/0"}, "do not change the origin"),
    ],
)
def test_a_log_whose_last_checkpoint_is_damaged_is_not_continued(changes, message):
    log = Log(KEYS)
    log.sign(requests(range(3)))
    damaged = log.last.model_copy(update=changes)
    signer = LogSigner(lambda: KEYS, "test.example", lambda _: damaged)
    with pytest.raises(LogError, match=message):
        signer.sign(0, requests([3]))
