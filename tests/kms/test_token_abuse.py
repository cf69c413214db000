"""What happens to tokens in the field: they are pulled out, somebody else tries PINs, and processes die at any time."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kms.keyring import KeyRing
from kms.provision import init_token
from kms.verification import LogVerifier
from schemas.codec import decode, topic_of
from schemas.manifests import LogCheckpoint

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("token_worker.py")


@pytest.fixture
def own(provisioned, tmp_path):
    """A token of the test's own, of each kind, to be maltreated."""
    return init_token(provisioned.module, "tests", tmp_path / "token")


def worker(what, own, *more, pin=""):
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "kms")))
    ring = own.folder.parent / "keys.db"
    command = [sys.executable, str(WORKER), what, str(own.module), str(own.folder), str(ring), *map(str, more)]
    environment = {**os.environ, "PYTHONPATH": path, "PIN": pin}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def ask(running):
    running.stdin.write("sign\n")
    running.stdin.flush()
    return running.stdout.readline().strip()


def once(own, pin=""):
    """(exit status, stderr) of a process that opens the token, signs and leaves."""
    running = worker("sign", own, pin=pin)
    _, error = running.communicate("sign\n", timeout=60)
    return running.returncode, error


@pytest.fixture
def signer(own):
    running = worker("sign", own)
    assert running.stdout.readline() == "ready\n", running.stderr.read()
    yield running
    running.stdin.close()
    assert running.wait(30) == 0, running.stderr.read()


def test_a_token_that_is_pulled_out_in_mid_run_is_a_sentence_and_comes_back(own, signer, tmp_path):
    """The signer goes on with what its module has in memory, or says that the token failed: it neither crashes nor hangs."""
    assert ask(signer) == "ok"
    away = tmp_path / "away"
    shutil.move(own.folder, away)
    said = [ask(signer) for _ in range(3)]
    assert all(line == "ok" or ("token 'tests'" in line and "Traceback" not in line) for line in said), said
    shutil.move(away, own.folder)
    assert once(own) == (0, "")


def test_wrong_pins_of_others_do_not_disturb_a_signer(own, signer):
    assert ask(signer) == "ok"
    status, error = once(own, "wrong-pin-0000")
    assert status != 0 and "WrongPin" in error and "wrong-pin-0000" not in error
    assert ask(signer) == "ok"
    assert once(own) == (0, "")


def kill_and_verify(own, tmp_path, kills):
    place, chance = tmp_path / "log", random.Random(7)
    for _ in range(kills):
        running = worker("grow", own, place)
        assert running.stdout.readline() == "ready\n", running.stderr.read()
        for _ in range(chance.randrange(3)):
            running.stdout.readline()
        try:
            running.wait(chance.random() / 20)
        except subprocess.TimeoutExpired:
            running.kill()
        running.communicate()
    last = worker("grow", own, place)
    assert last.stdout.readline() == "ready\n"
    assert last.stdout.readline()
    last.kill()
    last.communicate()
    ring = KeyRing.open(tmp_path / "keys.db")
    records = [
        bytes.fromhex(line.decode()) for line in place.read_bytes().rpartition(b"\n.\n")[0].splitlines() if line not in (b"", b".")
    ]
    verifier = LogVerifier(ring.public(), every_signature=True)
    for value in records:
        kind = topic_of(value)
        (verifier.checkpoint if kind is LogCheckpoint else verifier.manifest)(decode(kind, value))
    report = verifier.finish()
    assert report.manifests >= 4 and report.errors == ()
    names = [entry.public.label for entry in ring.entries()]
    assert len(names) == len(set(names)) and names.count("log/ECDSA-P384/1") == 1


def test_a_killed_signer_leaves_a_token_a_ring_and_a_log_that_go_on(own, tmp_path):
    kill_and_verify(own, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_hundred_killed_signers_do_so_too(own, tmp_path):
    """A hundred for each kind of token."""
    kill_and_verify(own, tmp_path, 100)
