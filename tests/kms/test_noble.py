"""Our post-quantum signatures before a verifier in another language that shares no code with ours: npm's @noble/post-quantum."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kms.algorithms import SIGNATURES, encapsulation, raw_public_key
from kms.keys import KeySpec
from kms.spki import wrap

SOURCE = Path(__file__).with_name("noble")
PLACE = Path(__file__).parents[2] / "build" / "noble"
FAST = [name for name in SIGNATURES if name.startswith("ML-DSA") or name in ("SLH-DSA-SHA2-128f", "SLH-DSA-SHAKE-128f")]
SLOW = [name for name, row in SIGNATURES.items() if not row.classical and name not in FAST]


@pytest.fixture(scope="session")
def noble():
    """Judges a list of signatures; the packages are pinned by hash in package-lock.json."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed: apt-get install nodejs npm (node 20.19 or newer)")
    if not (PLACE / "node_modules").is_dir() or (PLACE / "package-lock.json").read_bytes() != lock():
        PLACE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, PLACE / name)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=PLACE, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            shutil.rmtree(PLACE)
            pytest.skip(f"npm cannot fetch @noble/post-quantum: {done.stderr.strip().splitlines()[-1:]}")
    shutil.copy(SOURCE / "judge.mjs", PLACE / "judge.mjs")

    def judge(cases):
        done = subprocess.run(
            ["node", "judge.mjs"], cwd=PLACE, input=json.dumps(cases), capture_output=True, text=True, timeout=200, check=True
        )
        return json.loads(done.stdout)

    return judge


def lock():
    return (SOURCE / "package-lock.json").read_bytes()


def judged(noble, token, names):
    cases, expected = [], []
    for name in names:
        key = token.generate(KeySpec("noble", name, 1))
        signature = token.sign(key, b"what is signed")
        bent = bytes([signature[0] ^ 1]) + signature[1:]
        for message, made, right in (
            (b"what is signed", signature, True),
            (b"what is signes", signature, False),
            (b"what is signed", bent, False),
        ):
            raw = raw_public_key(name, key.spki)
            cases.append({"name": name, "public": raw.hex(), "message": message.hex(), "signature": made.hex()})
            expected.append(right)
        token.destroy(key)
    assert noble(cases) == expected


def test_noble_accepts_what_both_tokens_sign_and_nothing_else(noble, token):
    judged(noble, token, FAST)


@pytest.mark.slow
def test_noble_accepts_all_other_sets_too(noble, token):
    judged(noble, token, SLOW)


@pytest.mark.parametrize("name", ["ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"])
def test_what_noble_encapsulates_a_token_opens(noble, token, name):
    key = token.generate(KeySpec("noble", name, 1))
    raw = raw_public_key(name, key.spki)
    [(ciphertext, secret)] = noble([{"name": name, "public": raw.hex(), "seed": bytes(range(32)).hex()}])
    assert len(ciphertext) == 2 * encapsulation(name).ciphertext_bytes and key.spki == wrap(encapsulation(name).oid, raw)
    assert token.decapsulate(key, bytes.fromhex(ciphertext)).hex() == secret
    token.destroy(key)
