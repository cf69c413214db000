"""The algorithms: one table, from which everything else follows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from kms import public_side
from kms.errors import UnknownAlgorithm, WrongPublicKey
from kms.spki import unwrap


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What every algorithm has.

    Attributes:
        oid: of the public key: an elliptic curve's, or the algorithm's.
        standard: where it is specified, and with which choices.
        classical: False when it is meant to withstand a quantum computer.
        bits: classical security strength; for post-quantum ones that of their category (NIST SP 800-57 part 1, FIPS 203-205).
        public_bytes: length of the raw public key, the bit string of its SPKI: 04 || x || y of a NIST curve, PKCS#1 of RSA.
        jose: its name in JOSE (RFC 7518, 8037, 9964); empty where none is registered.
    """

    oid: str
    standard: str
    classical: bool
    bits: int
    public_bytes: int
    jose: str


@dataclass(frozen=True, slots=True)
class Signature(Algorithm):
    """A signature algorithm.

    Attributes:
        signature_bytes: length of a signature; an ECDSA one is r || s, big-endian, each as long as the group's order.
        verify: (SPKI in DER, signature, data), raises WrongSignature.
    """

    signature_bytes: int
    verify: public_side.Verify


@dataclass(frozen=True, slots=True)
class Encapsulation(Algorithm):
    """A key encapsulation mechanism; its shared secrets are 32 bytes.

    Attributes:
        ciphertext_bytes: length of a ciphertext.
        encapsulate: raw public key -> (ciphertext, shared secret), raises WrongPublicKey.
    """

    ciphertext_bytes: int
    encapsulate: Callable[[bytes], tuple[bytes, bytes]]


def _post_quantum(oid: str) -> str:
    return f"2.16.840.1.101.3.4.{oid}"


def _ml_dsa(name: str, oid: str, bits: int, public: int, signature: int) -> Signature:
    verify = public_side.ml_dsa(name, signature)
    return Signature(_post_quantum(oid), "FIPS 204, pure, empty context", False, bits, public, name, signature, verify)


def _ml_kem(name: str, oid: str, bits: int, public: int, ciphertext: int) -> Encapsulation:
    return Encapsulation(_post_quantum(oid), "FIPS 203", False, bits, public, "", ciphertext, public_side.encapsulating(name))


def _slh_dsa(name: str, oid: str, bits: int, signature: int) -> Signature:
    public, verify = bits // 4, public_side.slh_dsa(name, _post_quantum(oid), bits // 4, signature)
    return Signature(_post_quantum(oid), "FIPS 205, pure, empty context", False, bits, public, "", signature, verify)


_RSA, _P256, _P384 = "1.2.840.113549.1.1.1", "1.2.840.10045.3.1.7", "1.3.132.0.34"
_PSS = "RFC 8017, PSS with SHA-256, salt of 32 bytes"

# (end of the OID, security strength, signature bytes), FIPS 205 table 2
_SLH_DSA = {
    "SLH-DSA-SHA2-128s": ("3.20", 128, 7856),
    "SLH-DSA-SHA2-128f": ("3.21", 128, 17088),
    "SLH-DSA-SHA2-192s": ("3.22", 192, 16224),
    "SLH-DSA-SHA2-192f": ("3.23", 192, 35664),
    "SLH-DSA-SHA2-256s": ("3.24", 256, 29792),
    "SLH-DSA-SHA2-256f": ("3.25", 256, 49856),
    "SLH-DSA-SHAKE-128s": ("3.26", 128, 7856),
    "SLH-DSA-SHAKE-128f": ("3.27", 128, 17088),
    "SLH-DSA-SHAKE-192s": ("3.28", 192, 16224),
    "SLH-DSA-SHAKE-192f": ("3.29", 192, 35664),
    "SLH-DSA-SHAKE-256s": ("3.30", 256, 29792),
    "SLH-DSA-SHAKE-256f": ("3.31", 256, 49856),
}

SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "RSA-3072-PSS": Signature(_RSA, _PSS, True, 128, 398, "PS256", 384, public_side.rsa_pss("RSA-3072-PSS", 3072)),
        "ECDSA-P256": Signature(
            _P256, "FIPS 186-5, SHA-256", True, 128, 65, "ES256", 64, public_side.ecdsa("ECDSA-P256", ec.SECP256R1, SHA256(), 32)
        ),
        "ECDSA-P384": Signature(
            _P384, "FIPS 186-5, SHA-384", True, 192, 97, "ES384", 96, public_side.ecdsa("ECDSA-P384", ec.SECP384R1, SHA384(), 48)
        ),
        "Ed25519": Signature("1.3.101.112", "RFC 8032, pure", True, 128, 32, "Ed25519", 64, public_side.eddsa("Ed25519")),
        "ML-DSA-44": _ml_dsa("ML-DSA-44", "3.17", 128, 1312, 2420),
        "ML-DSA-65": _ml_dsa("ML-DSA-65", "3.18", 192, 1952, 3309),
        "ML-DSA-87": _ml_dsa("ML-DSA-87", "3.19", 256, 2592, 4627),
        **{name: _slh_dsa(name, *row) for name, row in _SLH_DSA.items()},
    }
)
ENCAPSULATIONS: Mapping[str, Encapsulation] = MappingProxyType(
    {
        "ML-KEM-512": _ml_kem("ML-KEM-512", "4.1", 128, 800, 768),
        "ML-KEM-768": _ml_kem("ML-KEM-768", "4.2", 192, 1184, 1088),
        "ML-KEM-1024": _ml_kem("ML-KEM-1024", "4.3", 256, 1568, 1568),
    }
)
ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType({**SIGNATURES, **ENCAPSULATIONS})

LOG_SUITES = ("ECDSA-P384", "ML-DSA-65")
"""What a checkpoint must be signed by, all of it: one classical and one post-quantum algorithm."""

Row = TypeVar("Row", bound=Algorithm)


def algorithm(name: str) -> Algorithm:
    """The row of the table.

    Raises:
        UnknownAlgorithm: there is none of that name.
    """
    return _row(ALGORITHMS, name, "algorithm")


def signature_algorithm(name: str) -> Signature:
    """The row of a signature algorithm.

    Raises:
        UnknownAlgorithm: there is none of that name.
    """
    return _row(SIGNATURES, name, "signature algorithm")


def encapsulation(name: str) -> Encapsulation:
    """The row of a key encapsulation mechanism.

    Raises:
        UnknownAlgorithm: there is none of that name.
    """
    return _row(ENCAPSULATIONS, name, "key encapsulation mechanism")


def raw_public_key(name: str, spki: bytes) -> bytes:
    """The raw bytes of a post-quantum or Ed25519 public key.

    Raises:
        WrongPublicKey: it is no key of this algorithm.
    """
    row = algorithm(name)
    raw = unwrap(row.oid, row.public_bytes, spki)
    if raw is None:
        raise WrongPublicKey(f"the public key is no {name} key")
    return raw


def _row(table: Mapping[str, Row], name: str, what: str) -> Row:
    try:
        return table[name]
    except KeyError:
        raise UnknownAlgorithm(f"no {what} {name!r}; known: {', '.join(table)}") from None
