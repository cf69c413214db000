"""quantumai kms, as a user types it, on both kinds of token."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kms.trust import TrustRoot

ROOT = Path(__file__).parents[2]
MODULES = {"kryoptic": ROOT / "build" / "token" / "libkryoptic_token.so", "softhsm2": Path("/usr/lib/softhsm/libsofthsm2.so")}


class Commands:
    """`quantumai kms`, typed into one process with one token; each test has a use of keys of its own."""

    def __init__(self, kind, folder):
        self.kind, self.home, self.count = kind, folder / "home", 0
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUMAI_")}
        ours = {"QUANTUMAI_HOME": str(self.home), "COLUMNS": "250", "QUANTUMAI_PKCS11_MODULE": str(MODULES[kind])}
        command = [sys.executable, str(Path(__file__).with_name("command_server.py"))]
        self.environment = {**inherited, **ours, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=self.environment)

    def run(self, *arguments, said="", **environment):
        """(status, stdout, stderr)"""
        self.process.stdin.write(json.dumps([["kms", *arguments], said, environment]).encode() + b"\n")
        self.process.stdin.flush()
        status, stdout, stderr = json.loads(self.process.stdout.readline())
        return status, base64.b64decode(stdout), stderr

    def __call__(self, *arguments, **how):
        status, stdout, stderr = self.run(*arguments, **how)
        assert status == 0, stderr
        return stdout.decode()

    def refused(self, *arguments, **how):
        status, stdout, stderr = self.run(*arguments, **how)
        assert (status, stdout, stderr.count("\n")) == (1, b"", 1), stderr
        assert "Traceback" not in stderr
        return stderr

    def keys(self):
        listed = json.loads(self("keys", "--all", "--json"))
        return {f"{key['use']}/{key['algorithm']}/{key['version']}": key for key in listed}


@pytest.fixture(scope="module", params=sorted(MODULES))
def commands(request, tmp_path_factory):
    if not MODULES[request.param].is_file():
        pytest.skip(f"{MODULES[request.param]} is not there")
    commands = Commands(request.param, tmp_path_factory.mktemp(request.param))
    yield commands
    commands.process.stdin.close()
    commands.process.wait(timeout=60)


@pytest.fixture
def kms(commands):
    return commands


@pytest.fixture
def use(commands):
    """A use of keys that no other test has."""
    commands.count += 1
    return f"use{commands.count}"


def test_a_key_from_its_making_to_its_end(kms, use):
    assert f"{use}/Ed25519/1" in kms("create", f"{use}/Ed25519")
    first = kms.keys()[f"{use}/Ed25519/1"]
    assert (first["state"], first["uses"], first["token"]) == ("active", 0, "quantumai")
    assert "pre-active, active from" in kms("rotate", f"{use}/Ed25519", "--at", "3h")
    assert "pre-active, active from" in kms("schedule", f"{use}/Ed25519/2", "--at", "2d")
    keys = kms.keys()
    assert keys[f"{use}/Ed25519/1"]["retires"] == keys[f"{use}/Ed25519/2"]["activates"]
    assert "is verify-only" in kms("disable", first["kid"][:8], "--yes")
    assert "is deprecated" in kms("deprecate", f"{use}/Ed25519/1", "-y")
    assert "is destroyed" in kms("destroy", f"{use}/Ed25519/1", "-y")
    assert "is revoked" in kms("revoke", f"{use}/Ed25519/2", "-y")
    assert "cannot be revoked: that is for keys that are" in kms.refused("revoke", f"{use}/Ed25519/2", "-y")
    listed = kms("keys")
    assert f"{use}/Ed25519/1" not in listed
    assert "revoked" in listed
    assert "gone" in kms("keys", "--all")
    trust = TrustRoot.load(kms.home / "trust.json")
    assert [(key.version, key.state) for key in trust.keys if key.use == use] == [(1, "destroyed"), (2, "revoked")]


def test_destructive_commands_ask(kms, use):
    kms("create", f"{use}/Ed25519")
    for command in ("disable", "deprecate", "revoke"):
        for answer in ("n\n", ""):
            status, asked, _ = kms.run(command, f"{use}/Ed25519/1", said=answer)
            assert (status, b"Go on?" in asked) == (1, True)
    assert kms.keys()[f"{use}/Ed25519/1"]["state"] == "active"
    assert "is verify-only" in kms("disable", f"{use}/Ed25519/1", said="y\n")
    assert kms.run("destroy", f"{use}/Ed25519/1", said="n\n")[0] == 1
    assert kms.keys()[f"{use}/Ed25519/1"]["state"] == "verify-only"


def test_doctor_says_which_token_and_what_that_means(kms, use):
    kms("create", f"{use}/Ed25519")
    said = kms("doctor")
    if kms.kind == "kryoptic":
        assert "PKCS#11 3.2" in said
        assert said.count("inside: made and used") == 22
        assert "Every private key is made and used inside this token" in said
    else:
        assert "PKCS#11 2.40" in said
        assert (said.count("inside: made and used"), said.count("sealed: the token's AES key")) == (4, 18)
        assert "Whoever can read that memory can copy the key" in " ".join(said.split())
    assert str(MODULES[kms.kind].resolve()) in said


def test_public_keys_come_in_four_forms(kms, use):
    kms("create", f"{use}/ML-DSA-44")
    pem = kms("public", f"{use}/ML-DSA-44/1")
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    jwk = json.loads(kms("public", f"{use}/ML-DSA-44/1", "--format", "jwk"))
    assert base64.urlsafe_b64decode(jwk["pub"] + "==") == der[-1312:]
    assert "no form 'pkcs8'" in kms.refused("public", f"{use}/ML-DSA-44/1", "--format", "pkcs8")
    assert kms.run("public", f"{use}/ML-DSA-44/1", "--format", "raw") == (0, der[-1312:], "")
    assert kms.run("public", f"{use}/ML-DSA-44/1", "--format", "der")[1] == der


def test_an_import_is_refused_unless_a_reason_is_named_and_then_known_as_one(kms, use, tmp_path):
    private = mldsa.MLDSA65PrivateKey.generate()
    file = tmp_path / "old.pem"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "say why: --reason TEXT" in kms.refused("import", f"{use}/ML-DSA-65", str(file))
    assert "never imported" in kms.refused("import", "log/ML-DSA-65", str(file), "--reason", "a test")
    assert "no Ed25519 private key" in kms.refused("import", f"{use}/Ed25519", str(file), "--reason", "a test")
    assert "cannot be read" in kms.refused("import", f"{use}/Ed25519", str(tmp_path / "none"), "--reason", "a test")
    assert kms.run("import", f"{use}/ML-DSA-65", "--reason", "a test")[0] == 2
    assert f"{use}/" not in "".join(kms.keys())
    assert f"{use}/ML-DSA-65/1" in kms("import", f"{use}/ML-DSA-65", str(file), "--reason", "receipts of 2025")
    key = kms.keys()[f"{use}/ML-DSA-65/1"]
    assert (key["state"], key["imported"]) == ("active", "receipts of 2025")
    assert kms("public", f"{use}/ML-DSA-65/1", "--format", "pem").encode() == private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    assert ", imported" in kms("keys")
    entries = [json.loads(line) for line in (kms.home / "audit.jsonl").read_text().splitlines()]
    found = [(entry["outcome"], entry["detail"]) for entry in entries if entry["action"] == "import"]
    assert [outcome for outcome, _ in found] == ["DENIED", "DENIED", "FAILURE", "FAILURE", "SUCCESS"]
    assert found[-1][1] == f"{use}/ML-DSA-65, made elsewhere: receipts of 2025"
    assert private.private_bytes_raw().hex() not in (kms.home / "audit.jsonl").read_text()


def test_rotation_by_policy_is_for_cron(kms, use):
    kms("create", f"{use}/Ed25519")
    assert "90 days" in kms("policy", f"{use}/Ed25519", "--max-age", "90d")
    assert kms("rotate", "--due") == "nothing is due\n"
    kms("policy", f"{use}/Ed25519", "--max-age", "0s", "--max-uses", "5")
    assert f"{use}/Ed25519/1: active since" in kms("rotate", "--due")
    assert {f"{use}/Ed25519/1", f"{use}/Ed25519/2"} <= kms.keys().keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("disable", "{use}/Ed25519/9", "-y"), "there is no key '{use}/Ed25519/9'"),
        (("public", "deadbeef"), "there is no key 'deadbeef'"),
        (("create", "No|Use/Ed25519"), "no name of a use"),
        (("rotate", "{use}/Ed25519", "--at", "2020-01-01"), "is past"),
    ],
)
def test_what_cannot_be_is_one_sentence(kms, use, arguments, words):
    kms("create", f"{use}/Ed25519")
    before = kms.keys().keys()
    assert words.format(use=use) in kms.refused(*(word.format(use=use) for word in arguments))
    assert kms.keys().keys() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "Ed25519"),
        ("create", "log/ROT13"),
        ("rotate",),
        ("rotate", "{use}/Ed25519", "--due"),
        ("rotate", "--due", "--at", "2h"),
        ("schedule", "{use}/Ed25519/1"),
        ("schedule", "{use}/Ed25519/1", "--at", "soon"),
        ("policy", "--max-age", "90d"),
        ("policy", "{use}/Ed25519", "--max-age", "long"),
        ("policy", "{use}/Ed25519", "--max-uses", "0"),
    ],
)
def test_misuse_of_kms_is_exit_status_2(kms, use, arguments):
    kms("create", f"{use}/Ed25519")
    assert kms.run(*(word.format(use=use) for word in arguments))[0] == 2


def test_an_empty_home_says_what_to_do_and_makes_nothing(kms, use, tmp_path):
    home = {"QUANTUMAI_HOME": str(tmp_path / "none"), "QUANTUMAI_PKCS11_MODULE": ""}
    assert "`quantumai up` or `quantumai kms create` makes one" in kms.refused("keys", **home)
    assert "there is no token in" in kms.refused("doctor", **home)
    assert not (tmp_path / "none").exists()


def test_a_database_as_the_key_ring_is_named_without_its_password(kms, use):
    said = kms.refused("keys", QUANTUMAI_KEY_RING="postgresql://me:canary-4711@127.0.0.1:1/ring")
    assert "postgresql://127.0.0.1:1/ring does not answer" in said
    assert "canary" not in said


def test_a_wrong_pin_is_one_sentence_that_does_not_name_it(kms, use, tmp_path):
    """In a process of its own: a process that has logged in stays so, whatever the next PIN."""
    kms("create", f"{use}/Ed25519")  # a token that is not there yet would be made with that PIN
    environment = {**kms.environment, "QUANTUMAI_TOKEN_PIN": "canary-4711"}
    command = [Path(sys.executable).with_name("quantumai"), "kms", "create", f"{use}/Ed25519"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "refuses the PIN" in done.stderr
    assert "canary" not in done.stderr
    denied = kms("audit", "show", "--denied", "--last", "1")
    assert "token.login" in denied and "refuses the PIN" in denied
    assert b"canary" not in (kms.home / "audit.jsonl").read_bytes()
    kms("create", f"{use}/ECDSA-P256")
    assert "whole:" in kms("audit", "verify") and "not sealed" not in kms("audit", "verify")
