"""From classical to dual to post-quantum: what each step asks for, and that it may be interrupted, repeated and taken back."""

import json
from datetime import timedelta

import pytest
from kms_events import requests

from kms import epochs, in_force, migration
from kms.epoch_memory import Memory
from kms.epoch_ring import read_policy
from kms.epochs import CLASSICAL, DUAL, PHASES, POST_QUANTUM
from kms.errors import MissingSuite, NotReady, PolicyRollback, WeakerPolicy
from kms.in_force import KeysInForce
from kms.keyring import KeyRing
from kms.keys import LOG_USE
from kms.migration import advance, announce, begin, current, retire, rollback, standing, start
from kms.note import read_note, verify_note
from kms.signing import LogSigner
from kms.verification import LogVerifier
from schemas.manifests import LogCheckpoint
from schemas.record import now


class System:
    """A key ring on a real token, a signer of two partitions and a verifier; time goes as a test says."""

    def __init__(self, token, folder, monkeypatch):
        self.ahead = timedelta()
        for module in ("kms.in_force", "kms.keyring", "kms.migration"):
            monkeypatch.setattr(f"{module}.now", self.now)
        monkeypatch.setattr(in_force, "LOOK_SECONDS", 0.0)
        self.ring = KeyRing.open(folder / "keys.db", token)
        self.seen, self.heads, self.records, self.count = folder / "trust.seen.json", {}, [], 0
        self.keys = KeysInForce(self.ring, LOG_USE, epochs.PHASES[DUAL], lambda: list(self.heads.values()))
        self.signer = LogSigner(self.keys, "test.example", self.heads.get, clock=self.now, policy=self.keys.policy)

    def now(self):
        return now() + self.ahead

    def go(self, seconds=3):
        self.ahead += timedelta(seconds=seconds)

    def write(self, leaves=2):
        for partition in (0, 1):
            self._take(partition, self.signer.sign(partition, requests(range(self.count, self.count + leaves))))
            self.count += leaves

    def tick(self):
        self.go()
        for partition in (0, 1):
            self._take(partition, self.signer.heartbeat(partition))

    def _take(self, partition, made):
        self.records += made
        if made:
            self.heads[partition] = made[-1]

    def verify(self):
        trust = self.ring.public()
        verifier = LogVerifier(trust, every_signature=True)
        for record in self.records:
            (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
        report = verifier.finish()
        memory = Memory.load(self.seen)
        memory.check(trust.policy)
        memory.seen(trust.policy, {log: found.epoch for log, found in report.logs.items()}).save(self.seen)
        return report

    def stands(self, target=POST_QUANTUM):
        return standing(self.ring, target, [str(self.seen)], list(self.heads.values()))

    def step(self):
        """Verify, advance, and the signers take it up."""
        self.verify()
        epoch = advance(self.ring, self.stands())
        self.tick()
        return epoch

    def suites(self):
        return {read_note(head.note).checkpoint.suites for head in self.heads.values()}


@pytest.fixture
def system(token, tmp_path, monkeypatch):
    system = System(token, tmp_path, monkeypatch)
    begin(system.ring, PHASES[CLASSICAL], None)
    system.write()
    return system


def test_a_system_goes_all_the_way_while_it_writes_and_everything_verifies(system):
    assert system.suites() == {("ECDSA-P384",)}
    start(system.ring, POST_QUANTUM, [system.seen])
    assert system.step().phase == DUAL
    system.write()
    assert system.suites() == {("ECDSA-P384", "ML-DSA-65")}
    assert system.step().phase == POST_QUANTUM
    system.write()
    assert system.suites() == {("ML-DSA-65",)}
    report = system.verify()
    assert report.manifests == system.count + 4 and {log.epoch for log in report.logs.values()} == {3}
    assert retire(system.ring, system.stands()) == ["log/ECDSA-P384/1"]
    assert retire(system.ring, system.stands()) == []
    system.write()
    assert system.verify().errors == ()


def test_each_step_waits_for_keys_signers_and_verifiers(system):
    with pytest.raises(NotReady, match="no active ML-DSA-65 key for logs"):
        advance(system.ring, system.stands())
    start(system.ring, POST_QUANTUM, [system.seen])
    with pytest.raises(NotReady, match=r"trust\.seen\.json has not seen epoch 1"):
        advance(system.ring, system.stands())
    system.verify()
    advance(system.ring, system.stands())
    with pytest.raises(NotReady, match="epoch 2 begins at"):
        advance(system.ring, system.stands())
    system.go()
    with pytest.raises(NotReady, match=r"test.example/0, test.example/1 not signed under epoch 2"):
        advance(system.ring, system.stands())
    system.tick()
    with pytest.raises(NotReady, match="has not seen epoch 2"):
        advance(system.ring, system.stands())
    with pytest.raises(NotReady, match="the logs cannot be read"):
        advance(system.ring, standing(system.ring, POST_QUANTUM, [], None))
    with pytest.raises(NotReady, match="start the signer"):
        advance(system.ring, standing(system.ring, POST_QUANTUM, [], []))
    with pytest.raises(NotReady):
        retire(system.ring, system.stands())


def test_starting_again_changes_nothing_and_another_target_is_refused(system):
    first = start(system.ring, POST_QUANTUM, [system.seen])
    keys = {entry.public.kid for entry in system.ring.entries()}
    assert start(system.ring, POST_QUANTUM, [system.seen]) == first == current(system.ring.store)
    assert {entry.public.kid for entry in system.ring.entries()} == keys
    with pytest.raises(NotReady, match="under way"):
        start(system.ring, DUAL, [system.seen])
    assert system.step() and system.step()
    with pytest.raises(NotReady, match="nothing to migrate"):
        start(system.ring, POST_QUANTUM, [system.seen])
    with pytest.raises(NotReady, match="the target is reached"):
        advance(system.ring, system.stands())


def test_what_is_announced_already_is_not_announced_again(system):
    made = announce(system.ring, PHASES[DUAL])
    assert announce(system.ring, PHASES[DUAL]) == made
    assert len(read_policy(system.ring.store).epochs) == 2


def test_post_quantum_is_rolled_back_to_dual_and_no_further(system):
    start(system.ring, POST_QUANTUM, [system.seen])
    system.step()
    system.step()
    retire(system.ring, [system.verify(), system.stands()][1])
    assert rollback(system.ring).phase == DUAL
    system.tick()
    system.write()
    assert system.suites() == {("ECDSA-P384", "ML-DSA-65")}
    assert {log.epoch for log in system.verify().logs.values()} == {4}
    with pytest.raises(WeakerPolicy, match="never goes backwards"):
        rollback(system.ring)
    assert system.step().phase == POST_QUANTUM


def test_an_epoch_that_has_not_begun_is_withdrawn_even_to_classical(system):
    announce(system.ring, PHASES[DUAL], begins=system.now() + timedelta(hours=1))
    assert rollback(system.ring).phase == CLASSICAL
    system.tick()
    system.go(7200)
    system.write()
    assert system.suites() == {("ECDSA-P384",)} and system.verify().errors == ()


def test_a_first_policy_is_for_systems_that_signed_nothing(system, token, tmp_path):
    with pytest.raises(NotReady, match="signed nothing yet"):
        begin(system.ring, PHASES[CLASSICAL], list(system.heads.values()))
    other = KeyRing.open(tmp_path / "other.db", token)
    with pytest.raises(NotReady, match="signed nothing yet"):
        begin(other, PHASES[CLASSICAL], list(system.heads.values()))


def test_an_older_trust_root_is_refused_by_a_verifier_that_saw_the_newer(system):
    old = system.ring.public()
    start(system.ring, POST_QUANTUM, [system.seen])
    system.step()
    system.verify()
    with pytest.raises(PolicyRollback, match="epoch 2 was seen"):
        Memory.load(system.seen).check(old.policy)


def test_each_signature_of_the_dual_phase_is_needed(system):
    start(system.ring, POST_QUANTUM, [system.seen])
    system.step()
    note = read_note(system.heads[0].note)
    verify_note(note, system.ring.public())
    for line in note.lines:
        with pytest.raises(MissingSuite):
            verify_note(
                type(note)(note.checkpoint, note.text, tuple(each for each in note.lines if each != line)), system.ring.public()
            )


def test_the_migration_stands_in_the_ring_for_the_next_process(system, tmp_path):
    begun = start(system.ring, POST_QUANTUM, [system.seen])
    again = KeyRing.open(tmp_path / "keys.db")
    assert current(again.store) == begun and json.loads(json.dumps(begun.verifiers))
    assert migration.standing(again, POST_QUANTUM, begun.verifiers, list(system.heads.values())).following == DUAL
