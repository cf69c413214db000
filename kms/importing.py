"""Private keys that were made elsewhere: read from PKCS#8 (RFC 5958), and held against the algorithm that they are said to be of.

While one is read and handed to a token it is in this process's memory, and Python does not wipe it.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from kms.algorithms import SIGNATURES, algorithm
from kms.errors import WrongPrivateKey
from kms.spki import unwrap_private, wrap

MOST_BYTES = 64 * 1024
"""Of a file with a private key; the largest of ours has 2 KB."""

_PEM = b"-----BEGIN "
_ML_KEM_512_BYTES, _ML_KEM_512_PUBLIC = 1632, slice(768, 1568)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key from outside.

    Attributes:
        algorithm: of `kms.algorithms.ALGORITHMS`.
        spki: its public half, SubjectPublicKeyInfo in DER.
        secret: of a post-quantum key as `kms.software` has it, the seed for example; of a classical one PKCS#8 in DER.
    """

    algorithm: str
    spki: bytes
    secret: bytes = field(repr=False)


def _elliptic(curve: type[ec.EllipticCurve]) -> Callable[[Any], bool]:
    return lambda key: isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, curve)


def _kind(kind: type[Any]) -> Callable[[Any], bool]:
    return lambda key: isinstance(key, kind)


_FITS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "RSA-3072-PSS": lambda key: isinstance(key, rsa.RSAPrivateKey) and key.key_size == 3072,
        "ECDSA-P256": _elliptic(ec.SECP256R1),
        "ECDSA-P384": _elliptic(ec.SECP384R1),
        "Ed25519": _kind(ed25519.Ed25519PrivateKey),
        "ML-DSA-44": _kind(mldsa.MLDSA44PrivateKey),
        "ML-DSA-65": _kind(mldsa.MLDSA65PrivateKey),
        "ML-DSA-87": _kind(mldsa.MLDSA87PrivateKey),
        "ML-KEM-768": _kind(mlkem.MLKEM768PrivateKey),
        "ML-KEM-1024": _kind(mlkem.MLKEM1024PrivateKey),
    }
)
"""Whether what `cryptography` has read is a key of the algorithm."""


def read_private_key(name: str, content: bytes, passphrase: Callable[[], str]) -> PrivateKey:
    """The private key in PEM or DER.

    SLH-DSA (RFC 9909) and ML-KEM-512 (RFC 9935, its expanded form) are read unencrypted only.

    Args:
        name: the algorithm that it must be of.
        content: PKCS#8.
        passphrase: asked where it is encrypted.

    Raises:
        UnknownAlgorithm: not in the table.
        WrongPrivateKey: it is no private key of the algorithm, or the passphrase is wrong.
    """
    algorithm(name)
    if len(content) > MOST_BYTES:
        raise WrongPrivateKey(f"a private key has at most {MOST_BYTES:,} bytes, this has {len(content):,} or more")
    if name not in _FITS:
        return _raw(name, content)
    key = _load(name, content, passphrase)
    if not _FITS[name](key):
        raise _wrong(name)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    classical = algorithm(name).classical
    secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) if classical else key.private_bytes_raw()
    return PrivateKey(name, spki, secret)


def _load(name: str, content: bytes, passphrase: Callable[[], str]) -> Any:
    read = load_pem_private_key if content.startswith(_PEM) else load_der_private_key
    try:
        try:
            return read(content, None)
        except TypeError:  # it is encrypted
            return read(content, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong(name) from None  # without the cause, whose text may hold what was read


def _raw(name: str, content: bytes) -> PrivateKey:
    """A key that `cryptography` does not know: its private bytes hold the public ones (FIPS 205, FIPS 203)."""
    row = algorithm(name)
    signs = name in SIGNATURES
    secret = unwrap_private(row.oid, 2 * row.public_bytes if signs else _ML_KEM_512_BYTES, _der(name, content), nested=not signs)
    if secret is None:
        raise _wrong(name)
    public = secret[row.public_bytes :] if signs else secret[_ML_KEM_512_PUBLIC]
    return PrivateKey(name, wrap(row.oid, public), secret)


def _der(name: str, content: bytes) -> bytes:
    if not content.startswith(_PEM):
        return content
    try:
        return base64.b64decode(b"".join(line for line in content.splitlines() if not line.startswith(b"--")), validate=True)
    except binascii.Error:
        raise _wrong(name) from None


def _wrong(name: str) -> WrongPrivateKey:
    return WrongPrivateKey(
        f"this is no {name} private key in PKCS#8 (PEM or DER), or its passphrase is another; `openssl pkcs8 -topk8` converts"
    )
