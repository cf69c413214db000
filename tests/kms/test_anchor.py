"""Anchors: hash-based signatures in the logs once a period, and what stands on them when the other two have fallen."""

import base64
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pqcrypto
import pytest
from kms_events import Log, requests, trusting

from kms.algorithms import LOG_SUITES, raw_public_key
from kms.anchor import ANCHOR_ALGORITHM, ANCHOR_USE, AnchoredLogs, anchor_of, ask_for_anchor
from kms.bundle import bundle, read_bundle, verify_bundle
from kms.epochs import FIRST, Policy
from kms.errors import MalformedNote, MissingAnchor, MissingSuite, NotAnchored, OutOfForce, UnknownAnchor, WrongSignature
from kms.keyring import KeyRing
from kms.note import read_note, sign_note
from kms.verification import LogVerifier
from kms.vouched import Demands, VouchedVerifier
from schemas.manifests import LogCheckpoint


class Hand:
    """A clock that is set by hand."""

    def __init__(self):
        self.time = datetime.now(UTC)

    def __call__(self):
        self.time += timedelta(microseconds=1)
        return self.time


@pytest.fixture
def clock():
    return Hand()


@pytest.fixture
def own(token, tmp_path):
    return KeyRing.open(tmp_path / "keys.db", token)


@pytest.fixture
def log(keys, clock):
    made = Log(keys, clock=clock)
    made.sign(requests(range(3)))
    return made


def writer(log, ring, clock, seconds=86_400):
    return AnchoredLogs(log.signer, lambda: ring, lambda _: log.last, seconds, clock)


def beat(anchored, log, clock, **later):
    clock.time += timedelta(**(later or {"seconds": 3}))
    return log._keep(anchored.heartbeat(0))


def verifier_of(log, trust, records=None, whole=True, every=False, **demands):
    verifier = VouchedVerifier(trust, Demands(**demands), collect=True, every_signature=every, whole=whole)
    for record in log.records if records is None else records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    return verifier.finish()


def anchored(records):
    return [record for record in records if isinstance(record, LogCheckpoint) and len(record.note) > 12_000]


def stripped(head):
    """Without its anchor: the last line of the note."""
    return head.model_copy(update={"note": "".join(head.note.splitlines(keepends=True)[:-1])})


@pytest.fixture
def twice(log, own, keys, clock):
    """(log with two anchors and leaves between and behind them, its trust root)."""
    write = writer(log, own, clock)
    beat(write, log, clock)
    for more in (range(3, 5), range(5, 7)):
        beat(write, log, clock, days=1)
        log.sign(requests(more))
    return log, replace(trusting(keys), keys=(*trusting(keys).keys, *aged(own)))


class TestTakenAway:
    """No option asks for anchors here: the log's own signed text does."""

    def test_a_log_with_all_its_anchors_and_a_young_one_without_hold(self, twice, keys, clock):
        log, trust = twice
        report = verifier_of(log, trust)
        assert report.errors == () and report.vouched["test.example/0"].anchor.size == 5
        young = Log(keys, clock=clock)
        young.sign(requests(range(2)))
        assert verifier_of(young, trust).errors == ()

    @pytest.mark.parametrize("which", [0, 1])
    def test_the_signature_alone(self, twice, which):
        log, trust = twice
        head = anchored(log.records)[which]
        changed = [stripped(head) if record is head else record for record in log.records]
        [error] = verifier_of(log, trust, changed).errors
        assert type(error) is MissingAnchor and "anchored by SLH-DSA-SHA2-128s, and carries no such" in str(error)

    @pytest.mark.parametrize("which", [0, 1])
    def test_the_checkpoint_that_carries_it(self, twice, which):
        log, trust = twice
        head = anchored(log.records)[which]
        found = verifier_of(log, trust, [record for record in log.records if record is not head]).errors
        assert [type(error) for error in found] == [MissingAnchor]
        assert f"names one of size {head.tree_size} as anchored last" in str(found[0])

    def test_all_of_them(self, twice):
        log, trust = twice
        gone = anchored(log.records)
        found = verifier_of(log, trust, [record for record in log.records if all(record is not head for head in gone)]).errors
        assert {type(error) for error in found} == {MissingAnchor}

    def test_a_part_of_a_log_that_begins_behind_an_anchor_holds(self, twice):
        log, trust = twice
        first, second = (log.records.index(head) for head in anchored(log.records))
        assert verifier_of(log, trust, log.records[first + 1 :], whole=False).errors == ()
        found = verifier_of(log, trust, log.records[first + 1 : second] + log.records[second + 1 :], whole=False).errors
        assert [type(error) for error in found] == [MissingAnchor]

    def test_who_knows_no_anchor_key_cannot_tell(self, twice, keys):
        log, _ = twice
        changed = [stripped(record) if record in anchored(log.records) else record for record in log.records]
        assert verifier_of(log, trusting(keys), changed).errors == ()

    def test_and_another_key_s_in_its_place(self, twice):
        """A stranger's signature is no anchor; nor can anybody tell it from a key that is newer than the trust root."""
        log, trust = twice
        head = anchored(log.records)[1]
        lines = head.note.splitlines(keepends=True)
        content = bytearray(base64.b64decode(lines[-1].split(" ")[2]))
        content[0] ^= 1
        foreign = f"— {head.log_id} {base64.b64encode(content).decode()}\n"
        other = head.model_copy(update={"note": "".join([*lines[:-1], foreign])})
        [error] = verifier_of(log, trust, [other if record is head else record for record in log.records]).errors
        assert type(error) is UnknownAnchor and "take the new trust root" in str(error)

    def test_in_a_bundle(self, twice):
        log, trust = twice
        head = anchored(log.records)[1]
        leaf = next(record for record in log.records if not isinstance(record, LogCheckpoint) and record.tree_size == 5)
        assert "anchor" in {link.name for link in verify_bundle(read_bundle(bundle(leaf, head)), trust)}
        with pytest.raises(MissingAnchor):
            list(verify_bundle(read_bundle(bundle(leaf, stripped(head))), trust))

    def test_an_anchor_of_before_that_the_text_does_not_name_still_counts(self, log, own, keys, clock):
        *_, head = log.signer.end(0)
        [key] = own.ensure(ANCHOR_USE, (ANCHOR_ALGORITHM,))
        line = sign_note(read_note(head.note).checkpoint, [key]).rpartition("\n\n")[2]
        log._keep([head.model_copy(update={"note": head.note + line})])
        log.sign(requests(range(3, 5)))
        report = verifier_of(log, replace(trusting(keys), keys=(*trusting(keys).keys, *aged(own))))
        assert report.errors == () and report.vouched["test.example/0"].anchor.size == 3


class TestEveryAnchor:
    """With `every_signature` older anchors are verified, too, not the newest alone."""

    def bent(self, head):
        lines = head.note.splitlines(keepends=True)
        content = bytearray(base64.b64decode(lines[-1].split(" ")[2]))
        content[2000] ^= 1
        bent = f"— {head.log_id} {base64.b64encode(content).decode()}\n"
        return head.model_copy(update={"note": "".join([*lines[:-1], bent])})

    def test_a_bent_one_is_found(self, twice):
        log, trust = twice
        first, second = anchored(log.records)
        assert verifier_of(log, trust, every=True).errors == ()
        for head, every in [(first, True), (second, True), (second, False)]:
            changed = [self.bent(head) if record is head else record for record in log.records]
            assert [type(error) for error in verifier_of(log, trust, changed, every=every).errors] == [WrongSignature]

    def test_one_by_a_key_that_was_revoked_since_counts_below_a_newer_checkpoint(self, twice):
        log, trust = twice
        lost = [
            replace(key, state="revoked", life=replace(key.life, revoked=datetime.now(UTC) + timedelta(days=300)))
            if key.use == ANCHOR_USE
            else key
            for key in trust.keys
        ]
        report = verifier_of(log, replace(trust, keys=tuple(lost)), every=True)
        assert report.errors == () and report.vouched["test.example/0"].anchor is None

    def test_a_line_that_stands_twice_is_refused(self, twice):
        log, trust = twice
        head = anchored(log.records)[0]
        for line in head.note.splitlines(keepends=True)[-3:]:
            double = head.model_copy(update={"note": head.note + line})
            found = verifier_of(log, trust, [double if record is head else record for record in log.records]).errors
            assert MalformedNote in {type(error) for error in found}


def test_a_trust_root_from_before_the_anchor_key_was_rotated_says_so(log, own, keys, clock):
    """The log goes on to hold for whoever has the new trust root: the older key's anchors count as long as it was in force."""
    write = writer(log, own, clock)
    beat(write, log, clock)
    beat(write, log, clock, days=1)
    old = replace(trusting(keys), keys=(*trusting(keys).keys, *aged(own)))
    own.rotate(ANCHOR_USE, ANCHOR_ALGORITHM)
    time.sleep(2.1)  # kms.keyring.NOTICE
    log.sign(requests(range(3, 5)))
    beat(write, log, clock, days=1)
    [error] = verifier_of(log, old).errors
    assert type(error) is UnknownAnchor and "at size 5" in str(error)
    later = [replace(key, life=replace(key.life, retires=None)) for key in aged(own)]
    report = verifier_of(log, replace(trusting(keys), keys=(*trusting(keys).keys, *later)), every=True)
    assert report.errors == () and report.vouched["test.example/0"].anchor.key == f"{ANCHOR_USE}/{ANCHOR_ALGORITHM}/2"


def test_a_log_is_anchored_once_a_period_and_when_asked(log, own, clock):
    write = writer(log, own, clock)
    assert not anchored(beat(write, log, clock))
    [first] = anchored(beat(write, log, clock, days=1))
    assert not anchored(beat(write, log, clock)) and not anchored(beat(write, log, clock, hours=1))
    again = writer(log, own, clock)  # a restart
    assert not anchored(beat(again, log, clock))
    ask_for_anchor(own)
    clock.time = max(clock.time, datetime.now(UTC) + timedelta(days=2))
    assert first.tree_size == 3 and anchored(beat(again, log, clock))
    assert not anchored(beat(writer(log, own, clock, seconds=0), log, clock, days=9))


def test_an_anchor_that_was_not_committed_is_made_again(log, own, clock):
    write = writer(log, own, clock)
    beat(write, log, clock)
    clock.time += timedelta(days=1)
    assert anchored(write.heartbeat(0))  # and the transaction fails: the worker leaves
    assert anchored(beat(writer(log, own, clock), log, clock))


def test_the_signature_is_over_the_note_and_older_verifiers_do_not_mind_it(log, own, ring, keys, clock):
    write = writer(log, own, clock)
    beat(write, log, clock)
    [head] = anchored(beat(write, log, clock, days=1))
    note = read_note(head.note)
    key = own.key(f"{ANCHOR_USE}/{ANCHOR_ALGORITHM}/1")
    raw = raw_public_key(ANCHOR_ALGORITHM, key.spki)
    pqcrypto.slh_dsa_sha2_128s.verify(raw, note.text.encode(), note.lines[-1].signature)
    verifier = LogVerifier(trusting(keys), every_signature=True)
    for record in log.records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    assert verifier.finish().errors == ()


def test_a_verifier_says_the_newest_anchor_and_may_demand_one(log, own, keys, clock):
    write = writer(log, own, clock)
    beat(write, log, clock)
    beat(write, log, clock, days=1)
    trust = replace(trusting(keys), keys=(*trusting(keys).keys, *aged(own)))
    clock.time += timedelta(days=1)
    log.sign(requests(range(3, 5)))
    report = verifier_of(log, trust)
    assert report.errors == () and report.vouched["test.example/0"].anchor.size == 3
    found = verifier_of(log, trust, anchored_since=clock.time).errors
    assert [type(error) for error in found] == [NotAnchored]
    assert [type(error) for error in verifier_of(log, trusting(keys), anchored_since=clock.time - timedelta(9)).errors] == [
        NotAnchored
    ]


def aged(ring):
    """The ring's keys, in force since long ago: the test's clock runs ahead of the token's."""
    return [replace(key, life=replace(key.life, activates=datetime(2020, 1, 1, tzinfo=UTC))) for key in ring.public().keys]


def test_a_bent_anchor_is_found_and_one_of_another_time_too(log, own, clock):
    write = writer(log, own, clock)
    beat(write, log, clock)
    [head] = anchored(beat(write, log, clock, days=1))
    trust = own.public()
    assert anchor_of(read_note(head.note), trust).size == 3
    line = head.note.splitlines(keepends=True)[-1]
    content = bytearray(base64.b64decode(line.split(" ")[2]))
    content[100] ^= 1
    bent = head.note.replace(line, f"— {head.log_id} {base64.b64encode(content).decode()}\n")
    with pytest.raises(WrongSignature, match="anchor"):
        anchor_of(read_note(bent), trust)
    ended = replace(trust, keys=tuple(replace(key, life=replace(key.life, retires=key.life.activates)) for key in trust.keys))
    with pytest.raises(OutOfForce, match="anchor"):
        anchor_of(read_note(head.note), ended)
    assert anchor_of(read_note(head.note), replace(trust, keys=())) is None


def test_an_anchor_stands_where_lattices_and_curves_have_fallen(log, own, keys, clock):
    write = writer(log, own, clock)
    beat(write, log, clock)
    [head] = anchored(beat(write, log, clock, days=1))
    policy = Policy((FIRST,)).following(("SLH-DSA-SHA2-192s",), datetime.now(UTC), broken=["ML-DSA-65", "ECDSA-P384"])
    fallen = replace(own.public(), required_suites=policy.newest.required, epochs=policy.epochs)
    assert anchor_of(read_note(head.note), fallen).key == f"{ANCHOR_USE}/{ANCHOR_ALGORITHM}/1"


def test_what_a_key_signed_before_it_was_revoked_counts_below_a_newer_checkpoint(own, clock):
    """`every_signature` judges older checkpoints by the keys as they stood then; the newest must be of keys that count now."""
    first = Log(own.ensure("log", LOG_SUITES), clock=clock)
    first.sign(requests(range(3)))
    own.rotate("log", "ML-DSA-65")
    time.sleep(2.1)  # kms.keyring.NOTICE
    own.change("log/ML-DSA-65/1", "revoke")
    verifier = LogVerifier(own.public(), every_signature=True)
    for record in first.records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    with pytest.raises(MissingSuite, match="ML-DSA-65"):
        verifier.finish()
    clock.time = datetime.now(UTC)
    second = Log(own.ensure("log", LOG_SUITES), clock=clock)
    second.last = first.last
    second.sign(requests(range(3, 5)))
    verifier = LogVerifier(own.public(), every_signature=True)
    for record in [*first.records, *second.records]:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    assert verifier.finish().signatures == 2
