"""A private key from outside as the attributes of a token's object, for C_CreateObject (PKCS#11 3.2, sections 6.1 to 6.69).

The token marks such an object itself: CKA_LOCAL and CKA_NEVER_EXTRACTABLE are false for ever, whatever a key ring says of it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key
from pkcs11 import Attribute, KeyType, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from kms.importing import PrivateKey
from kms.inside import PARAMETER_SETS, PRIVATE, SLH_DSA_KEY

Attributes = dict[Attribute, Any]

_SIGNS, _OPENS = {Attribute.SIGN: True}, {Attribute.DECAPSULATE: True}


def attributes_of(key: PrivateKey, label: str, object_id: bytes) -> Attributes:
    """What makes the token's object of a key; it cannot be read back out of the token."""
    about = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.TOKEN: True, Attribute.LABEL: label, Attribute.ID: object_id}
    family = next(name for name in _FAMILIES if key.algorithm.startswith(name))
    return {**about, **PRIVATE, **_FAMILIES[family](key)}


def _rsa(key: PrivateKey) -> Attributes:
    private: Any = load_der_private_key(key.secret, None)
    assert isinstance(private, rsa.RSAPrivateKey)  # noqa: S101 - `kms.importing` has looked
    numbers = private.private_numbers()
    values = {
        Attribute.MODULUS: numbers.public_numbers.n,
        Attribute.PUBLIC_EXPONENT: numbers.public_numbers.e,
        Attribute.PRIVATE_EXPONENT: numbers.d,
        Attribute.PRIME_1: numbers.p,
        Attribute.PRIME_2: numbers.q,
        Attribute.EXPONENT_1: numbers.dmp1,
        Attribute.EXPONENT_2: numbers.dmq1,
        Attribute.COEFFICIENT: numbers.iqmp,
    }
    return {Attribute.KEY_TYPE: KeyType.RSA, **_SIGNS, **{name: _octets(value) for name, value in values.items()}}


def _ecdsa(key: PrivateKey) -> Attributes:
    private: Any = load_der_private_key(key.secret, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)  # noqa: S101
    value = private.private_numbers().private_value.to_bytes((private.key_size + 7) // 8, "big")
    curve = encode_named_curve_parameters(private.curve.name)
    return {Attribute.KEY_TYPE: KeyType.EC, **_SIGNS, Attribute.EC_PARAMS: curve, Attribute.VALUE: value}


def _ed25519(key: PrivateKey) -> Attributes:
    private: Any = load_der_private_key(key.secret, None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)  # noqa: S101
    curve = encode_named_curve_parameters("1.3.101.112")
    return {
        Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
        **_SIGNS,
        Attribute.EC_PARAMS: curve,
        Attribute.VALUE: private.private_bytes_raw(),
    }


def _in_sets(kind: KeyType, may: Attributes, form: Attribute) -> Callable[[PrivateKey], Attributes]:
    def attributes(key: PrivateKey) -> Attributes:
        return {Attribute.KEY_TYPE: kind, **may, Attribute.PARAMETER_SET: PARAMETER_SETS[key.algorithm], form: key.secret}

    return attributes


_FAMILIES: Mapping[str, Callable[[PrivateKey], Attributes]] = MappingProxyType(
    {
        "RSA": _rsa,
        "ECDSA": _ecdsa,
        "Ed25519": _ed25519,
        "ML-DSA": _in_sets(KeyType.ML_DSA, _SIGNS, Attribute.SEED),
        "SLH-DSA": _in_sets(SLH_DSA_KEY, _SIGNS, Attribute.VALUE),
        "ML-KEM-512": _in_sets(KeyType.ML_KEM, _OPENS, Attribute.VALUE),
        "ML-KEM": _in_sets(KeyType.ML_KEM, _OPENS, Attribute.SEED),
    }
)
"""By the beginning of the algorithm's name, the longer first."""


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
