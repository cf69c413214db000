"""What public keys alone can do, without a token: verify and encapsulate. The table of algorithms is made from these.

RSA, ECDSA, Ed25519, ML-DSA and ML-KEM-768/1024 are `cryptography`'s (OpenSSL), SLH-DSA and ML-KEM-512 `pqcrypto`'s (Rust).
"""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import pqcrypto
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kms.errors import WrongPublicKey, WrongSignature
from kms.spki import unwrap

Verify = Callable[[bytes, bytes, bytes], None]
"""(SPKI in DER, signature, data); raises WrongSignature."""

RSA_SALT_BYTES = SHA256.digest_size


def rsa_pss(name: str, bits: int) -> Verify:
    """RSASSA-PSS with SHA-256, MGF1 by SHA-256 and a salt of 32 bytes (RFC 8017 section 8.1)."""
    pss, sha256 = padding.PSS(padding.MGF1(SHA256()), RSA_SALT_BYTES), SHA256()

    def fits(key: object) -> bool:
        return isinstance(key, rsa.RSAPublicKey) and key.key_size == bits

    return _verify(name, bits // 8, fits, lambda key, signature, data: key.verify(signature, data, pss, sha256))


def ecdsa(name: str, curve: type[ec.EllipticCurve], hashed: HashAlgorithm, order_bytes: int) -> Verify:
    """ECDSA (FIPS 186-5); a signature is r || s, big-endian, each as long as the group's order."""

    def fits(key: object) -> bool:
        return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curve)

    def check(key: Any, signature: bytes, data: bytes) -> None:
        r, s = int.from_bytes(signature[:order_bytes], "big"), int.from_bytes(signature[order_bytes:], "big")
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashed))

    return _verify(name, 2 * order_bytes, fits, check)


def eddsa(name: str) -> Verify:
    """Ed25519 (RFC 8032 section 5.1), pure."""
    return _verify(
        name, 64, lambda key: isinstance(key, ed25519.Ed25519PublicKey), lambda key, signature, data: key.verify(signature, data)
    )


def ml_dsa(name: str, signature_bytes: int) -> Verify:
    """ML-DSA (FIPS 204 algorithm 3), pure, empty context."""
    kind = {"ML-DSA-44": mldsa.MLDSA44PublicKey, "ML-DSA-65": mldsa.MLDSA65PublicKey, "ML-DSA-87": mldsa.MLDSA87PublicKey}[name]
    return _verify(
        name, signature_bytes, lambda key: isinstance(key, kind), lambda key, signature, data: key.verify(signature, data)
    )


def slh_dsa(name: str, oid: str, public_bytes: int, signature_bytes: int) -> Verify:
    """SLH-DSA (FIPS 205 algorithm 24), pure, empty context."""
    scheme = rust(name)

    def verify(spki: bytes, signature: bytes, data: bytes) -> None:
        raw = unwrap(oid, public_bytes, spki)
        if raw is None:
            _load(spki)  # says so when it is no key at all
            raise WrongSignature(f"an {name} signature needs an {name} key")
        _length(name, signature_bytes, signature)
        try:
            scheme.verify(raw, data, signature)
        except (pqcrypto.InvalidSignatureError, ValueError):
            raise _wrong(name) from None

    return verify


def encapsulating(name: str) -> Callable[[bytes], tuple[bytes, bytes]]:
    """Raw public key -> (ciphertext, shared secret of 32 bytes), FIPS 203 algorithm 20; raises WrongPublicKey.

    Encapsulating needs no private key, so no token either.
    """
    classes: dict[str, Any] = {"ML-KEM-768": mlkem.MLKEM768PublicKey, "ML-KEM-1024": mlkem.MLKEM1024PublicKey}

    def encapsulate(raw: bytes) -> tuple[bytes, bytes]:
        try:
            if name not in classes:
                ciphertext, secret = rust(name).encaps(raw)
            else:
                secret, ciphertext = classes[name].from_public_bytes(raw).encapsulate()
        except ValueError as error:
            raise WrongPublicKey(f"the public key is no {name} key: {error}") from None
        return ciphertext, secret

    return encapsulate


def rust(name: str) -> ModuleType:
    """The module of `pqcrypto` for an algorithm of FIPS 203 or 205."""
    found: ModuleType = getattr(pqcrypto, name.lower().replace("-", "_"))
    return found


def _verify(name: str, signature_bytes: int, fits: Callable[[object], bool], check: Callable[[Any, bytes, bytes], None]) -> Verify:
    def verify(spki: bytes, signature: bytes, data: bytes) -> None:
        key = _load(spki)
        if not fits(key):
            raise WrongSignature(f"an {name} signature needs an {name} key")
        _length(name, signature_bytes, signature)
        try:
            check(key, signature, data)
        except InvalidSignature:
            raise _wrong(name) from None

    return verify


def _length(name: str, expected: int, signature: bytes) -> None:
    if len(signature) != expected:
        raise WrongSignature(f"an {name} signature is {expected} bytes, this one {len(signature)}")


def _wrong(name: str) -> WrongSignature:
    return WrongSignature(f"the {name} signature does not verify: data, signature or key were changed")


@lru_cache(maxsize=256)
def _load(spki: bytes) -> object:
    try:
        return load_der_public_key(spki)
    except UnsupportedAlgorithm:
        return None  # a key, but of an algorithm that OpenSSL does not know
    except ValueError as error:
        raise WrongSignature(f"the public key cannot be read: {error}") from error
