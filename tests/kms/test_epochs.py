"""Policies by epoch: they never go backwards, logs go over to them, and verifiers judge each checkpoint by its epoch."""

import json
from datetime import timedelta

import pytest
from kms_events import Clock, requests, software_keys, trusting

from kms.epoch_leaf import EPOCH_TOPIC, epoch_manifest
from kms.epoch_memory import Memory, beside
from kms.epoch_ring import read_policy, write_policy
from kms.epochs import ALWAYS, CLASSICAL, DUAL, GRACE, PHASES, POST_QUANTUM, Policy, first, read_epoch
from kms.errors import (
    BrokenAlgorithm,
    ExpiredPolicy,
    KeyRingError,
    MalformedPolicy,
    MissingSuite,
    NotAllowed,
    OutOfForce,
    PolicyExpired,
    PolicyRollback,
    UnknownAlgorithm,
    UnknownEpoch,
    WeakerPolicy,
    WrongEpoch,
)
from kms.keyring import KeyRing
from kms.note import Checkpoint, read_note, sign_note, verify_note
from kms.signing import LogSigner
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas.manifests import LogCheckpoint
from schemas.record import now

KEYS = software_keys()
BY_SUITE = {key.public.algorithm: key for key in KEYS}
START = Clock()()


def at(hours):
    return START + timedelta(hours=hours)


def migrated():
    """Classical, then dual after an hour, then post-quantum after two."""
    return first(PHASES[CLASSICAL]).following(PHASES[DUAL], at(1)).following(PHASES[POST_QUANTUM], at(2))


def believing(policy, keys=KEYS):
    return trusting(keys, required_suites=policy.newest.required, epochs=policy.epochs)


class Log:
    """A log whose time and policy a test moves."""

    def __init__(self, policy, keys=KEYS):
        self.policy, self.time, self.records, self.count, self.keys = policy, START, [], 0, keys
        self.signer = LogSigner(
            lambda: self.keys, "test.example", lambda _: self.last, clock=lambda: self.time, policy=lambda: self.policy
        )

    @property
    def heads(self):
        return [record for record in self.records if isinstance(record, LogCheckpoint)]

    @property
    def last(self):
        return self.heads[-1] if self.heads else None

    def write(self, hours, leaves=3):
        self.time = at(hours)
        self.records += self.signer.sign(0, requests(range(self.count, self.count + leaves)))
        self.count += leaves
        return self.last

    def beat(self, hours):
        self.time = at(hours)
        self.records += self.signer.heartbeat(0)
        return self.last


@pytest.fixture
def log():
    """A log through a whole migration."""
    log = Log(migrated())
    for hours in (0, 0.5, 1.1, 1.5):
        log.write(hours)
    log.beat(2.1)
    log.write(2.2)
    return log


def verify(records, trust, **how):
    verifier = LogVerifier(trust, **how)
    for record in records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    return verifier.finish()


@pytest.mark.parametrize("every_signature", [False, True])
def test_a_log_goes_from_classical_to_post_quantum_and_all_of_it_verifies(log, every_signature):
    report = verify(log.records, believing(log.policy), every_signature=every_signature)
    assert report.errors == () and report.manifests == log.count + 2
    assert report.logs["test.example/0"].epoch == 3
    suites = [read_note(head.note).checkpoint.suites for head in log.heads]
    classical, dual, post_quantum = ("ECDSA-P384",), ("ECDSA-P384", "ML-DSA-65"), ("ML-DSA-65",)
    assert suites == [classical, classical, dual, dual, dual, post_quantum]  # the fifth goes over, signed under both
    announced = [record for record in log.records if getattr(record, "event_topic", "") == EPOCH_TOPIC]
    assert [read_epoch(json.loads(record.payload)["predicate"]).number for record in announced] == [2, 3]


def test_a_log_that_slept_through_an_epoch_goes_over_at_once(log):
    sleeper = Log(migrated())
    sleeper.write(0)
    sleeper.write(3)
    assert verify(sleeper.records, believing(sleeper.policy)).logs["test.example/0"].epoch == 3


def test_a_stripped_signature_is_missed_in_every_epoch(log):
    trust = believing(log.policy)
    for head in log.heads:
        text, _, below = head.note.rpartition("\n\n")
        lines = below.splitlines(keepends=True)
        for left_out in range(len(lines)):
            kept = "".join(line for place, line in enumerate(lines) if place != left_out)
            with pytest.raises((MissingSuite, ValueError)):
                verify_note(read_note(f"{text}\n\n{kept}" if kept else f"{text}\n\n— x AAAA\n"), trust)


def forged(suites, hours, epoch, size=5, keys=None):
    note = Checkpoint("test.example/0", size, bytes(32), suites, at(hours), epoch)
    return read_note(sign_note(note, [BY_SUITE[suite] for suite in keys or suites]))


@pytest.mark.parametrize(
    ("suites", "hours", "epoch", "error"),
    [
        (("ECDSA-P384",), 3, 3, MissingSuite),
        (("ECDSA-P384",), 3, 2, MissingSuite),
        (("ECDSA-P384",), 3, 1, PolicyRollback),
        (("ECDSA-P384",), 3, 0, PolicyRollback),
        (("ECDSA-P384", "ML-DSA-65"), 3, 2, PolicyRollback),
        (("ML-DSA-65",), 1.5, 3, OutOfForce),
        (("ML-DSA-65",), 3, 4, UnknownEpoch),
    ],
)
def test_a_checkpoint_under_another_epoch_than_that_of_its_time_is_refused(suites, hours, epoch, error):
    with pytest.raises(error):
        verify_note(forged(suites, hours, epoch), believing(migrated()))


def test_a_signer_that_is_a_little_late_is_believed():
    late = 1 + (GRACE / timedelta(hours=1)) * 0.9
    verify_note(forged(("ECDSA-P384",), late, 1), believing(migrated()))


def test_an_algorithm_that_an_epoch_does_not_allow_is_refused():
    policy = first(PHASES[DUAL]).following(PHASES[POST_QUANTUM], at(1)).following(PHASES[POST_QUANTUM], at(2))
    with pytest.raises(NotAllowed, match="ECDSA-P384"):
        verify_note(forged(("ML-DSA-65", "ECDSA-P384"), 3, 3), believing(policy))


class TestBroken:
    """ECDSA-P384 is broken after three hours."""

    @pytest.fixture
    def policy(self):
        return first(PHASES[CLASSICAL]).following(PHASES[DUAL], at(1)).following(PHASES[POST_QUANTUM], at(3), broken=["ECDSA-P384"])

    def test_what_it_alone_signed_proves_nothing_any_more(self, policy):
        verify_note(forged(("ECDSA-P384",), 0, 1), believing(first(PHASES[CLASSICAL])))
        with pytest.raises(BrokenAlgorithm, match="later checkpoint"):
            verify_note(forged(("ECDSA-P384",), 0, 1), believing(policy))

    def test_what_another_signed_too_stands_by_that(self, policy):
        verify_note(forged(("ECDSA-P384", "ML-DSA-65"), 2, 2, keys=["ML-DSA-65"]), believing(policy))
        with pytest.raises(MissingSuite):
            verify_note(forged(("ECDSA-P384", "ML-DSA-65"), 2, 2, keys=["ECDSA-P384"]), believing(policy))

    def test_a_new_checkpoint_lets_the_whole_log_stand_again(self, policy):
        log = Log(Policy(policy.epochs[:1]))
        log.write(0)
        log.policy = policy
        log.keys = [BY_SUITE["ML-DSA-65"]]
        with pytest.raises(BrokenAlgorithm):
            verify(log.records, believing(policy))
        log.beat(3.1)
        assert verify(log.records, believing(policy)).logs["test.example/0"].epoch == 3
        assert read_note(log.last.note).checkpoint.suites == ("ML-DSA-65",)

    def test_it_never_becomes_whole_again(self, policy):
        assert policy.following(PHASES[POST_QUANTUM], at(4)).broken == {"ECDSA-P384"}
        healed = json.loads(json.dumps(policy.newest.document))
        healed |= {"number": 4, "broken": [], "previous": policy.newest.digest.hex()}
        with pytest.raises(WeakerPolicy, match="trusts ECDSA-P384 again"):
            Policy((*policy.epochs, read_epoch(healed)))
        with pytest.raises(MalformedPolicy, match="calls broken"):
            policy.following(PHASES[DUAL], at(4), allowed=PHASES[DUAL])


class TestLogsGoOver:
    def test_a_change_without_its_leaf_is_found(self, log):
        signer = Log(Policy(migrated().epochs[:1]))
        signer.write(0)
        bare = Log(first(PHASES[DUAL]))
        bare.records = list(signer.records)
        bare.count = signer.count
        bare.signer._crossing = lambda _: type(
            "Now", (), {"epoch": migrated().epoch(2), "before": None, "anchored": None, "suites": dual}
        )()
        bare.write(1.1)
        with pytest.raises(WrongEpoch, match="no leaf of the log says so"):
            verify(bare.records, believing(migrated()))

    def test_a_change_that_is_signed_under_the_new_epoch_alone_is_found(self):
        log = Log(migrated())
        log.write(1.5)
        real = log.signer._crossing

        def alone(partition):
            crossing = real(partition)
            alone = {"epoch": crossing.epoch, "before": crossing.before, "anchored": None, "suites": lambda _, __: ("ML-DSA-65",)}
            return type("Now", (), alone)()

        log.signer._crossing = alone
        log.write(2.5)
        with pytest.raises(WrongEpoch, match="is not signed under epoch 2: ECDSA-P384"):
            verify(log.records, believing(migrated()))

    def test_a_change_to_another_policy_than_the_trust_root_s_is_found(self, log):
        other = first(PHASES[CLASSICAL]).following(PHASES[DUAL], at(1)).following(PHASES[POST_QUANTUM], at(2), expires=at(9999))
        with pytest.raises(WrongEpoch, match="another policy than the trust root's"):
            verify(log.records, believing(other))

    def test_a_leaf_that_announces_what_never_comes_is_found(self, log):
        written = Log(Policy(migrated().epochs[:1]))
        written.time = at(0)
        written.records += written.signer.sign(0, [epoch_manifest("test.example/0", migrated().epoch(2))])
        with pytest.raises(WrongEpoch, match="no checkpoint stands under it"):
            verify(written.records, believing(migrated()))

    def test_a_checkpoint_of_an_older_epoch_behind_a_newer_one_is_found(self, log):
        late = Log(Policy(migrated().epochs[:2]))
        late.records, late.count = [*log.records[:-4]], log.count - 3
        late.records = late.records[: -1 if not isinstance(late.records[-1], LogCheckpoint) else None]
        late.signer._crossing = lambda _: type(
            "Now", (), {"epoch": migrated().epoch(2), "before": None, "anchored": None, "suites": dual}
        )()
        late.write(2.05)
        with pytest.raises(PolicyRollback, match="stands under epoch 3"):
            verify(late.records, believing(migrated()))

    def test_a_ring_that_knows_less_than_the_log_signs_nothing(self, log):
        log.policy = Policy(migrated().epochs[:1])
        with pytest.raises(Exception, match="restore the current one"):
            log.write(2.5)


def dual(_self, _broken=None):
    return PHASES[DUAL]


class TestExpiry:
    POLICY = first(PHASES[DUAL], expires=at(5))

    def test_nothing_is_signed_under_an_expired_policy_until_it_is_renewed(self):
        log = Log(self.POLICY)
        log.write(4)
        with pytest.raises(PolicyExpired, match="quantumai crypto policy apply"):
            log.write(5)
        log.policy = self.POLICY.following(PHASES[DUAL], at(5.5), expires=at(50))
        assert verify([*log.records, *Log(log.policy).records], believing(log.policy)).errors == ()
        log.write(6)
        verify(log.records, believing(log.policy))

    def test_what_is_signed_under_one_is_refused(self):
        with pytest.raises(ExpiredPolicy, match="renew it"):
            verify_note(forged(PHASES[DUAL], 6, 1), believing(self.POLICY))


class TestPolicies:
    @pytest.mark.parametrize(
        ("phases", "possible"),
        [
            ((CLASSICAL, DUAL, POST_QUANTUM), True),
            ((CLASSICAL, POST_QUANTUM, DUAL), True),
            ((DUAL, DUAL), True),
            ((DUAL, CLASSICAL), False),
            ((POST_QUANTUM, CLASSICAL), False),
            ((CLASSICAL, DUAL, POST_QUANTUM, DUAL, CLASSICAL), False),
        ],
    )
    def test_protection_against_quantum_computers_is_never_given_up(self, phases, possible):
        policy = first(PHASES[phases[0]])
        for hours, phase in enumerate(phases[1:-1], 1):
            policy = policy.following(PHASES[phase], at(hours))
        if possible:
            assert policy.following(PHASES[phases[-1]], at(9)).newest.phase == phases[-1]
        else:
            with pytest.raises(WeakerPolicy, match="never goes backwards"):
                policy.following(PHASES[phases[-1]], at(9))

    def test_an_epoch_that_never_began_may_be_withdrawn(self):
        scheduled = first(PHASES[CLASSICAL]).following(PHASES[DUAL], at(10))
        withdrawn = scheduled.following(PHASES[CLASSICAL], at(1))
        assert withdrawn.at(at(20)).phase == CLASSICAL

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"requierd": []}, MalformedPolicy, "unknown fields requierd; known: number, required"),
            ({"required": ["ROT-13"]}, UnknownAlgorithm, "no signature algorithm 'ROT-13'"),
            ({"required": []}, MalformedPolicy, "requires no suite"),
            ({"required": "ML-DSA-65"}, MalformedPolicy, "a list of names"),
            ({"allowed": ["Ed25519"]}, MalformedPolicy, "does not allow it"),
            ({"broken": ["ML-DSA-65"]}, MalformedPolicy, "take it out of `allowed`"),
            ({"begins": "yesterday"}, MalformedPolicy, "cannot be read"),
            ({"begins": "2026-01-01T00:00:00"}, MalformedPolicy, "time zone"),
            ({"begins": "2026-01-01T00:00:00+00:00", "expires": "2025-01-01T00:00:00+00:00"}, MalformedPolicy, "expire after"),
            ({"number": 0}, MalformedPolicy, "number from 1 on"),
        ],
    )
    def test_a_policy_that_makes_no_sense_is_refused_by_name(self, change, error, message):
        with pytest.raises(error, match=message):
            read_epoch({**Policy().newest.document, **change})

    def test_a_policy_that_was_changed_afterwards_is_refused(self):
        epochs = migrated().epochs
        with pytest.raises(MalformedPolicy, match="epoch 2 of the policy is missing"):
            Policy((epochs[0], epochs[2]))
        with pytest.raises(MalformedPolicy, match="one of them was changed"):
            Policy((first(PHASES[DUAL]).newest, *epochs[1:]))

    def test_a_trust_root_goes_through_its_file_with_its_epochs(self, tmp_path):
        trust = believing(migrated())
        trust.save(tmp_path / "trust.json")
        assert TrustRoot.load(tmp_path / "trust.json") == trust
        document = json.loads((tmp_path / "trust.json").read_text())
        document["epochs"][1]["required"] = ["ECDSA-P384"]
        (tmp_path / "trust.json").write_text(json.dumps(document))
        with pytest.raises(MalformedPolicy, match="does not follow"):
            TrustRoot.load(tmp_path / "trust.json")


class TestMemory:
    def test_an_older_policy_than_the_one_remembered_is_refused(self, tmp_path):
        memory = Memory().seen(migrated(), {"test.example/0": 3})
        memory.save(beside(tmp_path / "trust.json"))
        memory = Memory.load(tmp_path / "trust.seen.json")
        memory.check(migrated())
        memory.check(migrated().following(PHASES[DUAL], at(3)))
        with pytest.raises(PolicyRollback, match="ends with epoch 2, and epoch 3 was seen"):
            memory.check(Policy(migrated().epochs[:2]))
        with pytest.raises(PolicyRollback, match="another than the one"):
            memory.check(Policy(migrated().epochs[:2]).following(PHASES[DUAL], at(2)))

    def test_a_log_that_ends_under_an_older_epoch_is_refused(self):
        memory = Memory().seen(migrated(), {"test.example/0": 3})
        memory.check_log("test.example/0", 3)
        memory.check_log("test.example/1", 1)
        with pytest.raises(PolicyRollback, match=r"test.example/0 ends under policy epoch 2"):
            memory.check_log("test.example/0", 2)

    def test_nothing_is_forgotten(self):
        memory = Memory().seen(migrated(), {"a": 3, "b": 1}).seen(migrated(), {"b": 2})
        assert memory.logs == {"a": 3, "b": 2}

    @pytest.mark.parametrize("text", ["", "{}", '{"format": 9}', "[]"])
    def test_a_damaged_memory_is_said(self, tmp_path, text):
        (tmp_path / "seen.json").write_text(text)
        with pytest.raises(MalformedPolicy, match="damaged"):
            Memory.load(tmp_path / "seen.json")


class TestRing:
    def test_epochs_are_added_and_never_changed(self, tmp_path):
        ring = KeyRing.open(tmp_path / "keys.db")
        assert read_policy(ring.store) == Policy() and ring.public().policy.newest.required == PHASES[DUAL]
        before = ring.revision()
        write_policy(ring.store, migrated())
        assert read_policy(ring.store) == migrated() and ring.revision() > before
        assert ring.public().policy == migrated()
        with pytest.raises(KeyRingError, match="changed meanwhile"):
            write_policy(ring.store, first(PHASES[DUAL]).following(PHASES[POST_QUANTUM], at(1)))

    def test_the_first_epoch_begins_before_everything(self):
        assert Policy().newest.begins == ALWAYS and Policy().at(now()).number == 1
