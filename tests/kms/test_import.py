"""Keys that were made elsewhere come into both kinds of token by name only, work there, and are known as such ever after."""

import subprocess

import pkcs11
import pqcrypto
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from kms.algorithms import ENCAPSULATIONS, SIGNATURES
from kms.epochs import Policy
from kms.errors import ImportRefused, NoSuchForm, WrongPrivateKey
from kms.export import export
from kms.importing import MOST_BYTES, read_private_key
from kms.inventory import cbom, inventory
from kms.keyring import KeyRing
from kms.keys import KeySpec
from schemas.record import now

MADE = {
    "RSA-3072-PSS": lambda: rsa.generate_private_key(65537, 3072),
    "ECDSA-P256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ECDSA-P384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate,
    "ML-KEM-768": mlkem.MLKEM768PrivateKey.generate,
    "ML-KEM-1024": mlkem.MLKEM1024PrivateKey.generate,
}
FAST_SLH_DSA = ("SLH-DSA-SHA2-128f", "SLH-DSA-SHAKE-192f")


def never():
    raise AssertionError("no passphrase is needed")


def pem_of(private, encryption=None):
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def spki_of(private):
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tlv(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82, *size.to_bytes(2, "big")]) if size > 255 else bytes([0x81, size])
    return bytes([tag]) + length + content


def pkcs8(arc, inner):
    """PKCS#8 under 2.16.840.1.101.3.4.<arc>, written by hand."""
    oid = tlv(6, bytes.fromhex("608648016503 04".replace(" ", "")) + bytes(arc))
    return tlv(0x30, b"\x02\x01\x00" + tlv(0x30, oid) + tlv(4, inner))


@pytest.fixture
def own(token, tmp_path):
    return KeyRing.open(tmp_path / "keys.db", token)


@pytest.mark.parametrize("name", MADE)
def test_an_imported_key_works_as_one_of_the_token_and_is_the_one_of_the_file(name, own, token):
    private = MADE[name]()
    key = own.adopt("files", read_private_key(name, pem_of(private), never), "from the old system")
    assert (key.state, key.version, key.spki) == ("active", 1, spki_of(private))
    if name in SIGNATURES:
        SIGNATURES[name].verify(spki_of(private), own.sign(key.kid, b"data"), b"data")
    else:
        secret, ciphertext = private.public_key().encapsulate()
        assert own.decapsulate(key.kid, ciphertext) == secret
    [entry] = own.entries()
    assert entry.imported == "from the old system"
    assert (entry.inside.sealed is not None) == (token.place(name) == "sealed")


@pytest.mark.parametrize("name", FAST_SLH_DSA)
def test_slh_dsa_comes_in_as_rfc_9909_writes_it(name, own):
    scheme = getattr(pqcrypto, name.lower().replace("-", "_"))
    public, secret = scheme.keygen()
    der = pkcs8([3, int(SIGNATURES[name].oid.rsplit(".", 1)[1])], secret)
    key = own.adopt("files", read_private_key(name, der, never), "a test")
    scheme.verify(public, b"data", own.sign(key.kid, b"data"))


def test_ml_kem_512_comes_in_in_its_expanded_form(own):
    public, secret = pqcrypto.ml_kem_512.keygen()
    key = own.adopt("files", read_private_key("ML-KEM-512", pkcs8([4, 1], tlv(4, secret)), never), "a test")
    ciphertext, shared = pqcrypto.ml_kem_512.encaps(public)
    assert own.decapsulate(key.kid, ciphertext) == shared
    assert len(ciphertext) == ENCAPSULATIONS["ML-KEM-512"].ciphertext_bytes


def test_the_token_does_not_give_it_out_and_knows_that_it_was_not_born_there(own, token):
    key = own.adopt("files", read_private_key("ECDSA-P384", pem_of(MADE["ECDSA-P384"]()), never), "a test")
    object_id = own.entries()[0].inside.object_id

    def look(session):
        found = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=object_id)
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            found[pkcs11.Attribute.VALUE]
        return found[pkcs11.Attribute.LOCAL], found[pkcs11.Attribute.EXTRACTABLE]

    assert token._session.use(look) == (False, False)
    with pytest.raises(NoSuchForm):
        export(key, "pkcs8")


def test_destroying_it_takes_it_out_of_the_token(own, token):
    key = own.adopt("files", read_private_key("Ed25519", pem_of(MADE["Ed25519"]()), never), "a test")
    object_id = own.entries()[0].inside.object_id
    own.change(key.kid, "disable")
    own.change(key.kid, "destroy")
    assert token._session.use(lambda session: list(session.get_objects({pkcs11.Attribute.ID: object_id}))) == []
    assert own.entries()[0].imported == "a test"


def test_the_second_one_waits_to_be_scheduled(own):
    own.create("files", "Ed25519")
    key = own.adopt("files", read_private_key("Ed25519", pem_of(MADE["Ed25519"]()), never), "a test")
    assert (key.version, key.state) == (2, "pre-active")


def test_the_inventory_says_that_it_was_imported_and_why(own):
    own.create("files", "Ed25519")
    own.adopt("files", read_private_key("Ed25519", pem_of(MADE["Ed25519"]()), never), "kept for old receipts")
    components = cbom(inventory(own.entries(), [], Policy()), now(), "0")["components"]
    [key] = [one for one in components if one["name"] == "files/Ed25519/2"]
    [born] = [one for one in components if one["name"] == "files/Ed25519/1"]
    assert {"name": "quantumai:imported", "value": "kept for old receipts"} in key["properties"]
    assert "made elsewhere: kept for old receipts" in key["description"]
    assert "imported" not in str(born)


@pytest.mark.parametrize("use", ["log", "audit", "anchor", "manifest", "tls-ca", "api-token", "witness"])
def test_keys_that_mean_something_to_the_system_are_never_imported(use, own):
    private = read_private_key("Ed25519", pem_of(MADE["Ed25519"]()), never)
    with pytest.raises(ImportRefused, match=f"keys of the use {use} .* never imported"):
        own.adopt(use, private, "a test")
    assert own.entries() == []


def test_a_key_has_one_use_and_a_reason(own):
    private = read_private_key("Ed25519", pem_of(MADE["Ed25519"]()), never)
    with pytest.raises(ImportRefused, match="say why"):
        own.adopt("files", private, " ")
    own.adopt("files", private, "a test")
    with pytest.raises(ImportRefused, match="is files/Ed25519/1"):
        own.adopt("mail", private, "a test")


def test_a_private_key_that_does_not_fit_its_public_half_leaves_nothing(own, token):
    """The public half of an SLH-DSA key stands in the file beside the secret one, and could be another's."""
    (public, secret), (other, _) = (pqcrypto.slh_dsa_sha2_128f.keygen() for _ in range(2))
    assert secret.endswith(public)
    forged = secret[: -len(public)] + other
    before = len(token._session.use(lambda session: list(session.get_objects())))
    with pytest.raises(WrongPrivateKey, match="does not belong"):
        own.adopt("files", read_private_key("SLH-DSA-SHA2-128f", pkcs8([3, 21], forged), never), "a test")
    assert own.entries() == []
    sealing = 1 if token.place("SLH-DSA-SHA2-128f") == "sealed" else 0  # the sealing key may have been made
    assert len(token._session.use(lambda session: list(session.get_objects()))) <= before + sealing


class TestReading:
    """What is no key of the algorithm is one sentence that repeats nothing of the file."""

    def test_an_encrypted_file_asks_for_its_passphrase(self):
        private = MADE["ML-DSA-44"]()
        content = pem_of(private, BestAvailableEncryption(b"correct horse"))
        assert read_private_key("ML-DSA-44", content, lambda: "correct horse").spki == spki_of(private)
        with pytest.raises(WrongPrivateKey, match="passphrase"):
            read_private_key("ML-DSA-44", content, lambda: "battery")

    def test_openssl_wrote_it(self, tmp_path):
        made = subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            capture_output=True,
            check=True,
        ).stdout
        assert read_private_key("ECDSA-P384", made, never).algorithm == "ECDSA-P384"

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("Ed25519", b""),
            ("Ed25519", b"canary" * 100),
            ("Ed25519", b"-----BEGIN PRIVATE KEY-----\ncanary!\n-----END PRIVATE KEY-----\n"),
            ("SLH-DSA-SHA2-128s", b"-----BEGIN PRIVATE KEY-----\ncanary!\n-----END PRIVATE KEY-----\n"),
            ("SLH-DSA-SHA2-128s", pkcs8([3, 21], bytes(64))),
            ("SLH-DSA-SHA2-128s", pkcs8([3, 20], bytes(64)) + b"\0"),
            ("ML-KEM-512", pkcs8([4, 1], bytes(64))),
            ("ECDSA-P384", None),
            ("ML-DSA-87", None),
        ],
    )
    def test_what_is_none(self, name, content):
        with pytest.raises(WrongPrivateKey, match=f"no {name} private key") as caught:
            read_private_key(name, pem_of(MADE["ML-DSA-65"]()) if content is None else content, never)
        assert "canary" not in str(caught.value) and caught.value.__cause__ is None

    def test_a_large_file_is_refused_with_the_limit(self):
        with pytest.raises(WrongPrivateKey, match="65,536"):
            read_private_key("Ed25519", bytes(MOST_BYTES + 1), never)

    def test_its_text_does_not_show_the_secret(self):
        private = MADE["ML-DSA-44"]()
        found = read_private_key("ML-DSA-44", pem_of(private), never)
        assert found.secret == private.private_bytes_raw()
        assert "secret" not in repr(found)


def test_the_label_of_the_object_names_the_key(own, token):
    key = own.adopt("files", read_private_key("ECDSA-P256", pem_of(MADE["ECDSA-P256"]()), never), "a test")
    label = KeySpec("files", "ECDSA-P256", key.version).label
    assert token._session.use(lambda session: len(list(session.get_objects({pkcs11.Attribute.LABEL: label})))) >= 1
