"""The table of algorithms: signatures in exactly one form, under exactly one kind of key, as others make and read them."""

import pqcrypto
import pytest
from asn1crypto.core import ObjectIdentifier, OctetBitString, Sequence
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis.strategies import binary, integers

from kms.algorithms import ALGORITHMS, ENCAPSULATIONS, LOG_SUITES, SIGNATURES, algorithm, encapsulation, signature_algorithm
from kms.errors import UnknownAlgorithm, WrongPublicKey, WrongSignature
from kms.inside import INSIDE
from kms.software import SOFTWARE
from kms.spki import unwrap, wrap
from schemas.errors import InputError

DATA = b"data"
SLOW = {name for name in SIGNATURES if name.startswith("SLH-DSA") and name.endswith("s")}
QUICK = sorted(SIGNATURES.keys() - SLOW)  # the slow sets take seconds a signature: tests of the tokens make some


class Identifier(Sequence):
    _fields = [("algorithm", ObjectIdentifier)]  # noqa: RUF012


class PublicKeyInfo(Sequence):
    _fields = [("algorithm", Identifier), ("public_key", OctetBitString)]  # noqa: RUF012


def spki(private):
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ecdsa(curve, hashed, size):
    private = ec.generate_private_key(curve)

    def sign(data):
        r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hashed)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return spki(private), sign


def rsa_pss():
    private = rsa.generate_private_key(65537, 3072)
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    return spki(private), lambda data: private.sign(data, pss, SHA256())


def peer(name):
    return getattr(pqcrypto, name.lower().replace("-", "_"))


def rust(name):
    """A key by pqcrypto's generator, signing by pqcrypto: for ML-DSA another implementation than the one that verifies."""
    public, secret = peer(name).keygen()
    return wrap(SIGNATURES[name].oid, public), lambda data: peer(name).sign(secret, data)


def ed():
    private = ed25519.Ed25519PrivateKey.generate()
    return spki(private), private.sign


MAKE = {
    "RSA-3072-PSS": rsa_pss,
    "ECDSA-P256": lambda: ecdsa(ec.SECP256R1(), SHA256(), 32),
    "ECDSA-P384": lambda: ecdsa(ec.SECP384R1(), SHA384(), 48),
    "Ed25519": ed,
}


@pytest.fixture(scope="module")
def made():
    """name -> (SPKI, sign), made elsewhere."""
    return {name: MAKE.get(name, lambda name=name: rust(name))() for name in QUICK}


@pytest.mark.parametrize("name", QUICK)
def test_what_others_sign_verifies_and_nothing_else_does(name, made):
    key, sign = made[name]
    signature = sign(DATA)
    assert len(signature) == SIGNATURES[name].signature_bytes
    verify = SIGNATURES[name].verify
    verify(key, signature, DATA)
    with pytest.raises(WrongSignature, match="does not verify"):
        verify(key, signature, DATA + b"!")
    with pytest.raises(WrongSignature, match="does not verify"):
        verify(key, signature[:-1] + bytes([signature[-1] ^ 1]), DATA)
    for wrong in (b"", signature[:-1], signature + b"\0", signature[1:]):
        with pytest.raises(WrongSignature, match=f"{SIGNATURES[name].signature_bytes} bytes"):
            verify(key, wrong, DATA)
    with pytest.raises(WrongSignature):
        verify(key, bytes(len(signature)), DATA)


@pytest.mark.parametrize("name", sorted(name for name in SOFTWARE if name in QUICK))
def test_what_we_sign_in_software_verifies_elsewhere(name):
    secret, public = SOFTWARE[name].generate()
    signature = SOFTWARE[name].use(secret, DATA)
    peer(name).verify(public, DATA, signature)
    with pytest.raises(pqcrypto.InvalidSignatureError):
        peer(name).verify(public, DATA + b"!", signature)


@pytest.mark.parametrize("name", sorted(ENCAPSULATIONS))
def test_secrets_are_agreed_on_with_another_implementation_both_ways(name):
    public, secret = peer(name).keygen()
    ciphertext, shared = ENCAPSULATIONS[name].encapsulate(public)
    assert (len(ciphertext), len(shared)) == (ENCAPSULATIONS[name].ciphertext_bytes, 32)
    assert peer(name).decaps(secret, ciphertext) == shared
    ours, public = SOFTWARE[name].generate()
    ciphertext, shared = peer(name).encaps(public)
    assert SOFTWARE[name].use(ours, ciphertext) == shared
    altered = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert SOFTWARE[name].use(ours, altered) != shared


@pytest.mark.parametrize("name", sorted(ENCAPSULATIONS))
@pytest.mark.parametrize("raw", [b"", b"short", b"\xff" * 2000, "all ones"])
def test_what_is_no_encapsulation_key_is_refused(name, raw):
    raw = b"\xff" * ENCAPSULATIONS[name].public_bytes if raw == "all ones" else raw  # coefficients that are not reduced
    with pytest.raises(WrongPublicKey, match=f"no {name} key"):
        ENCAPSULATIONS[name].encapsulate(raw)


def test_the_table_is_whole_and_everything_in_it_can_be_done():
    assert len(SIGNATURES) == 4 + 3 + 12
    assert len(ENCAPSULATIONS) == 3
    assert INSIDE.keys() == ALGORITHMS.keys()
    assert SOFTWARE.keys() == {name for name, row in ALGORITHMS.items() if not row.classical}
    assert {row.bits for row in ALGORITHMS.values()} == {128, 192, 256}
    assert len({row.oid for row in ALGORITHMS.values()}) == len(ALGORITHMS)


@pytest.mark.parametrize("name", sorted(SOFTWARE))
def test_lengths_and_oids_are_those_of_the_other_implementation(name):
    row, other = ALGORITHMS[name], peer(name)
    assert row.public_bytes == other.PUBLIC_KEY_SIZE
    if name in SIGNATURES:
        assert row.signature_bytes == other.SIGNATURE_SIZE
    else:
        assert row.ciphertext_bytes == other.CIPHERTEXT_SIZE
    parsed = PublicKeyInfo.load(wrap(row.oid, bytes(row.public_bytes)))
    assert parsed["algorithm"]["algorithm"].dotted == row.oid


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ML-DSA-44", mldsa.MLDSA44PrivateKey),
        ("ML-DSA-65", mldsa.MLDSA65PrivateKey),
        ("ML-DSA-87", mldsa.MLDSA87PrivateKey),
        ("ML-KEM-768", mlkem.MLKEM768PrivateKey),
        ("ML-KEM-1024", mlkem.MLKEM1024PrivateKey),
        ("Ed25519", ed25519.Ed25519PrivateKey),
    ],
)
def test_public_keys_are_written_as_openssl_writes_them(name, kind):
    private = kind.generate()
    raw = private.public_key().public_bytes_raw()
    assert wrap(ALGORITHMS[name].oid, raw) == spki(private)
    assert unwrap(ALGORITHMS[name].oid, len(raw), spki(private)) == raw


@given(binary(min_size=1, max_size=70_000), integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_der_lengths_of_all_sizes_are_read_by_another_parser(raw, extra):
    der = wrap("2.16.840.1.101.3.4.3.20", raw)
    parsed = PublicKeyInfo.load(der, strict=True)
    assert parsed["public_key"].native == raw
    assert unwrap("2.16.840.1.101.3.4.3.20", len(raw), der) == raw
    assert unwrap("2.16.840.1.101.3.4.3.21", len(raw), der) is None
    assert unwrap("2.16.840.1.101.3.4.3.20", len(raw) + extra + 1, der) is None


def test_what_logs_demand_is_one_classical_and_one_post_quantum_algorithm():
    assert sorted(SIGNATURES[name].classical for name in LOG_SUITES) == [False, True]


def test_an_ecdsa_signature_without_its_leading_zero_is_another_form_and_refused(made):
    key, sign = made["ECDSA-P384"]
    signature = next(made for made in (sign(DATA) for _ in range(100_000)) if made[48] == 0)
    SIGNATURES["ECDSA-P384"].verify(key, signature, DATA)
    with pytest.raises(WrongSignature, match="96 bytes"):
        SIGNATURES["ECDSA-P384"].verify(key, signature[:48] + signature[49:], DATA)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
@pytest.mark.parametrize("spki", [b"", b"\x30\x00", b"not a key"])
def test_what_is_no_key_is_refused(name, spki):
    with pytest.raises(WrongSignature, match="cannot be read"):
        SIGNATURES[name].verify(spki, b"", b"data")


@pytest.mark.parametrize("name", QUICK)
def test_a_key_of_any_other_algorithm_is_refused(name, made):
    signature = made[name][1](DATA)
    for other, (key, _) in made.items():
        if other != name:
            with pytest.raises(WrongSignature, match=f"needs an {name} key"):
                SIGNATURES[name].verify(key, signature, DATA)


@pytest.mark.parametrize("look", [algorithm, signature_algorithm, encapsulation])
def test_an_unknown_algorithm_is_the_inputs_fault(look):
    with pytest.raises(UnknownAlgorithm, match=r"'ROT13'; known: (RSA-3072-PSS, |ML-KEM-512, )") as caught:
        look("ROT13")
    assert isinstance(caught.value, InputError)


def test_what_signs_does_not_encapsulate():
    with pytest.raises(UnknownAlgorithm, match="signature algorithm 'ML-KEM-768'"):
        signature_algorithm("ML-KEM-768")
    with pytest.raises(UnknownAlgorithm, match="mechanism 'ML-DSA-65'"):
        encapsulation("ML-DSA-65")
