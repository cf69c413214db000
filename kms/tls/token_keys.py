"""Keys of a token as `cryptography`'s private keys, for its certificate builder: they sign, and cannot be read.

The interfaces have more methods than signing; those that would need the key itself say that it stays in the token.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, Self

from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kms.errors import UnknownAlgorithm
from kms.keys import Key

_HALF = 48
"""Bytes of r and of s in an ECDSA P-384 signature."""


class _InToken:
    """What all have: the key, and the refusal to give it away."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def public_key(self) -> Any:
        return load_der_public_key(self._key.public.spki)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def _stays(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"the private key of {self._key.public.label} stays in its token: it signs, and does nothing else")

    private_bytes = private_bytes_raw = private_numbers = exchange = sign_mu = _stays


class EcdsaP384InToken(_InToken, ec.EllipticCurvePrivateKey):
    """An ECDSA P-384 key of a token."""

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-384."""
        return ec.SECP384R1()

    @property
    def key_size(self) -> int:
        """In bits."""
        return self.curve.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """The signature as certificates have it: a DER sequence of r and s (RFC 3279 section 2.2.3).

        Raises:
            TypeError: another hash than SHA-384 is asked for, or data that is hashed already.
            TokenError: the token refuses.
        """
        if not isinstance(signature_algorithm.algorithm, SHA384):
            raise TypeError("ECDSA P-384 keys of a token sign with SHA-384")
        raw = self._key.sign(bytes(data))
        return encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))


class MlDsa65InToken(_InToken, mldsa.MLDSA65PrivateKey):
    """An ML-DSA-65 key of a token, or one that the token seals."""

    def sign(self, data: Any, context: Any = None) -> bytes:
        """The signature (FIPS 204 algorithm 2, pure).

        Raises:
            TypeError: a context is given: certificates have none (RFC 9881).
            TokenError: the token refuses.
        """
        if context:
            raise TypeError("signatures of certificates have no context")
        return self._key.sign(bytes(data))


ISSUERS: Mapping[str, tuple[Callable[[Key], Any], SHA384 | None]] = MappingProxyType(
    {"ECDSA-P384": (EcdsaP384InToken, SHA384()), "ML-DSA-65": (MlDsa65InToken, None)}
)
"""Algorithms that a CA may have: the key as the builder takes it, and the hash that the builder is told."""


def issuer(key: Key) -> tuple[Any, SHA384 | None]:
    """(private key for `CertificateBuilder.sign`, hash to sign with, None for an algorithm that hashes itself).

    Raises:
        UnknownAlgorithm: no CA has keys of this algorithm.
    """
    if key.public.algorithm not in ISSUERS:
        raise UnknownAlgorithm(f"a CA has no keys of {key.public.algorithm}; it may have {', '.join(ISSUERS)}")
    kind, hashed = ISSUERS[key.public.algorithm]
    return kind(key), hashed
