"""Public keys as other programs read them."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_public_key
from joserfc.jwk import import_key

from kms.algorithms import ALGORITHMS, SIGNATURES
from kms.errors import NoSuchForm
from kms.export import FORMS, export
from kms.keys import KeySpec, PublicKey

QUICK = ["RSA-3072-PSS", "ECDSA-P256", "ECDSA-P384", "Ed25519", "ML-DSA-44", "ML-KEM-512", "ML-KEM-768", "SLH-DSA-SHA2-128f"]
KNOWN_TO_OPENSSL = [name for name in QUICK if name not in ("ML-KEM-512", "SLH-DSA-SHA2-128f")]


@pytest.fixture(scope="module")
def made(token):
    """name -> a public key of the token."""
    specs = [KeySpec("export", name, 1) for name in QUICK]
    keys = [token.generate(spec) for spec in specs]
    yield {key.spec.algorithm: PublicKey(key.kid, "export", key.spec.algorithm, 1, "active", key.spki) for key in keys}
    for key in keys:
        token.destroy(key)


@pytest.mark.parametrize("name", QUICK)
def test_pem_der_and_raw_are_one_key(made, name):
    key = made[name]
    pem, der, raw = (export(key, form) for form in ("pem", "der", "raw"))
    lines = pem.decode().splitlines()
    assert (lines[0], lines[-1], pem[-1:]) == ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----", b"\n")
    assert base64.b64decode("".join(lines[1:-1])) == der == key.spki
    assert der.endswith(b"\0" + raw)
    assert len(raw) == ALGORITHMS[name].public_bytes


@pytest.mark.parametrize("name", KNOWN_TO_OPENSSL)
def test_openssl_reads_and_writes_the_same(made, name):
    pem, der = export(made[name], "pem"), export(made[name], "der")
    read = load_pem_public_key(pem)
    assert read.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == pem
    assert load_der_public_key(der).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == der
    if hasattr(read, "public_bytes_raw"):
        assert read.public_bytes_raw() == export(made[name], "raw")


@pytest.mark.parametrize("name", ["RSA-3072-PSS", "ECDSA-P256", "ECDSA-P384", "Ed25519"])
def test_another_library_reads_the_jwk_as_the_same_key(made, name):
    jwk = json.loads(export(made[name], "jwk"))
    assert (jwk["kid"], jwk["use"], jwk["alg"]) == (made[name].kid, "sig", SIGNATURES[name].jose)
    assert import_key({part: jwk[part] for part in jwk if part not in ("alg", "use")}).as_pem(private=False) == export(
        made[name], "pem"
    )


def test_an_ml_dsa_jwk_is_that_of_rfc_9964(made):
    key = made["ML-DSA-44"]
    jwk = json.loads(export(key, "jwk"))
    assert jwk.keys() == {"kty", "alg", "pub", "use", "kid"}
    assert (jwk["kty"], jwk["alg"]) == ("AKP", "ML-DSA-44")
    assert "=" not in jwk["pub"]
    raw = base64.urlsafe_b64decode(jwk["pub"] + "==")
    assert hashlib.sha256(raw).digest() == hashlib.sha256(export(key, "raw")).digest()


@pytest.mark.parametrize("name", ["ML-KEM-512", "ML-KEM-768", "SLH-DSA-SHA2-128f"])
def test_where_no_jwk_is_defined_none_is_invented(made, name):
    with pytest.raises(NoSuchForm, match=f"no JWK is defined for {name} yet; take pem, der or raw"):
        export(made[name], "jwk")


@pytest.mark.parametrize("form", ["", "PEM", "pkcs8", "private"])
def test_other_forms_are_refused(made, form):
    with pytest.raises(NoSuchForm, match="known: pem, der, raw, jwk"):
        export(made["Ed25519"], form)
    assert list(FORMS) == ["pem", "der", "raw", "jwk"]
