"""The verifier against everything that can be done to the topics: each attack is refused, under its own name."""

import base64
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import data, integers, lists, permutations, randoms, sampled_from
from kms_events import Clock, Log, requests, routed, software_keys, trusting

from kms.errors import (
    DuplicateCheckpoint,
    DuplicateIndex,
    Fork,
    IndexGap,
    MalformedNote,
    MissingCheckpoint,
    MissingEvent,
    MissingLeaf,
    MissingSuite,
    Truncated,
    VerificationError,
    WrongBinding,
    WrongConsistency,
    WrongEvent,
    WrongInclusion,
    WrongRoot,
    WrongSignature,
)
from kms.merkle import Frontier
from kms.verification import LogVerifier
from schemas.manifests import LogCheckpoint, ManifestSigned
from schemas.record import now

KEYS = software_keys()
TRUST = trusting(KEYS)
BATCHES = (1, 3, 4, 1, 7, 2)


def build(batches=BATCHES, partition=0, start=0, beats=True):
    """A log's records, and the events they are about."""
    log, number = Log(KEYS, partition), start
    for size in batches:
        log.sign(requests(range(number, number + size)))
        number += size
        if beats:
            log.signer._heartbeat_seconds = 0
            log.heartbeat()
    return log.records, [routed(at) for at in range(start, number)]


RECORDS, EVENTS = build()
LEAVES = [record for record in RECORDS if isinstance(record, ManifestSigned)]
HEADS = [record for record in RECORDS if isinstance(record, LogCheckpoint)]
COUNT = len(LEAVES)


def verify(leaves=LEAVES, heads=HEADS, events=None, trust=TRUST, **options):
    verifier = LogVerifier(trust, audited=() if events is None else ("job.routed",), **options)
    for event in events or ():
        verifier.event("job.routed", event.event_id, event.digest)
    for leaf in leaves:
        verifier.manifest(leaf)
    for head in heads:
        verifier.checkpoint(head)
    return verifier.finish()


def changed(records, at, **changes):
    return [record.model_copy(update=changes) if place == at else record for place, record in enumerate(records)]


def without(records, *places):
    return [record for place, record in enumerate(records) if place not in places]


def flip(value, bit=0):
    return bytes([value[0] ^ 1 << bit]) + value[1:]


def test_a_log_and_its_events_verify_both_ways():
    report = verify(events=EVENTS)
    assert (report.manifests, report.checkpoints, report.signatures, report.matched) == (COUNT, len(HEADS), 1, COUNT)
    end = report.logs["test.example/0"]
    assert (end.size, end.root, end.signed_at) == (COUNT, HEADS[-1].root_hash, HEADS[-1].signed_at)
    assert report.errors == ()
    assert verify(every_signature=True).signatures == len(HEADS)


def test_logs_of_real_tokens_verify(keys, ring):
    log = Log(keys, clock=now)
    for start in range(0, 12, 4):
        log.sign(requests(range(start, start + 4)))
    leaves = [record for record in log.records if isinstance(record, ManifestSigned)]
    heads = [record for record in log.records if isinstance(record, LogCheckpoint)]
    assert verify(leaves, heads, trust=ring.public(), every_signature=True).signatures == 3
    with pytest.raises(MissingSuite):
        verify(leaves, heads)


@given(lists(integers(1, 9), min_size=1, max_size=5), lists(integers(1, 9), max_size=3), randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_any_interleaving_of_logs_topics_and_events_verifies(first, second, chance):
    verifier = LogVerifier(TRUST, audited=("job.routed",))
    queues, count = [], sum(first) + sum(second)
    for partition, batches in enumerate((first, second)):
        records, events = build(batches, partition, start=1000 * partition)
        queues.append([(verifier.manifest, record) for record in records if isinstance(record, ManifestSigned)])
        queues.append([(verifier.checkpoint, record) for record in records if isinstance(record, LogCheckpoint)])
        queues.append([(lambda event: verifier.event("job.routed", event.event_id, event.digest), event) for event in events])
    while any(queues):
        take, record = chance.choice([queue for queue in queues if queue]).pop(0)
        take(record)
    report = verifier.finish()
    assert (report.manifests, report.matched) == (count, count)


ATTACKS = {
    "a manifest dropped from a batch": (lambda: {"leaves": without(LEAVES, 5)}, IndexGap, "leaves 5..5 are missing"),
    "a whole batch dropped": (lambda: {"leaves": without(LEAVES, 1, 2, 3)}, IndexGap, "leaves 1..3 are missing"),
    "a batch and its checkpoints dropped": (
        lambda: {"leaves": without(LEAVES, 1, 2, 3), "heads": without(HEADS, 2, 3)},
        IndexGap,
        "leaves 1..3 are missing",
    ),
    "the log's beginning dropped": (lambda: {"leaves": LEAVES[4:], "heads": HEADS[4:]}, IndexGap, "leaves 0..3 are missing"),
    "a manifest doubled": (lambda: {"leaves": [*LEAVES[:5], LEAVES[4], *LEAVES[5:]]}, DuplicateIndex, "leaf 4 stands again"),
    "two manifests in the wrong order": (
        lambda: {"leaves": [*LEAVES[:5], LEAVES[6], LEAVES[5], *LEAVES[7:]]},
        IndexGap,
        "leaves 5..5 are missing",
    ),
    "two manifests swapped": (lambda: {"leaves": swapped(5, 6)}, WrongInclusion, "leaf 5"),
    "the last manifest cut off": (lambda: {"leaves": LEAVES[:-1]}, Truncated, f"leaves {COUNT - 1}..{COUNT - 1} are missing"),
    "the last batch cut off": (lambda: {"leaves": LEAVES[:-2]}, Truncated, f"ends after {COUNT - 2} leaves, .* says {COUNT}"),
    "all manifests cut off": (lambda: {"leaves": []}, Truncated, f"ends after 0 leaves, its last checkpoint says {COUNT}"),
    "the last checkpoints cut off": (lambda: {"heads": HEADS[:-2]}, MissingCheckpoint, f"no checkpoint of size {COUNT}"),
    "all checkpoints cut off": (lambda: {"heads": []}, MissingCheckpoint, "no checkpoint of size 1"),
    "a checkpoint in the middle dropped": (lambda: {"heads": without(HEADS, 4)}, MissingCheckpoint, "size 8, which is not there|8"),
    "a payload edited": (lambda: {"leaves": edited(9)}, WrongInclusion, "leaf 9"),
    "a payload edited in a batch of one": (lambda: {"leaves": edited(8)}, WrongRoot, "leaves 8..8 lead to the root"),
    "a payload exchanged for a signed one": (
        lambda: {"leaves": changed(LEAVES, 9, **payload_of(LEAVES[10]))},
        WrongInclusion,
        "leaf 9",
    ),
    "a manifest turned to another event": (lambda: {"leaves": changed(LEAVES, 9, event_id="other")}, WrongBinding, "event other"),
    "a manifest turned to another digest": (lambda: {"leaves": changed(LEAVES, 9, event_digest=bytes(32))}, WrongBinding, "leaf 9"),
    "a manifest turned to another job": (lambda: {"leaves": changed(LEAVES, 9, subject="job-0")}, WrongBinding, "subject job-0"),
    "a manifest turned to another topic": (lambda: {"leaves": changed(LEAVES, 9, event_topic="job.x")}, WrongBinding, "job.x"),
    "another payload type": (lambda: {"leaves": changed(LEAVES, 9, payload_type="text/plain")}, WrongBinding, "leaf 9"),
    "a proof edited": (
        lambda: {"leaves": changed(LEAVES, 9, inclusion_proof=flip(LEAVES[9].inclusion_proof))},
        WrongInclusion,
        "leaf 9",
    ),
    "a proof removed": (lambda: {"leaves": changed(LEAVES, 9, inclusion_proof=b"")}, VerificationError, "leaf 9: .* too short"),
    "a proof in a batch of one removed": (lambda: {"leaves": changed(LEAVES, 8, inclusion_proof=b"")}, VerificationError, "leaf 8"),
    "a manifest moved to a larger tree": (
        lambda: {"leaves": changed(LEAVES, 9, tree_size=COUNT)},
        Truncated,
        "leaves 10..17 of the batch up to 18",
    ),
    "a manifest in a tree too small for it": (lambda: {"leaves": changed(LEAVES, 9, tree_size=9)}, VerificationError, "9"),
    "a root edited in the record alone": (
        lambda: {"heads": changed(HEADS, 4, root_hash=flip(HEADS[4].root_hash))},
        MalformedNote,
        "something else than its signed note",
    ),
    "a root edited in record and note": (lambda: {"heads": rewritten(4)}, WrongRoot, "the checkpoint says"),
    "the newest root edited in record and note": (
        lambda: {"heads": rewritten(len(HEADS) - 1)},
        Fork,
        f"two checkpoints of size {COUNT}",
    ),
    "a checkpoint's time edited in the record": (
        lambda: {"heads": changed(HEADS, 4, signed_at=HEADS[5].signed_at)},
        MalformedNote,
        "something else",
    ),
    "a checkpoint moved to another log": (
        lambda: {"heads": changed(HEADS, 4, log_id="test.example/1")},
        MalformedNote,
        "example/1",
    ),
    "a frontier edited": (
        lambda: {"heads": changed(HEADS, 4, frontier=flip(HEADS[4].frontier))},
        MalformedNote,
        "is not of its root",
    ),
    "a heartbeat that is none": (lambda: {"heads": changed(HEADS, 4, heartbeat=True)}, MalformedNote, "nothing else, adds no leaf"),
    "a consistency proof edited": (
        lambda: {"heads": changed(HEADS, 4, consistency_proof=flip(HEADS[4].consistency_proof))},
        WrongConsistency,
        "size 8 does not continue that of size 4",
    ),
    "a checkpoint that continues another": (lambda: {"heads": changed(HEADS, 4, previous_size=3)}, MissingCheckpoint, "size 3"),
    "a checkpoint doubled": (lambda: {"heads": [*HEADS[:4], HEADS[2], *HEADS[4:]]}, DuplicateCheckpoint, "size 4 stands twice"),
    "a heartbeat doubled": (lambda: {"heads": [*HEADS[:4], HEADS[3], *HEADS[4:]]}, DuplicateCheckpoint, "size 4 stands twice"),
    "checkpoints in the wrong order": (
        lambda: {"heads": [*HEADS[:6], HEADS[3], *HEADS[6:]]},
        Fork,
        "size 4 stands behind one of size 8",
    ),
    "the post-quantum signature stripped": (lambda: {"heads": stripped(-1)}, MissingSuite, "ML-DSA-65"),
    "the classical signature stripped": (lambda: {"heads": stripped(-2)}, MissingSuite, "ECDSA-P384"),
    "an event dropped": (lambda: {"events": without(EVENTS, 7)}, MissingEvent, "leaf 7 of test.example/0 .* is not there"),
    "an event added": (lambda: {"events": [*EVENTS, routed(500)]}, MissingLeaf, routed(500).event_id),
    "an event doubled": (lambda: {"events": [*EVENTS, EVENTS[3]]}, WrongEvent, "stands twice"),
    "the last event and its manifest dropped": (
        lambda: {"events": EVENTS[:-1], "leaves": LEAVES[:-1]},
        Truncated,
        "are missing",
    ),
    "log and checkpoints cut off together": (
        lambda: {"events": EVENTS, "leaves": LEAVES[:-2], "heads": HEADS[:-2]},
        MissingLeaf,
        EVENTS[-2].event_id,
    ),
    "an event edited": (lambda: {"events": [*EVENTS[:7], edited_event(7), *EVENTS[8:]]}, WrongEvent, "leaf 7 of test.example/0"),
}


def swapped(one, other):
    taken = changed(LEAVES, one, index=other), changed(LEAVES, other, index=one)
    return [*LEAVES[:one], taken[1][other], taken[0][one], *LEAVES[other + 1 :]]


def edited(at):
    payload = LEAVES[at].payload
    return changed(LEAVES, at, payload=payload.replace(b'"aer"', b'"fez"', 1))


def payload_of(leaf):
    return {name: getattr(leaf, name) for name in ("subject", "payload", "event_id", "event_digest")}


def edited_event(number):
    event = EVENTS[number]
    return type(event)(event.record, event.event_id, bytes(32))


def rewritten(at):
    """A checkpoint whose tree is changed consistently in frontier, root and note, under the old signatures."""
    head = HEADS[at]
    frontier = flip(head.frontier)
    root = Frontier.of(head.tree_size, frontier).root()
    old, new = (base64.b64encode(value).decode() for value in (head.root_hash, root))
    return changed(HEADS, at, frontier=frontier, root_hash=root, note=head.note.replace(old, new))


def stripped(line):
    lines = HEADS[-1].note[:-1].split("\n")
    del lines[line]
    return changed(HEADS, len(HEADS) - 1, note="\n".join(lines) + "\n")


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_refused_under_its_name(attack):
    make, error, message = ATTACKS[attack]
    with pytest.raises(error, match=message):
        verify(**make())


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_collected_and_the_rest_still_verified(attack):
    make, error, _ = ATTACKS[attack]
    report = verify(**make(), collect=True)
    assert any(isinstance(found, error) for found in report.errors)
    assert len(report.errors) <= len(BATCHES) + 1, report.errors


def test_one_bad_leaf_is_reported_once_and_the_log_behind_it_is_verified():
    for at in range(COUNT):
        report = verify(leaves=edited(at), collect=True)
        assert len(report.errors) == 1, (at, report.errors)
        assert f"{at}" in str(report.errors[0])


def test_one_dropped_leaf_is_reported_once_and_the_rest_verified():
    for at in range(COUNT):
        report = verify(leaves=without(LEAVES, at), collect=True)
        assert len(report.errors) == 1, (at, report.errors)
        assert f"leaves {at}..{at} are missing" in str(report.errors[0]) or (at, type(report.errors[0])) == (COUNT - 1, Truncated)


def test_an_edited_leaf_behind_a_dropped_one_is_still_found():
    for at in set(range(COUNT - 1)) - {10, 11}:
        rest = without(LEAVES, at)
        edited_too = changed(rest, 10, payload=rest[10].payload.replace(b'"aer"', b'"fez"', 1))
        found = verify(leaves=edited_too, collect=True).errors
        assert {type(error) for error in found} == {IndexGap, WrongInclusion}, (at, found)


def test_an_older_signature_is_checked_when_asked_for():
    forged = HEADS[2].note.replace("— test.example/0 ", "— test.example/9 ")
    heads = changed(HEADS, 2, note=forged)
    verify(heads=heads)
    with pytest.raises(MissingSuite):
        verify(heads=heads, every_signature=True)


def test_a_signature_by_the_right_key_over_something_else_is_refused():
    other, _ = build((5, 5, 8), partition=0, start=77)
    theirs = [record for record in other if isinstance(record, LogCheckpoint)][-1]
    lines = HEADS[-1].note.split("\n\n")[0], theirs.note.split("\n\n")[1]
    with pytest.raises(WrongSignature):
        verify(heads=changed(HEADS, len(HEADS) - 1, note="\n\n".join(lines)))


def test_a_forked_log_is_found_wherever_it_forks():
    """The writer itself signs two histories; both are well signed, only one can be shown."""
    for shared in range(1, len(BATCHES)):
        honest, _ = build(BATCHES, beats=False)
        log = Log(KEYS)
        number = 0
        for size in BATCHES[:shared]:
            log.sign(requests(range(number, number + size)))
            number += size
        log.sign(requests(range(900, 900 + BATCHES[shared])))
        fork = [record for record in log.records if isinstance(record, LogCheckpoint)][-1]
        heads = [record for record in honest if isinstance(record, LogCheckpoint)]
        with pytest.raises((Fork, WrongRoot, WrongConsistency)):
            verify(heads=[*heads[:shared], fork, *heads[shared + 1 :]])
        with pytest.raises(Fork):
            verify(heads=[*heads[: shared + 1], fork, *heads[shared + 1 :]])


def test_a_young_event_may_have_no_leaf_yet_but_must_agree_with_it():
    verifier = LogVerifier(TRUST, audited=("job.routed",))
    young = routed(800)
    verifier.event("job.routed", young.event_id, young.digest, settled=False)
    assert verifier.finish().matched == 0
    verifier = LogVerifier(TRUST, audited=("job.routed",))
    for record in LEAVES[:1]:
        verifier.manifest(record)
    with pytest.raises(WrongEvent):
        verifier.event("job.routed", EVENTS[0].event_id, bytes([1] * 32), settled=False)


def test_topics_that_are_not_audited_are_not_matched():
    verifier = LogVerifier(TRUST, audited=("job.completed",))
    for record in LEAVES:
        verifier.manifest(record)
    for record in HEADS:
        verifier.checkpoint(record)
    assert verifier.finish().matched == 0


def test_two_leaves_about_one_event_are_found():
    log = Log(KEYS)
    log.sign(requests([1, 2]))
    log.sign(requests([1]))
    leaves = [record for record in log.records if isinstance(record, ManifestSigned)]
    heads = [record for record in log.records if isinstance(record, LogCheckpoint)]
    verify(leaves, heads)
    events = [routed(1), routed(2)]
    with pytest.raises(MissingEvent, match="leaf 2 of"):
        verify(leaves, heads, events)
    verifier = LogVerifier(TRUST, audited=("job.routed",))
    with pytest.raises(MissingEvent, match=r"leaf 2 of .* again: leaf 0 of"):
        for leaf in leaves:
            verifier.manifest(leaf)


@given(integers(0, COUNT - 1), data())
@settings(max_examples=60, deadline=None)
def test_any_contiguous_part_of_a_log_verifies_with_the_checkpoints_of_its_batches(start, source):
    stop = source.draw(integers(start + 1, COUNT))
    part = LEAVES[start:stop]
    sizes = [leaf.tree_size for leaf in part]
    first = source.draw(sampled_from([at for at, head in enumerate(HEADS) if head.tree_size <= min(sizes)]))
    report = verify(leaves=part, heads=HEADS[first:], whole=False)
    assert report.manifests == len(part)
    place = source.draw(integers(0, len(part) - 1))
    payload = part[place].payload.replace(b'"aer"', b'"fez"', 1)
    with pytest.raises((WrongInclusion, WrongRoot)):
        verify(leaves=changed(part, place, payload=payload), heads=HEADS[first:], whole=False)


def test_a_part_of_a_log_with_a_hole_is_refused():
    with pytest.raises(IndexGap, match=r"leaves 10\.\.10 are missing"):
        verify(leaves=without(LEAVES[6:], 4), heads=HEADS, whole=False)


def test_an_empty_log_has_a_heartbeat_and_nothing_else():
    log = Log(KEYS)
    log.heartbeat()
    assert verify(leaves=[], heads=log.records).logs["test.example/0"].size == 0
    assert verify(leaves=[], heads=[]).logs == {}


FIELDS = {
    ManifestSigned: tuple(ManifestSigned.model_fields),
    LogCheckpoint: tuple(LogCheckpoint.model_fields),
}


def tampered(value, chance):
    if isinstance(value, bytes):
        kind = chance.randrange(4) if value else 2
        at = chance.randrange(len(value)) if value else 0
        return [
            value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :] if value else b"",
            value[:-1],
            value + chance.randbytes(32),
            value[32:],
        ][kind]
    if isinstance(value, str):
        at = chance.randrange(len(value))
        return value[:at] + chance.choice("abc019") + value[at + 1 :]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(0, value + chance.choice((-3, -1, 1, 2, 1000)))
    return value.replace(microsecond=chance.randrange(10**6))


def test_no_single_tamper_is_accepted():
    """Any one change to any one field of any one record, seeded; older signatures included."""
    chance, tried = random.Random(20260102), 0
    while tried < 500:
        records = list(LEAVES) if chance.random() < 0.6 else list(HEADS)
        at = chance.randrange(len(records))
        name = chance.choice(FIELDS[type(records[at])])
        value = getattr(records[at], name)
        new = tampered(value, chance)
        if new == value:
            continue
        tried += 1
        damaged = changed(records, at, **{name: new})
        sides = {"leaves": damaged} if isinstance(records[0], ManifestSigned) else {"heads": damaged, "every_signature": True}
        with pytest.raises(VerificationError):
            verify(events=EVENTS, **sides)
            pytest.fail(f"accepted: {type(records[at]).__name__} {at} {name}: {value!r} -> {new!r}")


@given(permutations(range(COUNT)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_no_other_order_of_the_leaves_is_accepted(order):
    if list(order) == list(range(COUNT)):
        return
    with pytest.raises((IndexGap, DuplicateIndex)):
        verify(leaves=[LEAVES[at] for at in order])


def test_the_clock_of_the_test_moves():
    clock = Clock()
    assert clock() < clock()
