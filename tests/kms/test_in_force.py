"""Rotation while logs are written: nothing is lost, everything verifies, and old keys sign nothing more."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Event

import pytest
from kms_events import requests

from kms import in_force
from kms.algorithms import LOG_SUITES
from kms.errors import KeyRingError, MissingSuite, OutOfForce
from kms.in_force import KeysInForce
from kms.keyring import KeyRing
from kms.keys import LOG_USE, SLACK, LogRange
from kms.note import Checkpoint, read_note, sign_note, verify_note
from kms.signing import LogSigner
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas.manifests import LogCheckpoint
from schemas.record import now

SUITES = LOG_SUITES


class Clocks:
    """The clock of the room, which a test moves, and a monotonic one that goes with it."""

    def __init__(self, monkeypatch):
        self.ahead = timedelta()
        for module in ("kms.in_force", "kms.keyring"):
            monkeypatch.setattr(f"{module}.now", self.now)
        monkeypatch.setattr(in_force.time, "monotonic", lambda: self._real() + self.ahead.total_seconds())

    _real = staticmethod(time.monotonic)

    def now(self):
        return now() + self.ahead

    def go(self, seconds):
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch):
    return Clocks(monkeypatch)


@pytest.fixture
def fresh(token, tmp_path):
    return KeyRing.open(tmp_path / "keys.db", token)


class Writer:
    """A signer of two partitions, as the agent wires it."""

    def __init__(self, ring, clock):
        self.heads, self.records, self.published, self.count = {}, [], [], 0
        self.keys = KeysInForce(ring, LOG_USE, SUITES, lambda: list(self.heads.values()), self.published.append)
        self.signer = LogSigner(self.keys, "test.example", self.heads.get, clock=clock.now)

    def write(self, partition=0, leaves=3):
        made = self.signer.sign(partition, requests(range(self.count, self.count + leaves)))
        self.count += leaves
        self.records += made
        self.heads[partition] = made[-1]
        return made[-1]


def verify(records, trust, **how):
    verifier = LogVerifier(trust, every_signature=True, **how)
    for record in records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    return verifier.finish()


def versions(keys):
    return [key.public.version for key in keys]


def test_a_rotation_takes_effect_without_a_restart_and_all_of_it_verifies(fresh, clock):
    writer = Writer(fresh, clock)
    for _ in range(3):
        writer.write()
    KeyRing.open(fresh.store.path, fresh._token).rotate(LOG_USE, "ML-DSA-65")
    writer.write()
    assert versions(writer.keys()) == [1, 1]
    clock.go(3)
    for partition in (0, 1, 0, 1):
        writer.write(partition)
    assert versions(writer.keys()) == [1, 2]
    assert verify(writer.records, fresh.public()).manifests == writer.count
    assert verify(writer.records, writer.published[-1]).manifests == writer.count
    assert [key.version for key in fresh.public().keys if key.state == "active"] == [1, 2]
    [(old, state)] = [(key.version, key.state) for key in fresh.public().keys if key.state != "active"]
    assert (old, state) == (1, "verify-only")


def test_a_trust_root_of_before_the_switch_already_knows_the_new_key(fresh, clock):
    writer = Writer(fresh, clock)
    writer.write()
    fresh.rotate(LOG_USE, "ECDSA-P384")
    trust = fresh.public()
    clock.go(3)
    writer.write()
    assert versions(writer.keys()) == [2, 1]
    verify(writer.records, trust)


def test_rotations_in_a_row_while_batches_are_signed(fresh, clock):
    writer = Writer(fresh, clock)
    for at in range(8):
        fresh.rotate(LOG_USE, SUITES[at % 2])
        for _ in range(4):
            writer.write(at % 2)
            clock.go(0.9)
    assert versions(writer.keys()) == [5, 5]
    assert verify(writer.records, fresh.public()).manifests == writer.count


def test_the_ring_is_looked_at_once_a_second_only(fresh, clock, monkeypatch):
    looks = []
    monkeypatch.setattr(fresh, "revision", lambda of=fresh.revision: looks.append(1) or of())
    monkeypatch.setattr(in_force.time, "monotonic", lambda: 1000.0 + clock.ahead.total_seconds())
    keys = KeysInForce(fresh, LOG_USE, SUITES)
    for _ in range(1000):
        keys()
    assert len(looks) == 1
    clock.go(1)
    keys()
    assert len(looks) == 2


def test_signing_goes_on_while_uses_are_noted(fresh, clock, monkeypatch):
    keys = KeysInForce(fresh, LOG_USE, SUITES)
    for key in keys():
        key.sign(b"a checkpoint")
    noting, go_on = Event(), Event()
    monkeypatch.setattr(fresh, "count", lambda used, of=fresh.count: (noting.set(), go_on.wait(20), of(used)))
    clock.go(in_force.NOTE_SECONDS + 1)
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(keys)
        try:
            assert noting.wait(20)
            assert pool.submit(keys).result(5) == keys()
            assert not slow.done()
        finally:
            go_on.set()
    assert [entry.uses for entry in fresh.entries()] == [1, 1]


def forged(keys, head, **changes):
    """What a thief of keys signs: a checkpoint of another size or time."""
    said = read_note(head.note).checkpoint
    return read_note(sign_note(replace(said, **changes), keys))


def test_a_retired_key_signs_nothing_more_by_time_or_by_place(fresh, clock):
    writer = Writer(fresh, clock)
    stolen = fresh.ensure(LOG_USE, SUITES)
    writer.write()
    for suite in SUITES:
        fresh.rotate(LOG_USE, suite)
    clock.go(3)
    head = writer.write()
    later = clock.now() + SLACK + timedelta(seconds=5)
    verify_note(forged(stolen, head), fresh.public())
    with pytest.raises(OutOfForce, match="in force until"):
        verify_note(forged(stolen, head, signed_at=later), fresh.public())
    clock.go(2 * SLACK.total_seconds())
    ended = writer.write()
    clock.go(11)
    writer.write()
    trust = fresh.public()
    for key in trust.keys:
        assert [part.last for part in key.ranges] == ([ended.tree_size] if key.state == "verify-only" else [None])
    backdated = forged(stolen, head, size=ended.tree_size + 1)
    with pytest.raises(OutOfForce, match=f"signed at size {ended.tree_size + 1}"):
        verify_note(backdated, trust)
    verify(writer.records, trust)


def test_a_new_key_signs_nothing_before_its_time_or_place(fresh, clock):
    writer = Writer(fresh, clock)
    old = writer.write()
    fresh.rotate(LOG_USE, "ML-DSA-65")
    fresh.rotate(LOG_USE, "ECDSA-P384")
    clock.go(3)
    writer.write()
    new = writer.keys()
    with pytest.raises(OutOfForce, match="sizes 3 to now only"):
        verify_note(forged(new, old, size=2), fresh.public())
    with pytest.raises(OutOfForce, match="in force from"):
        verify_note(forged(new, old, signed_at=old.signed_at - 2 * SLACK), fresh.public())


def test_a_revoked_key_is_replaced_at_once_and_counts_no_more(fresh, clock):
    writer = Writer(fresh, clock)
    first = writer.write()
    stolen = next(key for key in fresh.public().keys if key.algorithm == "ECDSA-P384")
    fresh.change(stolen.kid, "revoke")
    clock.go(1)
    head = writer.write()
    assert versions(writer.keys()) == [2, 1]
    trust = fresh.public()
    verify_note(read_note(head.note), trust)
    with pytest.raises(MissingSuite, match="ECDSA-P384"):
        verify_note(read_note(first.note), trust)
    verifier = LogVerifier(trust)  # the newest checkpoint covers what the revoked key had signed
    for record in writer.records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    assert verifier.finish().manifests == writer.count


def test_a_silent_log_is_signed_anew_when_a_key_was_revoked(fresh, clock):
    writer = Writer(fresh, clock)
    writer.write()
    assert writer.signer.heartbeat(0) == []
    fresh.change(f"{LOG_USE}/ML-DSA-65/1", "revoke")
    clock.go(1)
    with pytest.raises(MissingSuite):
        verify_note(read_note(writer.heads[0].note), fresh.public())
    [writer.heads[0]] = writer.signer.heartbeat(0)
    verify_note(read_note(writer.heads[0].note), fresh.public())
    assert (writer.heads[0].heartbeat, writer.heads[0].tree_size) == (True, 3)
    assert writer.signer.heartbeat(0) == []


def test_a_version_that_begins_while_keys_are_read_is_not_missed(fresh, clock, monkeypatch):
    keys = KeysInForce(fresh, LOG_USE, SUITES)
    keys()
    fresh.rotate(LOG_USE, "ML-DSA-65")
    ensure = fresh.ensure

    def slowly(*what):
        found = ensure(*what)
        clock.go(5)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(fresh, "ensure", slowly)
        clock.go(1)
        assert versions(keys()) == [1, 1]
    clock.go(1)
    assert versions(keys()) == [1, 2]


def test_uses_are_counted(fresh, clock):
    writer = Writer(fresh, clock)
    for _ in range(5):
        writer.write()
    clock.go(11)
    writer.write()
    clock.go(11)
    writer.keys()
    assert [entry.uses for entry in fresh.entries()] == [6, 6]


def test_signing_goes_on_while_the_ring_is_away_but_not_for_ever(fresh, clock, monkeypatch):
    writer = Writer(fresh, clock)
    writer.write()

    def away():
        raise KeyRingError("the key ring does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(fresh, "revision", away)
        for _ in range(5):
            clock.go(30)
            writer.write()
        clock.go(in_force.BLIND_SECONDS)
        with pytest.raises(KeyRingError, match="does not answer"):
            writer.write()
    clock.go(30)
    writer.write()


def test_a_ring_that_was_never_seen_gives_no_keys(fresh, monkeypatch):
    def away():
        raise KeyRingError("away")

    monkeypatch.setattr(fresh, "revision", away)
    with pytest.raises(KeyRingError):
        KeysInForce(fresh, LOG_USE, SUITES)()


def test_a_trust_root_that_cannot_be_written_does_not_stop_the_signer(fresh, caplog):
    def full(_):
        raise OSError("disk full")

    assert len(KeysInForce(fresh, LOG_USE, SUITES, publish=full)()) == 2
    assert "disk full" in caplog.text


def test_places_in_logs_go_through_the_trust_roots_file(fresh, tmp_path):
    [key, _] = fresh.ensure(LOG_USE, SUITES)
    fresh.limit([(key.public.kid, LogRange("test.example/0", 5)), (key.public.kid, LogRange("test.example/1", 0, 7))])
    fresh.limit([(key.public.kid, LogRange("test.example/0", 9, 12)), (key.public.kid, LogRange("test.example/1", 0, 99))])
    fresh.public().save(tmp_path / "trust.json")
    [read] = [found for found in TrustRoot.load(tmp_path / "trust.json").keys if found.kid == key.public.kid]
    assert read.ranges == (LogRange("test.example/0", 5, 12), LogRange("test.example/1", 0, 7))
    assert read == fresh.key(key.public.kid)


ROTATE_IN_PROCESS = """
import pathlib, sys
from kms.keyring import KeyRing
from kms.token import open_token
module, folder, ring = map(pathlib.Path, sys.argv[1:])
token = open_token(module, "tests", (folder / "pin").read_text(), folder)
for name in ("ECDSA-P384", "ML-DSA-65"):
    print(KeyRing.open(ring, token).rotate("log", name).version)
"""


def test_another_process_rotates_and_this_one_signs_with_keys_that_it_did_not_make(fresh, provisioned, clock):
    """A token's module must see objects that another process wrote after it had logged in."""
    writer = Writer(fresh, clock)
    writer.write()
    command = [sys.executable, "-c", ROTATE_IN_PROCESS, str(provisioned.module), str(provisioned.folder), str(fresh.store.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["2", "2"], "")
    clock.go(3)
    writer.write()
    assert versions(writer.keys()) == [2, 2]
    verify(writer.records, fresh.public())


def test_threads_that_ask_at_once_get_keys_of_one_time(fresh, clock):
    keys = KeysInForce(fresh, LOG_USE, SUITES)
    text = Checkpoint("test.example/0", 0, bytes(32), SUITES, now())

    def sign(number):
        if number == 20:
            fresh.rotate(LOG_USE, "ML-DSA-65")
        if number > 20:
            clock.go(0.5)
        return sign_note(text, keys())

    with ThreadPoolExecutor(4) as pool:
        notes = list(pool.map(sign, range(40)))
    for note in notes:
        verify_note(read_note(note), fresh.public())
    assert versions(keys()) == [1, 2]
