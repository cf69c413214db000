"""The key ring in both of its stores: SQLite, and a PostgreSQL that really runs."""

import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from datetime import timedelta

import postgres
import pytest
from soft_token import SoftToken

from kms import epochs, keyring
from kms.epoch_ring import read_policy, write_policy
from kms.epochs import DUAL, FIRST, PHASES, POST_QUANTUM
from kms.errors import KeyRingError, NotInForce, UnknownKey, WrongTransition, WrongUse
from kms.keyring import NOTICE, KeyRing
from kms.migration import current, start
from kms.rotation import Policy, due, policies, set_policy
from schemas.record import now

SIGNING, KEM = "ML-DSA-44", "ML-KEM-768"


@pytest.fixture(scope="module")
def database():
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.temporary() as make:
        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    return str(tmp_path / "keys.db") if request.param == "sqlite" else request.getfixturevalue("database")()


@pytest.fixture
def ring(place):
    return KeyRing.open(place, SoftToken())


class Clock:
    def __init__(self, monkeypatch):
        self.ahead = timedelta()
        monkeypatch.setattr(keyring, "now", self.now)
        monkeypatch.setattr("kms.rotation.now", self.now)

    def now(self):
        return now() + self.ahead


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def states(ring, use="log", name=SIGNING):
    return [entry.public.state for entry in ring.entries() if (entry.public.use, entry.public.algorithm) == (use, name)]


def test_the_first_version_is_active_at_once_and_others_wait(ring, clock):
    assert ring.create("log", SIGNING).state == "active"
    second = ring.create("log", SIGNING)
    assert (second.version, second.state) == (2, "pre-active")
    assert ring.create("files", SIGNING).version == 1
    clock.ahead = timedelta(days=1000)
    assert states(ring) == ["active", "pre-active"]


def test_a_rotation_hands_over_at_one_moment(ring, clock):
    ring.create("log", SIGNING)
    ring.rotate("log", SIGNING)
    assert states(ring) == ["active", "pre-active"]
    old, new = (entry.public.life for entry in ring.entries())
    assert old.retires == new.activates
    for _ in range(3):
        clock.ahead = new.activates - now()
        assert states(ring).count("active") == 1
    clock.ahead = NOTICE + timedelta(seconds=1)
    assert states(ring) == ["verify-only", "active"]


def test_a_schedule_can_be_moved_and_the_old_key_stays_until_then(ring, clock):
    ring.create("log", SIGNING)
    kid = ring.rotate("log", SIGNING, now() + timedelta(hours=1)).kid
    moved = ring.schedule(kid, now() + timedelta(hours=5))
    clock.ahead = timedelta(hours=2)
    assert states(ring) == ["active", "pre-active"]
    clock.ahead = timedelta(hours=6)
    assert states(ring) == ["verify-only", "active"]
    assert ring.entries()[0].public.life.retires == moved.life.activates
    with pytest.raises(WrongTransition, match="that is active cannot be scheduled"):
        ring.schedule(kid, clock.now() + timedelta(hours=1))


def test_times_that_are_past_are_refused(ring):
    ring.create("log", SIGNING)
    with pytest.raises(WrongTransition, match="is past"):
        ring.rotate("log", SIGNING, now() - timedelta(seconds=1))
    waiting = ring.create("log", SIGNING)
    with pytest.raises(WrongTransition, match="is past"):
        ring.schedule(waiting.kid, now() - timedelta(seconds=1))
    assert states(ring) == ["active", "pre-active"]


def test_a_successor_that_is_revoked_before_its_time_replaces_nobody(ring, clock):
    ring.create("log", SIGNING)
    waiting = ring.rotate("log", SIGNING, now() + timedelta(hours=1))
    ring.change(waiting.kid, "revoke")
    clock.ahead = timedelta(hours=2)
    assert states(ring) == ["active", "revoked"]


def test_an_active_key_that_is_disabled_or_revoked_is_followed_by_a_new_one(ring):
    for transition in ("disable", "deprecate", "revoke"):
        [key] = ring.ensure("log", [SIGNING])
        ring.change(key.public.kid, transition)
        with pytest.raises(NotInForce, match="may not sign"):
            ring.sign(key.public.kid, b"data")
    assert ring.ensure("log", [SIGNING])[0].public.version == 4
    assert states(ring) == ["verify-only", "deprecated", "revoked", "active"]


def test_a_destroyed_key_is_gone_from_ring_and_token(ring):
    key = ring.create("log", SIGNING)
    ring.sign(key.kid, b"data")
    with pytest.raises(WrongTransition, match="disable it first"):
        ring.change(key.kid, "destroy")
    ring.change(key.kid, "disable")
    assert ring.change(key.kid, "destroy").state == "destroyed"
    assert ring._token.secrets == {}
    assert [found.kid for found in ring.public().verifying("log")] == [key.kid]


def test_of_a_destroyed_key_that_was_revoked_nothing_counts(ring):
    key = ring.create("log", SIGNING)
    ring.change(key.kid, "revoke")
    ring.change(key.kid, "destroy")
    assert ring.public().verifying("log") == []


def test_keys_are_found_by_name_and_by_the_beginning_of_it(ring):
    key, other = ring.create("log", SIGNING), ring.create("files", KEM)
    for name in (key.kid, key.kid[:8], f"log/{SIGNING}/1"):
        assert ring.key(name) == key
    assert ring.key(f"files/{KEM}/1") == other
    for name in (key.kid[:7], "log/ML-DSA-44/2", "", "%", "0" * 64):
        with pytest.raises(UnknownKey, match="kms keys"):
            ring.key(name)


def test_signatures_and_secrets_go_through_the_ring(ring, clock):
    key = ring.create("log", SIGNING)
    key.verify(ring.sign(key.kid, b"data"), b"data")
    kem = ring.create("files", KEM)
    ciphertext, secret = ring.encapsulate(kem.kid)
    assert ring.decapsulate(kem.kid, ciphertext) == secret
    ring.rotate("files", KEM)
    clock.ahead = timedelta(seconds=3)
    assert ring.decapsulate(kem.kid, ciphertext) == secret
    with pytest.raises(NotInForce, match="verify-only and may not encapsulate"):
        ring.encapsulate(kem.kid)
    ring.change(kem.kid, "revoke")
    with pytest.raises(NotInForce, match="may not decapsulate"):
        ring.decapsulate(kem.kid, ciphertext)
    assert {entry.public.label: entry.uses for entry in ring.entries()} == {
        f"log/{SIGNING}/1": 1,
        f"files/{KEM}/1": 2,
        f"files/{KEM}/2": 0,
    }


def test_only_signature_keys_are_in_the_trust_root(ring):
    ring.create("files", KEM)
    key = ring.create("log", SIGNING)
    assert ring.public().keys == (key,)


@pytest.mark.parametrize("use", ["", "Log", "a|b", "a/b", "-a", "a" * 65, "a\n"])
def test_what_is_no_name_of_a_use_is_refused(ring, use):
    with pytest.raises(WrongUse, match="no name of a use"):
        ring.create(use, SIGNING)


def test_every_change_moves_the_revision_and_counting_does_not(ring):
    seen = [ring.revision()]

    def moved():
        seen.append(ring.revision())
        return seen[-1] > seen[-2]

    key = ring.create("log", SIGNING)
    assert moved()
    ring.count({key.kid: 5})
    assert not moved()
    ring.change(key.kid, "disable")
    assert moved()
    waiting = ring.create("log", SIGNING)
    assert moved()
    ring.change(waiting.kid, "revoke")
    assert moved()


def test_what_fails_halfway_changes_nothing(ring, monkeypatch):
    key = ring.create("log", SIGNING)
    ring.change(key.kid, "disable")
    before = ring.entries(), ring.revision()

    def broken(_):
        raise KeyRingError("no")

    monkeypatch.setattr(ring._token, "destroy", broken)
    with pytest.raises(KeyRingError):
        ring.change(key.kid, "destroy")
    assert (ring.entries(), ring.revision()) == before


def process(place, pause=0.0):
    command = [sys.executable, "-m", "soft_token", place, str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="tests/kms")


def test_policy_epochs_are_kept_and_two_that_write_at_once_do_not_lose_one(ring, place):
    dual = epochs.Policy((FIRST,)).following(PHASES[DUAL], now())
    write_policy(ring.store, dual)
    with pytest.raises(KeyRingError, match="changed meanwhile"):
        write_policy(ring.store, epochs.Policy((FIRST,)).following(PHASES[POST_QUANTUM], now()))
    assert read_policy(KeyRing.open(place).store) == dual
    begun = start(ring, POST_QUANTUM, [])
    assert current(KeyRing.open(place).store) == begun


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))


def test_processes_at_once_make_one_key(place):
    KeyRing.open(place)
    running = [process(place, 0.3) for _ in range(3)]
    ended = [(*child.communicate(timeout=60), child.returncode) for child in running]
    assert [code for _, _, code in ended] == [0] * 3, ended
    assert len({out.split()[-1] for out, _, _ in ended}) == 1
    assert sum("generating" in out for out, _, _ in ended) == 1


def test_a_new_ring_is_made_by_one_of_many_processes(place):
    running = [process(place) for _ in range(3)]
    ended = [(*child.communicate(timeout=60), child.returncode) for child in running]
    assert [code for _, _, code in ended] == [0] * 3, ended
    assert len({out.split()[-1] for out, _, _ in ended}) == 1


def test_a_process_that_is_killed_while_it_makes_a_key_locks_nobody_out(place):
    ring = KeyRing.open(place, SoftToken())
    child = process(place, 60)
    assert child.stdout.readline() == "generating\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=10)
    started = time.monotonic()
    assert ring.ensure("log", [SIGNING])[0].public.version == 1
    assert time.monotonic() - started < 10


def test_policies_by_age_and_by_uses(ring, clock):
    for name in (SIGNING, KEM):
        ring.create("log", name)
    set_policy(ring, Policy("log", SIGNING, timedelta(days=90), None))
    set_policy(ring, Policy("log", KEM, timedelta(days=1), None))
    set_policy(ring, Policy("log", KEM, None, 3))
    assert policies(ring) == [Policy("log", SIGNING, timedelta(days=90), None), Policy("log", KEM, None, 3)]
    assert due(ring) == []
    clock.ahead = timedelta(days=90)
    [(key, why)] = due(ring)
    assert (key.algorithm, "longer than 90 days" in why) == (SIGNING, True)
    ring.count({ring.key(f"log/{KEM}/1").kid: 3})
    assert [(key.algorithm, why.startswith("used 3 times of 3")) for key, why in due(ring)][1:] == [(KEM, True)]
    for key, _ in due(ring):
        ring.rotate(key.use, key.algorithm)
    assert due(ring) == []
    clock.ahead += timedelta(seconds=5)
    assert due(ring) == []
    clock.ahead += timedelta(days=91)
    assert [key.version for key, _ in due(ring)] == [2]


FIRST_RING = """
CREATE TABLE keys (
    kid TEXT PRIMARY KEY, use TEXT NOT NULL, algorithm TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL,
    spki BLOB NOT NULL, object_id BLOB NOT NULL, sealed BLOB, token TEXT NOT NULL, created_at TEXT NOT NULL,
    UNIQUE (use, algorithm, version)
)
"""


def first_ring(path, token):
    """A ring as the first version of this program wrote it: one key of each state, the last one active."""
    keys = []
    with sqlite3.connect(path) as old:
        old.execute(FIRST_RING)
        for version, state in enumerate(("pre-active", "verify-only", "deprecated", "revoked", "active"), 1):
            made = token.generate(keyring.KeySpec("log", SIGNING, version))
            keys.append((made, state))
            row = (
                made.kid,
                "log",
                SIGNING,
                version,
                state,
                made.spki,
                made.object_id,
                b"sealed",
                "soft",
                "2026-01-02T03:04:05+00:00",
            )
            old.execute(f"INSERT INTO keys VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608
    old.close()
    return keys


def test_a_first_ring_is_upgraded_in_place_and_once(tmp_path):
    token, path = SoftToken(), tmp_path / "keys.db"
    keys = first_ring(path, token)
    ring = KeyRing.open(path, token)
    for (made, state), entry in zip(keys, ring.entries(), strict=True):
        assert (entry.public.kid, entry.public.spki, entry.public.state) == (made.kid, made.spki, state)
        assert (entry.inside.object_id, entry.inside.sealed, entry.token) == (made.object_id, b"sealed", "soft")
    assert KeyRing.open(path, token).entries() == ring.entries()
    assert ring.ensure("log", [SIGNING])[0].public.kid == keys[-1][0].kid
    assert ring.rotate("log", SIGNING).version == 6


def test_an_upgrade_that_fails_leaves_the_first_ring_as_it_was(tmp_path, monkeypatch):
    token, path = SoftToken(), tmp_path / "keys.db"
    keys = first_ring(path, token)
    with monkeypatch.context() as patch:
        patch.setattr("kms.ring_schema._FROM_1", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(KeyRingError, match="nowhere"):
            KeyRing.open(path, token)
    assert [entry.public.kid for entry in KeyRing.open(path, token).entries()] == [made.kid for made, _ in keys]


def test_a_program_of_before_makes_no_second_set_of_keys_in_a_new_ring(tmp_path):
    KeyRing.open(tmp_path / "keys.db")
    with sqlite3.connect(tmp_path / "keys.db") as old, pytest.raises(sqlite3.OperationalError):
        old.execute(
            "SELECT * FROM keys WHERE use = ? AND algorithm = ? AND state = 'active' ORDER BY version DESC", ("log", SIGNING)
        )
    old.close()


def test_a_ring_of_the_second_format_is_upgraded_in_place_and_its_keys_are_not_imported(ring, place):
    made = ring.create("log", SIGNING)
    with ring.store.transaction(write=True) as execute:
        execute("ALTER TABLE keys DROP COLUMN imported")
        execute("UPDATE ring SET value = 2 WHERE name = 'format'")
    [entry] = KeyRing.open(place, SoftToken()).entries()
    assert (entry.public.kid, entry.imported) == (made.kid, "")


def test_rings_of_a_newer_program_and_tables_of_others_are_refused(ring, place):
    with ring.store.transaction(write=True) as execute:
        execute("UPDATE ring SET value = 4 WHERE name = 'format'")
    with pytest.raises(KeyRingError, match="has the format 4, this version reads 3"):
        KeyRing.open(place)


def test_a_table_of_somebody_else_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "keys.db") as other:
        other.execute("CREATE TABLE keys (door TEXT)")
    other.close()
    with pytest.raises(KeyRingError, match="none of ours"):
        KeyRing.open(tmp_path / "keys.db")
    with sqlite3.connect(tmp_path / "keys.db") as other:
        assert [row[0] for row in other.execute("SELECT name FROM sqlite_master")] == ["keys"]
    other.close()


def test_a_ring_that_may_only_be_read_is_read(tmp_path):
    KeyRing.open(tmp_path / "keys.db", SoftToken()).create("log", SIGNING)
    uri = f"file:{tmp_path / 'keys.db'}?mode=ro"
    with sqlite3.connect(uri, uri=True) as only:  # what a reader's rights allow: no statement of `public` writes
        assert only.execute("SELECT count(*) FROM keys").fetchone() == (1,)
    only.close()
    (tmp_path / "keys.db").chmod(0o444)
    assert len(KeyRing.open(tmp_path / "keys.db").public().keys) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:canary%zz@127.0.0.1/ring",
        "postgresql://me:canary@127.0.0.1:port/ring",
        "postgresql://me:canary@[::1/ring",
        "postgresql://me:canary@127.0.0.1/ring?sslmode=canary-of-another-kind",
    ],
)
def test_a_url_that_is_none_is_said_without_its_password(url):
    with pytest.raises(KeyRingError, match="key ring") as caught:
        KeyRing.open(url)
    said = str(caught.value).replace("canary-of-another-kind", "")
    assert "canary" not in said
    assert "canary" not in "".join(traceback.format_exception(caught.value)).replace("canary-of-another-kind", "")


def test_a_database_that_is_away_refuses_or_goes_away_is_said_without_its_password(database, caplog):
    url = database()
    ring = KeyRing.open(url, SoftToken())
    ring.create("log", SIGNING)
    wrong = url.replace(postgres.PASSWORD, "wrong-canary")
    for bad, why in (
        (wrong, "password authentication failed"),
        (url + "x", "does not exist"),
        (url.replace("@127.0.0.1", "@127.0.0.2"), "refused"),
    ):
        with pytest.raises(KeyRingError, match=why) as caught:
            KeyRing.open(bad)
        assert "canary" not in str(caught.value) + repr(caught.value.__cause__) + ring.store.where
    database.stop()
    try:
        with pytest.raises(KeyRingError, match=r"key ring postgresql://127\.0\.0\.1:\d+/ring\d+ does not answer") as caught:
            ring.entries()
        assert postgres.PASSWORD not in str(caught.value)
    finally:
        database.start()
    assert len(ring.entries()) == 1
