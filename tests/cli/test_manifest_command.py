"""quantumai manifest and cli/generate_manifest.py, as a user types them."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kms.dsse import Envelope

ROOT = Path(__file__).parents[2]
QUANTUMAI = Path(sys.executable).with_name("quantumai")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests")


@pytest.fixture(scope="module")
def run(place):
    """(status, stdout, stderr) of a command, on a platform's folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUANTUMAI_", "OQS_"))}

    def run(*command, said=b"", **environment):
        done = subprocess.run(
            [str(word) for word in command],
            cwd=place,
            env={**kept, "QUANTUMAI_HOME": str(place / "home"), "COLUMNS": "250", **environment},
            input=said,
            capture_output=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


@pytest.fixture(scope="module")
def signed(run, place):
    """The command of the first page of this project, from any folder."""
    script = [sys.executable, ROOT / "cli" / "generate_manifest.py"]
    wanted = ["--job-id", "123", "--backend", "ibm_qpu_1", "--pqc-suite", "ML-KEM:ML-DSA", "--em-method", "ml-qem"]
    status, out, error = run(*script, *wanted)
    assert (status, error) == (0, "")
    (place / "signed.json").write_text(out)
    return json.loads(out)


def test_the_manifest_says_what_was_asked_and_verifies_without_the_platforms_folder(run, signed, place):
    said = json.loads(base64.b64decode(signed["payload"]))["predicate"]
    assert (said["job"], said["backend"], said["method"]["name"]) == ({"job_id": "123"}, "ibm_qpu_1", "ml-qem")
    assert (said["crypto"]["kem"], said["crypto"]["signatures"]) == ("ML-KEM-768", ["ECDSA-P384", "ML-DSA-65"])
    trust = place / "home" / "trust.json"
    status, out, _ = run(QUANTUMAI, "manifest", "verify", "signed.json", "--trust", trust, QUANTUMAI_HOME="nowhere")
    assert status == 0 and "all of it holds" in out and out.count("holds  ") == 5
    assert '"manifest' in run(QUANTUMAI, "kms", "keys", "--json")[1]


def test_the_link_that_broke_is_named_and_what_cannot_be_read_is_a_sentence(run, signed, place):
    payload = base64.b64decode(signed["payload"]).replace(b"ibm_qpu_1", b"ibm_qpu_2")
    signed = {**signed, "payload": base64.b64encode(payload).decode()}
    status, out, _ = run(QUANTUMAI, "manifest", "verify", "-", said=json.dumps(signed).encode())
    assert status == 1 and "broken WrongSignature: the manifest's signature by ECDSA-P384" in out and "all of it" not in out
    huge = b" " * (100 * 1024 * 1024)
    for said, expected in ((huge, "MalformedDocument: the document has more than 16,777,216 bytes"), (b"{", "MalformedDocument")):
        status, out, error = run(QUANTUMAI, "manifest", "verify", "-", said=said)
        assert status == 1 and expected in out and "Traceback" not in error
    bare = Envelope("application/vnd.in-toto+json", payload).document()
    status, out, _ = run(QUANTUMAI, "manifest", "verify", "-", said=json.dumps(bare).encode())
    assert status == 1 and "MissingSuite: the manifest demands ECDSA-P384" in out


def test_a_cross_check_without_liboqs_says_what_to_do(run, signed, place):
    status, _, error = run(QUANTUMAI, "manifest", "verify", "signed.json", "--cross-check", OQS_INSTALL_PATH=str(place))
    assert status == 1 and f"there is no liboqs in {place}: `make liboqs` builds it" in error


def test_a_manifest_is_made_looked_at_completed_and_signed_in_yaml(run, signed):
    status, plain, _ = run(QUANTUMAI, "manifest", "generate", "--job-id", "7", "--unsigned", "--format", "yaml")
    assert status == 0
    edited = plain.replace("predicate:\n", "predicate:\n  shots: 12\n", 1).encode()
    status, out, _ = run(QUANTUMAI, "manifest", "sign", "-", "--format", "yaml", said=edited)
    assert status == 0
    assert run(QUANTUMAI, "manifest", "verify", "-", said=out.encode())[0] == 0
    assert "shots: 12" in run(QUANTUMAI, "manifest", "show", "-", said=out.encode())[1]
    unknown = plain.replace("predicate:\n", "predicate:\n  colour: red\n", 1).encode()
    status, _, error = run(QUANTUMAI, "manifest", "sign", "-", said=unknown)
    assert status == 1 and "predicate.colour" in error and "Traceback" not in error
