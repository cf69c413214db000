"""Public keys in the forms that other programs read: SPKI as PEM or DER, raw bytes, JWK. Private keys have none."""

import base64
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from kms.algorithms import SIGNATURES, algorithm, raw_public_key
from kms.errors import NoSuchForm
from kms.keys import PublicKey

_CURVES = {"ECDSA-P256": "P-256", "ECDSA-P384": "P-384"}


def export(key: PublicKey, form: str) -> bytes:
    """The public key as `pem`, `der` (both SubjectPublicKeyInfo), `raw` or `jwk` (one line of JSON).

    Raises:
        NoSuchForm: none of these, or no JWK is defined for the algorithm.
    """
    if form not in FORMS:
        raise NoSuchForm(f"no form {form!r} of a public key; known: {', '.join(FORMS)}")
    return FORMS[form](key)


def _pem(key: PublicKey) -> bytes:
    text = base64.encodebytes(key.spki).replace(b"\n", b"")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join((b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----", b""))


def _raw(key: PublicKey) -> bytes:
    """What stands in the bit string of the SPKI: 04 || x || y of a NIST curve, PKCS#1 of RSA."""
    if key.algorithm in _CURVES:
        return bytes(_loaded(key).public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    if key.algorithm.startswith("RSA"):
        return bytes(_loaded(key).public_bytes(Encoding.DER, PublicFormat.PKCS1))
    return raw_public_key(key.algorithm, key.spki)


def _jwk(key: PublicKey) -> bytes:
    """RFC 7517 with RFC 7518 (EC, RSA), RFC 8037 (OKP) and RFC 9964 (AKP: ML-DSA)."""
    name = algorithm(key.algorithm).jose
    if not name:
        known = ", ".join(name for name, row in SIGNATURES.items() if row.jose)
        raise NoSuchForm(f"no JWK is defined for {key.algorithm} yet; take pem, der or raw (a JWK there is for {known})")
    return json.dumps({**_jwk_key(key), "alg": name, "use": "sig", "kid": key.kid}).encode() + b"\n"


def _jwk_key(key: PublicKey) -> dict[str, str]:
    loaded = _loaded(key)
    if isinstance(loaded, rsa.RSAPublicKey):
        numbers = loaded.public_numbers()
        return {"kty": "RSA", "n": _base64url(_bytes(numbers.n)), "e": _base64url(_bytes(numbers.e))}
    raw = _raw(key)
    if isinstance(loaded, ec.EllipticCurvePublicKey):
        half = len(raw) // 2
        return {"kty": "EC", "crv": _CURVES[key.algorithm], "x": _base64url(raw[1 : half + 1]), "y": _base64url(raw[half + 1 :])}
    if key.algorithm == "Ed25519":
        return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(raw)}
    return {"kty": "AKP", "pub": _base64url(raw)}


FORMS: Mapping[str, Callable[[PublicKey], bytes]] = MappingProxyType(
    {"pem": _pem, "der": lambda key: key.spki, "raw": _raw, "jwk": _jwk}
)


def _loaded(key: PublicKey) -> Any:
    return load_der_public_key(key.spki)


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
