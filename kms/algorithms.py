"""The signature algorithms: one table, from which everything else follows. Verification is by `cryptography` (OpenSSL)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kms.errors import UnknownAlgorithm, WrongSignature


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature algorithm.

    Attributes:
        oid: of the public key: the curve's, or the algorithm's.
        classical: False when it is meant to withstand a quantum computer.
        bits: classical security strength.
        signature_bytes: length of a signature; an ECDSA one is r || s, big-endian, each as long as the group's order.
        standard: where it is specified.
        verify: (SPKI in DER, signature, data), raises WrongSignature.
    """

    oid: str
    classical: bool
    bits: int
    signature_bytes: int
    standard: str
    verify: Callable[[bytes, bytes, bytes], None]


def signature_algorithm(name: str) -> Signature:
    """The row of the table.

    Raises:
        UnknownAlgorithm: there is none of that name.
    """
    try:
        return SIGNATURES[name]
    except KeyError:
        raise UnknownAlgorithm(f"no signature algorithm {name!r}; known: {', '.join(SIGNATURES)}") from None


def _verify_ecdsa_p384(spki: bytes, signature: bytes, data: bytes) -> None:
    key = _load(spki)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1) or len(signature) != 96:
        raise WrongSignature("an ECDSA-P384 signature is 96 bytes under a P-384 key")
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    _check(lambda: key.verify(encode_dss_signature(r, s), data, ec.ECDSA(SHA384())), "ECDSA-P384")


def _verify_mldsa65(spki: bytes, signature: bytes, data: bytes) -> None:
    key = _load(spki)
    if not isinstance(key, mldsa.MLDSA65PublicKey):
        raise WrongSignature("an ML-DSA-65 signature needs an ML-DSA-65 key")
    _check(lambda: key.verify(signature, data), "ML-DSA-65")


def _check(verify: Callable[[], None], name: str) -> None:
    try:
        verify()
    except InvalidSignature:
        raise WrongSignature(f"the {name} signature does not verify: data, signature or key were changed") from None


@lru_cache(maxsize=256)
def _load(spki: bytes) -> object:
    try:
        return load_der_public_key(spki)
    except ValueError as error:
        raise WrongSignature(f"the public key cannot be read: {error}") from error


SIGNATURES: Mapping[str, Signature] = MappingProxyType(
    {
        "ECDSA-P384": Signature("1.3.132.0.34", True, 192, 96, "FIPS 186-5, SHA-384", _verify_ecdsa_p384),
        "ML-DSA-65": Signature("2.16.840.1.101.3.4.3.18", False, 192, 3309, "FIPS 204, pure, empty context", _verify_mldsa65),
    }
)

LOG_SUITES = ("ECDSA-P384", "ML-DSA-65")
"""What a checkpoint must be signed by, all of it: one classical and one post-quantum algorithm."""
