"""Keys that live in a PKCS#11 token: for each algorithm, how they are made there and used there (PKCS#11 3.2)."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, MLDSAParameterSet, MLKEMParameterSet
from pkcs11.attributes import AttributeMapper, handle_ulong
from pkcs11.util.ec import encode_named_curve_parameters

from kms.algorithms import algorithm
from kms.public_side import RSA_SALT_BYTES
from kms.spki import wrap

PRIVATE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
"""What every private and secret key is made with."""

_SIGNING = MechanismFlag.SIGN | MechanismFlag.VERIFY
_SECRET_BITS = 256


@dataclass(frozen=True, slots=True)
class Inside:
    """One algorithm in a token.

    Attributes:
        mechanism: what the token must offer to hold keys of the algorithm.
        generate: (session, label, CKA_ID) -> SPKI of a new key pair.
        use: (private key, data) -> signature, or (private key, ciphertext) -> shared secret.
    """

    mechanism: Mechanism
    generate: Callable[[pkcs11.Session, str, bytes], bytes]
    use: Callable[[Any, bytes], bytes]


def _member(kind: type[Any], name: str, value: int) -> Any:
    """A member that `python-pkcs11` 0.10 does not have."""
    made = int.__new__(kind, value)
    made._name_, made._value_ = name, value
    return made


SLH_DSA_KEY = _member(KeyType, "SLH_DSA", 0x4B)
_SLH_DSA_GENERATE = _member(Mechanism, "SLH_DSA_KEY_PAIR_GEN", 0x2D)
_SLH_DSA = _member(Mechanism, "SLH_DSA", 0x2E)
_SLH_DSA_SIGNATURE_BYTES = 49_856


def attributes() -> AttributeMapper:
    """Attributes of a session that meets SLH-DSA keys: of their key type `python-pkcs11` would make an error."""
    mapper = AttributeMapper()
    pack, unpack = handle_ulong
    mapper.register_handler(
        Attribute.KEY_TYPE,
        lambda kind: pack(int(kind)),
        lambda value: SLH_DSA_KEY if unpack(value) == SLH_DSA_KEY else KeyType(unpack(value)),
    )
    return mapper


def _rsa_pss(bits: int) -> Inside:
    parameters = (Mechanism.SHA256, MGF.SHA256, RSA_SALT_BYTES)

    def generate(session: pkcs11.Session, label: str, object_id: bytes) -> bytes:
        public, _ = session.generate_keypair(
            KeyType.RSA, bits, store=True, label=label, id=object_id, capabilities=_SIGNING, private_template=PRIVATE
        )
        exponent, modulus = (int.from_bytes(public[name], "big") for name in (Attribute.PUBLIC_EXPONENT, Attribute.MODULUS))
        return _der(rsa.RSAPublicNumbers(exponent, modulus).public_key())

    def sign(key: Any, data: bytes) -> bytes:
        return bytes(key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=parameters))

    return Inside(Mechanism.SHA256_RSA_PKCS_PSS, generate, sign)


def _ecdsa(curve: ec.EllipticCurve, point_bytes: int, hashed: Callable[[bytes], Any]) -> Inside:
    def generate(session: pkcs11.Session, label: str, object_id: bytes) -> bytes:
        parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(curve.name)}
        domain = session.create_domain_parameters(KeyType.EC, parameters, local=True)
        public, _ = domain.generate_keypair(store=True, label=label, id=object_id, capabilities=_SIGNING, private_template=PRIVATE)
        point = bytes(public[Attribute.EC_POINT])[-point_bytes:]  # DER octet string or bare point: both end with 04 || x || y
        return _der(ec.EllipticCurvePublicKey.from_encoded_point(curve, point))

    # The hash is made here: PKCS#11 2.40 tokens have the bare CKM_ECDSA, few have CKM_ECDSA_SHA384.
    return Inside(Mechanism.ECDSA, generate, lambda key, data: bytes(key.sign(hashed(data).digest(), mechanism=Mechanism.ECDSA)))


def _ed25519(name: str) -> Inside:
    row = algorithm(name)

    def generate(session: pkcs11.Session, label: str, object_id: bytes) -> bytes:
        parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(row.oid)}
        domain = session.create_domain_parameters(KeyType.EC_EDWARDS, parameters, local=True)
        public, _ = domain.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=label,
            id=object_id,
            capabilities=_SIGNING,
            private_template=PRIVATE,
        )
        return wrap(row.oid, bytes(public[Attribute.EC_POINT])[-row.public_bytes :])

    return Inside(Mechanism.EDDSA, generate, lambda key, data: bytes(key.sign(data, mechanism=Mechanism.EDDSA)))


def _in_sets(name: str, mechanism: Mechanism, use: Callable[[Any, bytes], bytes], how: Mapping[str, Any]) -> Inside:
    """An algorithm of PKCS#11 3.2 whose keys are told apart by a parameter set."""
    row = algorithm(name)

    def generate(session: pkcs11.Session, label: str, object_id: bytes) -> bytes:
        sets = {Attribute.PARAMETER_SET: PARAMETER_SETS[name]}
        public, _ = session.generate_keypair(
            store=True, label=label, id=object_id, public_template=sets, private_template=PRIVATE, **how
        )
        return wrap(row.oid, bytes(public[Attribute.VALUE]))

    return Inside(mechanism, generate, use)


def _ml_dsa(name: str) -> Inside:
    def sign(key: Any, data: bytes) -> bytes:
        return bytes(key.sign(data, mechanism=Mechanism.ML_DSA))

    return _in_sets(name, Mechanism.ML_DSA, sign, {"key_type": KeyType.ML_DSA})


def _slh_dsa(name: str) -> Inside:
    how = {"key_type": SLH_DSA_KEY, "mechanism": _SLH_DSA_GENERATE, "capabilities": _SIGNING}

    def sign(key: Any, data: bytes) -> bytes:
        return bytes(key.sign(data, mechanism=_SLH_DSA, buffer_size=_SLH_DSA_SIGNATURE_BYTES))

    return _in_sets(name, _SLH_DSA, sign, how)


def _ml_kem(name: str) -> Inside:
    return _in_sets(name, Mechanism.ML_KEM, _decapsulate, {"key_type": KeyType.ML_KEM})


def _decapsulate(key: Any, ciphertext: bytes) -> bytes:
    """The shared secret leaves the token, since it is whoever called that needs it; the private key does not."""
    leaves = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
    secret = key.decapsulate_key(ciphertext, KeyType.GENERIC_SECRET, _SECRET_BITS, store=False, template=leaves)
    try:
        return bytes(secret[Attribute.VALUE])
    finally:
        secret.destroy()


def _der(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


# CKP_SLH_DSA_*, PKCS#11 3.2 section 6.69: SHA2 and SHAKE by turns
_SLH_DSA_SETS = [
    f"SLH-DSA-{hashed}-{size}" for size in ("128s", "128f", "192s", "192f", "256s", "256f") for hashed in ("SHA2", "SHAKE")
]
PARAMETER_SETS: Mapping[str, int] = MappingProxyType(
    {
        **{name: MLDSAParameterSet[name.replace("-", "_")] for name in ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")},
        **{name: number for number, name in enumerate(_SLH_DSA_SETS, 1)},
        **{name: MLKEMParameterSet[name.replace("-", "_")] for name in ("ML-KEM-512", "ML-KEM-768", "ML-KEM-1024")},
    }
)
"""CKA_PARAMETER_SET of the algorithms that have one."""

INSIDE: Mapping[str, Inside] = MappingProxyType(
    {
        "RSA-3072-PSS": _rsa_pss(3072),
        "ECDSA-P256": _ecdsa(ec.SECP256R1(), 65, hashlib.sha256),
        "ECDSA-P384": _ecdsa(ec.SECP384R1(), 97, hashlib.sha384),
        "Ed25519": _ed25519("Ed25519"),
        **{name: _ml_dsa(name) for name in ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")},
        **{name: _slh_dsa(name) for name in _SLH_DSA_SETS},
        **{name: _ml_kem(name) for name in ("ML-KEM-512", "ML-KEM-768", "ML-KEM-1024")},
    }
)
