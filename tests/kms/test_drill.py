"""What can be forged when an algorithm breaks, and that nothing can after the response."""

import pytest
from test_migration import System

from kms.drill import FORGED_ROOT, attempts, forgeries, replacement, respond, stands
from kms.epoch_memory import Memory
from kms.epochs import CLASSICAL, DUAL, PHASES, POST_QUANTUM, first
from kms.errors import BrokenAlgorithm, NotReady
from kms.migration import announce, begin
from kms.note import verify_note


@pytest.fixture
def system(token, tmp_path, monkeypatch):
    return System(token, tmp_path, monkeypatch)


def tried(system, made):
    return {one.how: one.refused for one in attempts(made, system.ring.public(), Memory.load(system.seen))}


@pytest.mark.parametrize(("broken", "left"), [("ECDSA-P384", "ML-DSA-65"), ("ML-DSA-65", "ECDSA-P384")])
def test_dual_signatures_survive_either_algorithm_and_logs_are_signed_anew(system, broken, left):
    system.write()
    made = forgeries(system.ring, broken, system.heads[0])
    assert all(forged.note.checkpoint.root == FORGED_ROOT for forged in made)
    expected = {"alone": "MissingSuite", "stripped": "MissingSuite", "grafted": "WrongSignature"}
    assert tried(system, made) == expected
    assert [one.by for one in stands(list(system.heads.values()), broken)] == [(left,), (left,)]
    epoch, revoked = respond(system.ring, broken)
    assert revoked == [f"log/{broken}/1"] and broken not in epoch.required and epoch.phase != CLASSICAL
    system.tick()
    assert all(broken not in suites for suites in system.suites())
    assert all(tried(system, made).values())
    assert not any(entry.public.state == "active" for entry in system.ring.entries() if entry.public.algorithm == broken)
    system.write()
    assert {log.epoch for log in system.verify().logs.values()} == {2}
    assert respond(system.ring, broken) == (epoch, [])


def test_a_classical_log_is_forged_at_will_until_it_is_signed_anew(system):
    begin(system.ring, PHASES[CLASSICAL], None)
    system.write()
    made = forgeries(system.ring, "ECDSA-P384", system.heads[0])
    assert not any(tried(system, made).values())
    respond(system.ring, "ECDSA-P384")
    system.tick()
    assert all(tried(system, made).values())
    with pytest.raises(BrokenAlgorithm):
        verify_note(made[0].note, system.ring.public())
    assert system.suites() == {("ML-DSA-65",)}


def test_the_old_policy_is_forged_before_those_who_do_not_remember_alone(system):
    begin(system.ring, PHASES[CLASSICAL], None)
    system.write()
    announce(system.ring, PHASES[DUAL])
    system.tick()
    made = forgeries(system.ring, "ECDSA-P384", system.heads[0])
    unseen = tried(system, made)
    assert unseen.pop("dated back") == "" and unseen.pop("old policy") == ""
    assert all(unseen.values())
    system.verify()
    assert tried(system, made)["dated back"] == tried(system, made)["old policy"] == "PolicyRollback"


def test_there_is_nothing_to_forge_with_where_no_key_of_the_algorithm_signs(system):
    system.write()
    assert forgeries(system.ring, "RSA-3072-PSS", system.heads[0]) == []


@pytest.mark.parametrize(
    ("phase", "broken", "already", "required"),
    [
        (DUAL, "ECDSA-P384", (), ("ML-DSA-65",)),
        (DUAL, "ML-DSA-65", (), ("ECDSA-P384", "SLH-DSA-SHA2-128f")),
        (CLASSICAL, "ECDSA-P384", (), ("ML-DSA-65",)),
        (POST_QUANTUM, "ML-DSA-65", (), ("ECDSA-P384", "SLH-DSA-SHA2-128f")),
        (POST_QUANTUM, "ML-DSA-65", ("ECDSA-P384",), ("SLH-DSA-SHA2-128f",)),
        (DUAL, "Ed25519", (), ("ECDSA-P384", "ML-DSA-65")),
    ],
)
def test_what_takes_the_place_of_a_broken_algorithm(phase, broken, already, required):
    assert replacement(first(PHASES[phase]).newest, broken, already) == required


def test_when_nothing_is_left_it_says_what_to_do():
    with pytest.raises(NotReady, match="write a policy"):
        replacement(first(PHASES[POST_QUANTUM]).newest, "ML-DSA-65", ("ECDSA-P384", "SLH-DSA-SHA2-128f"))
