"""A second implementation judges ML-DSA: liboqs against OpenSSL, and what is said where it is not there."""

import subprocess
import sys

import pqcrypto
import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kms_events import Log, requests, software_keys, trusting

from kms import cross_check
from kms.algorithms import SIGNATURES
from kms.cross_check import CrossChecked, cross_checked, second_opinions, unchecked
from kms.errors import Disagreement, SecondOpinionMissing, WrongSignature
from kms.keys import LOG_USE, kid
from kms.spki import wrap
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas.manifests import LogCheckpoint

KINDS = {
    "ML-DSA-44": mldsa.MLDSA44PrivateKey,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey,
}


@pytest.fixture(scope="module")
def liboqs():
    try:
        return second_opinions()
    except SecondOpinionMissing as error:
        pytest.skip(str(error))


def key_of(name, private):
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return CrossChecked(kid(spki, name, LOG_USE), LOG_USE, name, 1, "active", spki)


@pytest.mark.parametrize("name", KINDS)
def test_both_accept_what_is_signed_and_both_refuse_what_is_not(name, liboqs):
    private = KINDS[name].from_seed_bytes(bytes(range(32)))
    key, signature = key_of(name, private), private.sign(b"data")
    key.verify(signature, b"data")
    for wrong in (signature[:-1] + bytes([signature[-1] ^ 1]), bytes(len(signature)), signature[:-1], b""):
        with pytest.raises(WrongSignature):
            key.verify(wrong, b"data")
    with pytest.raises(WrongSignature):
        key.verify(signature, b"date")
    with pytest.raises(WrongSignature):  # signed in another context
        key.verify(private.sign(b"data", b"context"), b"data")


@pytest.mark.parametrize("name", KINDS)
def test_liboqs_and_openssl_verify_each_other(name, liboqs):
    import oqs  # noqa: PLC0415 - it builds liboqs when the library has not been found before

    with oqs.Signature(name) as signer:
        public = signer.generate_keypair()
        signature = signer.sign(b"data")
    loaded = {"ML-DSA-44": mldsa.MLDSA44PublicKey, "ML-DSA-65": mldsa.MLDSA65PublicKey, "ML-DSA-87": mldsa.MLDSA87PublicKey}[name]
    loaded.from_public_bytes(public).verify(signature, b"data")


@pytest.mark.parametrize("says", [True, False])
def test_a_disagreement_is_an_error_of_its_own(says, liboqs, monkeypatch):
    private = KINDS["ML-DSA-65"].generate()
    signature = private.sign(b"data")
    monkeypatch.setattr(cross_check, "second_opinions", lambda: {"ML-DSA-65": lambda *_: says})
    with pytest.raises(Disagreement, match="the contrary"):
        key_of("ML-DSA-65", private).verify(signature if not says else bytes(len(signature)), b"data")


def test_an_anchor_s_algorithm_has_two_judges(liboqs):
    """`pqcrypto` signs; it and `kms.slh_dsa` judge."""
    public, secret = pqcrypto.slh_dsa_sha2_128f.keygen()
    name = "SLH-DSA-SHA2-128f"
    spki = wrap(SIGNATURES[name].oid, public)
    key = CrossChecked(kid(spki, name, "anchor"), "anchor", name, 1, "active", spki)
    signature = pqcrypto.slh_dsa_sha2_128f.sign(secret, b"data")
    key.verify(signature, b"data")
    with pytest.raises(WrongSignature):
        key.verify(signature, b"date")
    assert unchecked(TrustRoot((key,))) == []


def test_a_log_is_verified_by_both(liboqs):
    keys = software_keys()
    log = Log(keys)
    for start in range(0, 6, 2):
        log.sign(requests(range(start, start + 2)))
    trust = cross_checked(trusting(keys))
    assert unchecked(trust) == []
    verifier = LogVerifier(trust, every_signature=True)
    for record in log.records:
        (verifier.checkpoint if isinstance(record, LogCheckpoint) else verifier.manifest)(record)
    assert verifier.finish().errors == ()


def test_without_the_library_it_says_what_to_do_and_never_imports_the_package(tmp_path):
    """liboqs-python would fetch and build one."""
    code = f"""
import os, sys
os.environ["OQS_INSTALL_PATH"] = {str(tmp_path)!r}
from kms.cross_check import second_opinions
from kms.errors import SecondOpinionMissing
try:
    second_opinions()
except SecondOpinionMissing as error:
    print(error)
print("oqs" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"no liboqs in {tmp_path}: `make liboqs`" in done.stdout and done.stdout.endswith("False\n")


def test_the_import_prints_nothing(liboqs):
    code = "from kms.cross_check import second_opinions; second_opinions()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
