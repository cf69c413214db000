"""quantumai crypto, as a user types it: inventory, policy, migration without a broker, and errors that say what to do."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from kms.deprecation import deadline
from kms.epochs import CLASSICAL, PHASES
from kms.trust import TrustRoot
from schemas.record import now

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "build" / "token" / "libkryoptic_token.so"
CLOSED = "127.0.0.1:1"


class Commands:
    """`quantumai`, typed into one process with one token and no broker."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder / "home"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUANTUMAI_")}
        ours = {"QUANTUMAI_HOME": str(self.home), "QUANTUMAI_BROKERS": CLOSED, "COLUMNS": "250", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(Path(__file__).with_name("command_server.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env={**inherited, **ours}, text=True
        )

    def run(self, *arguments):
        """(status, stdout, stderr)"""
        self.process.stdin.write(json.dumps([[str(each) for each in arguments], "", {}]) + "\n")
        self.process.stdin.flush()
        status, stdout, stderr = json.loads(self.process.stdout.readline())
        return status, base64.b64decode(stdout).decode(), stderr

    def __call__(self, *arguments):
        status, stdout, stderr = self.run("crypto", *arguments)
        assert status == 0, stderr
        return stdout

    def refused(self, *arguments):
        status, _, stderr = self.run("crypto", *arguments)
        assert status == 1 and "Traceback" not in stderr, stderr
        return stderr


@pytest.fixture(scope="module")
def crypto(tmp_path_factory):
    if not MODULE.is_file():
        pytest.skip("the PKCS#11 3.2 token is not built: sh deploy/token/build.sh")
    commands = Commands(tmp_path_factory.mktemp("crypto"))
    commands("policy", "apply", "classical")
    yield commands
    commands.process.stdin.close()
    commands.process.wait(timeout=60)


def test_the_first_policy_may_be_classical_and_is_in_the_trust_root(crypto):
    trust = TrustRoot.load(crypto.home / "trust.json")
    assert trust.policy.epochs[0].phase == CLASSICAL and trust.required_suites == PHASES[CLASSICAL]
    [shown] = json.loads(crypto("policy", "show", "--json"))[:1]
    assert shown == trust.policy.epochs[0].document
    assert "classical" in crypto("policy", "show")


@pytest.fixture(scope="module")
def cbom(crypto):
    for kind in ("files/ML-KEM-768", "old/RSA-3072-PSS", "old/Ed25519"):
        assert crypto.run("kms", "create", kind)[0] == 0
    assert crypto.run("kms", "rotate", "old/Ed25519", "--at", "3h")[0] == 0
    assert crypto.run("kms", "revoke", "old/RSA-3072-PSS/1", "--yes")[0] == 0
    crypto("inventory", "--out", crypto.folder / "cbom.json")
    return json.loads((crypto.folder / "cbom.json").read_text())


class TestInventory:
    @pytest.mark.parametrize("version", [SchemaVersion.V1_6, SchemaVersion.V1_7])
    def test_it_is_a_valid_cyclonedx_cbom(self, cbom, version):
        cbom = {**cbom, "specVersion": version.to_version()}
        assert JsonStrictValidator(version).validate_str(json.dumps(cbom)) is None

    def test_it_holds_every_key_with_its_state(self, crypto, cbom):
        keys = {key["kid"]: key["state"] for key in json.loads(crypto.run("kms", "keys", "--all", "--json")[1])}
        found = {
            component["cryptoProperties"]["relatedCryptoMaterialProperties"]["id"]: component["cryptoProperties"][
                "relatedCryptoMaterialProperties"
            ]["state"]
            for component in cbom["components"]
            if component["bom-ref"].startswith("key/")
        }
        states = {"active": "active", "pre-active": "pre-activation", "revoked": "compromised"}
        assert found == {kid: states[state] for kid, state in keys.items()}

    def test_what_is_referred_to_is_there(self, cbom):
        there = {component["bom-ref"] for component in cbom["components"]} | {"quantumai"}
        for entry in cbom["dependencies"]:
            assert {entry["ref"], *entry["dependsOn"]} <= there
        assert len(there) == len(cbom["components"]) + 1

    def test_a_use_depends_on_its_keys_and_a_key_on_its_algorithm(self, cbom):
        needs = {entry["ref"]: set(entry["dependsOn"]) for entry in cbom["dependencies"]}
        [kem] = [each["bom-ref"] for each in cbom["components"] if each["name"] == "files/ML-KEM-768/1"]
        assert kem in needs["use/files"] and "algorithm/ML-KEM-768" in needs[kem]
        assert "use/log" in needs["quantumai"] and "algorithm/ECDSA-P384" in needs["use/log"]

    def test_what_a_quantum_computer_breaks_has_nist_s_dates(self, cbom):
        marks = {
            component["name"]: {each["name"]: each["value"] for each in component["properties"]}
            for component in cbom["components"]
            if component["bom-ref"].startswith(("algorithm/", "use/"))
        }
        assert marks["ECDSA-P384"] == {"quantumai:quantum-vulnerable": "yes", "nist-ir-8547:disallowed-after": "2035"}
        assert marks["ML-KEM-768"] == {"quantumai:quantum-vulnerable": "no"} == marks["AES-256-GCM"]
        assert marks["log"]["quantumai:quantum-vulnerable"] == "yes"
        assert marks["X25519MLKEM768"]["quantumai:quantum-vulnerable"] == "no"

    def test_it_is_a_table_without_out(self, crypto):
        said = crypto("inventory")
        assert "TLS, policy pqc-required" in said and "breaks it" in said and "2035" in said


def test_deadlines_of_nist_ir_8547():
    assert (deadline("RSA-2048").deprecated, deadline("RSA-2048").disallowed) == (2030, 2035)
    assert (deadline("Ed25519").deprecated, deadline("Ed25519").disallowed) == (None, 2035)
    assert (deadline("ML-DSA-44").category, deadline("ML-DSA-87").category, deadline("ML-KEM-512").category) == (2, 5, 1)


class TestMigration:
    def test_a_plan_changes_nothing(self, crypto):
        before = (crypto.home / "trust.json").read_bytes()
        assert [step["phase"] for step in json.loads(crypto("migrate", "plan", "--json"))["steps"]] == ["dual", "post-quantum"]
        said = crypto("migrate", "plan")
        assert "ML-DSA-65" in said and "disallowed after 2035" in said
        assert (crypto.home / "trust.json").read_bytes() == before

    def test_without_a_signer_it_does_not_advance(self, crypto):
        assert "no migration was started" in crypto.refused("migrate", "advance")
        crypto("migrate", "start")
        status = json.loads(crypto("migrate", "status", "--json"))
        assert (status["started"], status["next"], status["ready"]) == (True, "dual", False)
        assert "the logs cannot be read: is the broker running?" in crypto.refused("migrate", "advance")
        assert len(TrustRoot.load(crypto.home / "trust.json").policy.epochs) == 1

    def test_classical_is_not_rolled_back(self, crypto):
        assert "never goes backwards" in crypto.refused("migrate", "rollback")


def test_each_step_is_in_the_audit_refused_ones_too_and_the_chain_holds(crypto):
    crypto.refused("migrate", "rollback")
    assert crypto.run("token", "issue", "--subject", "me", "--role", "signer")[0] == 0
    assert crypto.run("kms", "anchor")[0] == 0
    entries = [json.loads(line) for line in (crypto.home / "audit.jsonl").read_text().splitlines()]
    did = [(entry["action"], entry["outcome"]) for entry in entries]
    assert did[0] == ("policy.apply", "SUCCESS") and "epoch 1: ECDSA-P384 must sign" in entries[0]["detail"]
    for step in (("migrate.rollback", "FAILURE"), ("token", "SUCCESS"), ("anchor", "SUCCESS"), ("audit.seal", "SUCCESS")):
        assert step in did
    assert "whole:" in crypto.run("kms", "audit", "verify")[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON"),
        ("[]", "is no JSON object with a list `required`"),
        ('{"required": "ML-DSA-65"}', "is no JSON object with a list `required`"),
        ('{"required": ["ML-DSA-65"], "requierd": []}', "unknown fields requierd; known: required, allowed, broken"),
        ('{"required": ["ROT-13"]}', "no signature algorithm 'ROT-13'; known: RSA-3072-PSS"),
        ('{"required": []}', "requires no suite"),
        ('{"required": ["ML-DSA-65"], "allowed": ["Ed25519"]}', "requires ML-DSA-65 and does not allow it"),
    ],
)
def test_a_policy_file_that_makes_no_sense_is_refused_by_name(crypto, text, said):
    (crypto.folder / "policy.json").write_text(text)
    assert said in crypto.refused("policy", "apply", "policy.json")


def test_what_is_neither_phase_nor_file_is_said(crypto):
    assert "neither a phase (classical, dual, post-quantum) nor a file" in crypto.refused("policy", "apply", "quantum")


def test_a_drill_for_an_algorithm_that_is_not_known_says_which_are(crypto):
    assert "no signature algorithm 'rot-13'; known: " in crypto.refused("drill", "--broken", "rot-13")


def test_a_drill_without_a_broker_says_so(crypto):
    assert "no Kafka broker answers" in crypto.refused("drill", "--broken", "ecdsa-p384")


def test_a_policy_that_goes_backwards_is_refused(crypto):
    assert "epoch 2: ECDSA-P384 and ML-DSA-65 must sign" in crypto("policy", "apply", "dual", "--expires", "365d")
    until = TrustRoot.load(crypto.home / "trust.json").policy.newest.begins
    while now() <= until:
        time.sleep(0.1)
    assert "never goes backwards" in crypto.refused("policy", "apply", "classical")
