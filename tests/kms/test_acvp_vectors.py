"""NIST's own vectors for FIPS 205 (ACVP, which come inside the crate `slh-dsa`) before our reading of the standard.

They are of the standard's internal interface, which neither `pqcrypto` nor a token has; `test_slh_dsa` holds those against ours.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kms.slh_dsa import SETS, accepts_internal

SOURCE = Path(__file__).with_name("acvp")
PLACE = Path(__file__).parents[2] / "build" / "acvp"


@pytest.fixture(scope="module")
def vectors():
    """(what) -> its groups of tests; the crate is pinned by hash in Cargo.lock."""
    kept = PLACE / "Cargo.lock"
    if not kept.is_file() or kept.read_bytes() != (SOURCE / "Cargo.lock").read_bytes():
        cargo = shutil.which("cargo")
        if cargo is None:
            pytest.skip("no cargo (Debian: apt-get install cargo-web)")
        command = [cargo, "vendor", "--quiet", "--locked", "--manifest-path", str(SOURCE / "Cargo.toml"), str(PLACE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"cargo cannot fetch slh-dsa: {done.stderr.strip().splitlines()[-1:]}")
        shutil.copy(SOURCE / "Cargo.lock", kept)
    return lambda what: json.loads(
        (PLACE / "slh-dsa" / "tests" / "acvp" / f"SLH-DSA-{what}-FIPS205" / "internalProjection.json").read_text()
    )["testGroups"]


def of(case, *parts):
    return tuple(bytes.fromhex(case[part]) for part in parts)


def test_every_verdict_of_nist_on_a_signature_is_ours(vectors):
    seen = {True: 0, False: 0}
    for group in vectors("sigVer"):
        for case in group["tests"]:
            public, signature, message = of(case, "pk", "signature", "message")
            assert accepts_internal(group["parameterSet"], public, signature, message) is case["testPassed"], case["reason"]
            seen[case["testPassed"]] += 1
    assert seen[True] >= 5 and seen[False] >= 30


def test_what_nist_has_signed_verifies_and_not_under_another_message(vectors):
    sets = set()
    for group in vectors("sigGen"):
        name = group["parameterSet"]
        for case in group["tests"][:3]:
            secret, signature, message = of(case, "sk", "signature", "message")
            public = secret[2 * SETS[name].n :]
            assert accepts_internal(name, public, signature, message)
            assert not accepts_internal(name, public, signature, message + b"!")
        sets.add(name)
    assert len(sets) == 5
