"""Every algorithm on both kinds of token: made there, used there, checked elsewhere, gone when destroyed."""

import hashlib

import pkcs11
import pqcrypto
import pytest

from kms.algorithms import ALGORITHMS, ENCAPSULATIONS, SIGNATURES, raw_public_key
from kms.errors import KeyMissing, MechanismMissing, SealBroken, UnknownAlgorithm, WrongCiphertext, WrongSignature
from kms.keys import KeySpec, TokenKey
from kms.pkcs11_token import Pkcs11Token

MESSAGE = b"what is signed"
SECONDS_LONG = {name for name in SIGNATURES if name.endswith("s") and name.startswith("SLH-DSA")}  # to sign once
SIGNED = sorted(SIGNATURES.keys() - SECONDS_LONG) + [
    pytest.param(name, marks=pytest.mark.slow) for name in sorted(SECONDS_LONG - {"SLH-DSA-SHA2-128s"})
]


def peer(name):
    return getattr(pqcrypto, name.lower().replace("-", "_"))


def private_objects(token, key):
    template = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.Attribute.ID: key.object_id}
    return token._session.use(lambda session: list(session.get_objects(template)))


@pytest.mark.parametrize("name", [*SIGNED, "SLH-DSA-SHA2-128s"])
def test_a_token_signs_as_the_table_says_and_another_implementation_agrees(token, name):
    key = token.generate(KeySpec("every", name, 1))
    signature = token.sign(key, MESSAGE)
    SIGNATURES[name].verify(key.spki, signature, MESSAGE)
    with pytest.raises(WrongSignature):
        SIGNATURES[name].verify(key.spki, signature, MESSAGE + b"!")
    if not SIGNATURES[name].classical:
        raw = raw_public_key(name, key.spki)
        peer(name).verify(raw, MESSAGE, signature)
        with pytest.raises(pqcrypto.InvalidSignatureError):
            peer(name).verify(raw, MESSAGE + b"!", signature)
    token.destroy(key)


@pytest.mark.parametrize("name", sorted(ENCAPSULATIONS))
def test_a_token_decapsulates_what_others_encapsulate(token, name):
    key = token.generate(KeySpec("every", name, 1))
    raw = raw_public_key(name, key.spki)
    for ciphertext, secret in (peer(name).encaps(raw), ENCAPSULATIONS[name].encapsulate(raw)):
        assert token.decapsulate(key, ciphertext) == secret
        altered = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
        other = token.decapsulate(key, altered)
        assert (len(other), other != secret) == (32, True)
        assert token.decapsulate(key, altered) == other
        for wrong in (b"", ciphertext[:-1], ciphertext + b"\0"):
            with pytest.raises(WrongCiphertext, match=f"{len(ciphertext)} bytes"):
                token.decapsulate(key, wrong)
    token.destroy(key)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_keys_live_inside_where_the_token_knows_the_algorithm_and_sealed_where_not(token, provisioned, name):
    inside = ALGORITHMS[name].classical or "kryoptic" in provisioned.module.name
    assert token.place(name) == ("inside" if inside else "sealed")


def test_what_a_token_makes_does_not_leave_it_and_is_gone_when_destroyed(token):
    for name in ("RSA-3072-PSS", "Ed25519", "ML-DSA-44", "ML-KEM-512", "SLH-DSA-SHAKE-128f"):
        key = token.generate(KeySpec("leaves", name, 1))
        found = private_objects(token, key)
        assert len(found) == (1 if key.sealed is None else 0)
        for private in found:
            assert private[pkcs11.Attribute.EXTRACTABLE] is False
            assert private[pkcs11.Attribute.SENSITIVE] is True
        token.destroy(key)
        assert private_objects(token, key) == []
        token.destroy(key)
        if key.sealed is None:
            with pytest.raises(KeyMissing, match="holds no key"):
                (token.decapsulate if "KEM" in name else token.sign)(key, bytes(768))


def test_a_key_that_was_signed_with_is_gone_at_once_when_it_is_destroyed(token):
    key = token.generate(KeySpec("gone", "ECDSA-P256", 1))
    token.sign(key, MESSAGE)
    token.destroy(key)
    with pytest.raises(KeyMissing):
        token.sign(key, MESSAGE)


@pytest.mark.parametrize("name", ["ML-DSA-87", "ML-KEM-512", "ML-KEM-1024", "SLH-DSA-SHA2-128f"])
def test_a_sealed_key_serves_as_nothing_else(token, name):
    if token.place(name) == "inside":
        pytest.skip("this token seals nothing")
    key = token.generate(KeySpec("seal", name, 1))
    use = token.decapsulate if name in ENCAPSULATIONS else token.sign
    data = bytes(ENCAPSULATIONS[name].ciphertext_bytes) if name in ENCAPSULATIONS else MESSAGE
    use(key, data)
    for spec in (KeySpec("other", name, 1), KeySpec("seal", name, 2)):
        with pytest.raises(SealBroken, match="does not open"):
            use(TokenKey(spec, key.spki, key.object_id, key.sealed), data)
    if name == "ML-DSA-87":  # the same seed would make a key of another set
        with pytest.raises(SealBroken):
            token.sign(TokenKey(KeySpec("seal", "ML-DSA-65", 1), key.spki, key.object_id, key.sealed), MESSAGE)
    assert hashlib.sha256(key.sealed).digest() != hashlib.sha256(token.generate(key.spec).sealed).digest()


def test_a_key_signs_or_decapsulates_never_both(token):
    for name, wrong in (("ML-KEM-768", token.sign), ("ML-DSA-44", token.decapsulate)):
        key = token.generate(KeySpec("roles", name, 1))
        with pytest.raises(UnknownAlgorithm):
            wrong(key, bytes(1088))


class Without:
    """A token's session without some mechanisms."""

    def __init__(self, session, *missing):
        self._session, self._missing, self.label = session, missing, session.label

    def offers(self, mechanism):
        return mechanism not in self._missing and self._session.offers(mechanism)


def test_an_algorithm_that_a_token_can_neither_hold_nor_seal_is_said(token):
    poor = Pkcs11Token(Without(token._session, pkcs11.Mechanism.EDDSA, pkcs11.Mechanism.AES_GCM, pkcs11.Mechanism.ML_KEM))
    for name in ("Ed25519", "ML-KEM-768"):
        assert poor.place(name) is None
        with pytest.raises(MechanismMissing, match=f"neither {name} nor AES-GCM"):
            poor.generate(KeySpec("poor", name, 1))


def test_a_token_says_what_it_is(token, provisioned):
    device = token.device()
    assert device.interface == ("3.2" if "kryoptic" in provisioned.module.name else "2.40")
    assert (device.module, device.label) == (provisioned.module, "tests")
    assert device.manufacturer
