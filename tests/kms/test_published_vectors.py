"""Published vectors (PyPI `cryptography-vectors`: NIST's and the pq-crystals' known answers) before the code that we call.

Where the package has no vectors (SLH-DSA), independent implementations are held against each other: `test_noble`,
`test_token_algorithms`. RFC 6962's trees stand in `test_merkle`.
"""

import re
from itertools import islice

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kms.algorithms import algorithm, signature_algorithm
from kms.cross_check import second_opinions
from kms.errors import SecondOpinionMissing, WrongSignature
from kms.public_side import encapsulating, rust
from kms.software import SOFTWARE
from kms.spki import wrap

EVERY = 10  # of the 100 or 1,000 of a file


def lines(*path):
    with cryptography_vectors.open_vector_file("/".join(("asymmetric", *path)), "r") as file:
        return file.read().splitlines()


def cases(*path):
    """The known answers of a file: `name = hex` lines, each block behind its `count`."""
    found = {}
    for line in [*lines(*path), "count = end"]:
        label, _, value = line.partition(" = ")
        if label == "count" and found:
            yield found
            found = {}
        found[label] = value


def file_of(name, ending=""):
    return f"kat_{name.replace('-', '', 1).replace('-', '_')}{ending}.rsp"


def bend(content, at=0):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def refused(verify, spki, signature, data):
    with pytest.raises(WrongSignature):
        verify(spki, signature, data)


@pytest.mark.parametrize("name", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_ml_dsa_makes_the_key_of_a_seed_and_judges_as_published(name):
    row, seen = signature_algorithm(name), 0
    for case in islice(cases("MLDSA", file_of(name, "_det_pure")), 0, None, EVERY):
        public, message, signed = (bytes.fromhex(case[part]) for part in ("pk", "msg", "sm"))
        signature = signed[: row.signature_bytes]
        made = SOFTWARE[name].use(bytes.fromhex(case["xi"]), message)
        assert public_of(name, bytes.fromhex(case["xi"])) == public
        spki = wrap(row.oid, public)
        row.verify(spki, made, message)
        if case.get("ctx", "") == "":
            row.verify(spki, signature, message)
            second(name, public, signature, message, True)
        else:
            refused(row.verify, spki, signature, message)
        refused(row.verify, spki, bend(signature), message)
        refused(row.verify, spki, signature, message + b"!")
        second(name, public, bend(signature, 40), message, False)
        seen += 1
    assert seen == 10


def public_of(name, seed):
    kind = getattr(mldsa, f"{name.replace('-', '')}PrivateKey")
    return kind.from_seed_bytes(seed).public_key().public_bytes_raw()


def second(name, public, signature, message, right):
    """The other implementation, where it is built."""
    try:
        assert second_opinions()[name](public, signature, message) is right
    except SecondOpinionMissing:
        return


KEMS = {"ML-KEM-768": mlkem.MLKEM768PrivateKey, "ML-KEM-1024": mlkem.MLKEM1024PrivateKey}


@pytest.mark.parametrize("name", ["ML-KEM-512", "ML-KEM-768", "ML-KEM-1024"])
def test_ml_kem_opens_as_published_and_rejects_implicitly(name):
    seen = 0
    for case in islice(cases("MLKEM", file_of(name)), 0, None, 10 * EVERY):
        parts = {part: bytes.fromhex(value) for part, value in case.items() if part != "count"}
        secret = parts["d"] + parts["z"] if name in KEMS else parts["sk"]
        if name in KEMS:
            assert KEMS[name].from_seed_bytes(secret).public_key().public_bytes_raw() == parts["pk"]
        assert SOFTWARE[name].use(secret, parts["ct"]) == parts["ss"]
        assert SOFTWARE[name].use(secret, parts["ct_n"]) == parts["ss_n"]
        assert rust(name).decaps(parts["sk"], parts["ct"]) == parts["ss"]
        ciphertext, shared = encapsulating(name)(parts["pk"])
        assert SOFTWARE[name].use(secret, ciphertext) == shared
        seen += 1
    assert seen == 10


CURVES = {"ECDSA-P256": ("[P-256,SHA-256]", ec.SECP256R1, 32), "ECDSA-P384": ("[P-384,SHA-384]", ec.SECP384R1, 48)}


@pytest.mark.parametrize("name", CURVES)
def test_ecdsa_judges_as_nists_vectors_say(name):
    section, curve, size = CURVES[name]
    text = lines("ECDSA", "FIPS_186-3", "SigVer.rsp")
    begin = text.index(section)
    judged = {"P": 0, "F": 0}
    found = {}
    for line in text[begin + 1 :]:
        if line.startswith("["):
            break
        label, equals, value = line.partition(" = ")
        found |= {label: value} if equals else {}
        if label != "Result":
            continue
        x, y, r, s = (int(found[part], 16) for part in ("Qx", "Qy", "R", "S"))
        verdict = value[0]
        try:
            key = ec.EllipticCurvePublicNumbers(x, y, curve()).public_key()
            spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            signature_algorithm(name).verify(spki, r.to_bytes(size, "big") + s.to_bytes(size, "big"), bytes.fromhex(found["Msg"]))
            seen = "P"
        except (WrongSignature, ValueError):
            seen = "F"
        assert seen == verdict, found
        judged[verdict] += 1
    assert judged["P"] >= 3 and judged["F"] >= 3


def test_ed25519_judges_as_the_vectors_of_its_authors_say():
    row, seen = algorithm("Ed25519"), 0
    verify = signature_algorithm("Ed25519").verify
    for line in islice(lines("Ed25519", "sign.input"), 0, None, 4 * EVERY):
        _, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        spki, signature = wrap(row.oid, public), signed[:64]
        verify(spki, signature, message)
        refused(verify, spki, bend(signature, 33), message)
        refused(verify, spki, signature, message + b"!")
        seen += 1
    assert seen > 20


def test_rsa_pss_with_another_salt_or_hash_than_ours_is_refused():
    """NIST's valid PSS signatures by 3072-bit keys have salts of 10 bytes: valid PSS, and none that our algorithm makes."""
    text = lines("RSA", "FIPS_186-2", "SigVerPSS_186-3.rsp")
    begin, end = text.index("[mod = 3072]"), text.index("[mod = 4096]")
    modulus, seen, found = 0, 0, {}
    for line in text[begin:end]:
        label, equals, value = line.partition(" = ")
        found |= {label: value} if equals else {}
        modulus = int(value, 16) if label == "n" else modulus
        if label == "Result" and value[0] == "P" and found["SHAAlg"] == "SHA256":
            key = rsa.RSAPublicNumbers(int(found["e"], 16), modulus).public_key()
            spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            refused(signature_algorithm("RSA-3072-PSS").verify, spki, bytes.fromhex(found["S"]), bytes.fromhex(found["Msg"]))
            seen += 1
    assert seen >= 3 and re.fullmatch(r"[0-9]+", found["SaltVal"])
