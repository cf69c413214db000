"""`cryptoProperties` of a CycloneDX 1.6 CBOM: of keys, certificates, TLS policies and algorithms."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from cryptography import x509

from kms.algorithms import ALGORITHMS, ENCAPSULATIONS, SIGNATURES
from kms.deprecation import GROUPS, HYBRIDS, Deadline
from kms.life import KeyState
from kms.ring_rows import Entry
from kms.tls.policies import Policy

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "SHA-256": "leaves and trees of the logs (RFC 6962), digests of events, names of keys",
        "AES-256-GCM": "seals post-quantum secrets where the token does not know the algorithm; TLS records",
    }
)
"""What the code uses without a key of the ring."""

_STATES: Mapping[KeyState, str] = {
    "pre-active": "pre-activation",
    "active": "active",
    "verify-only": "deactivated",
    "deprecated": "deactivated",
    "revoked": "compromised",
    "destroyed": "destroyed",
}
"""Our states as NIST SP 800-57 part 1 section 7 has them."""

_TLS_SUITES = {"TLSv1.3": ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")}
_IDENTIFIERS = {
    "TLS_AES_128_GCM_SHA256": ["0x13", "0x01"],
    "TLS_AES_256_GCM_SHA384": ["0x13", "0x02"],
    "TLS_CHACHA20_POLY1305_SHA256": ["0x13", "0x03"],
}
_CURVES = {"ECDSA-P256": "secp256r1", "ECDSA-P384": "secp384r1", "Ed25519": "ed25519", "X25519": "x25519"}
_SIGNING, _ENCAPSULATING = ["keygen", "sign", "verify"], ["keygen", "encapsulate", "decapsulate"]


def key_properties(entry: Entry, algorithm: str) -> dict[str, Any]:
    """Of a key's public half, and how its private half is kept."""
    key, life = entry.public, entry.public.life
    times = {"creationDate": life.created, "activationDate": life.activates, "expirationDate": life.ends}
    material: dict[str, Any] = {
        "type": "public-key",
        "id": key.kid,
        "state": _STATES[key.state],
        "algorithmRef": algorithm,
        "size": ALGORITHMS[key.algorithm].public_bytes * 8,
        "format": "SubjectPublicKeyInfo",
        "securedBy": {"mechanism": "sealed by a PKCS#11 token" if entry.inside.sealed else "PKCS#11 token"},
    }
    material |= {name: time.isoformat() for name, time in times.items() if time is not None}
    return {"relatedCryptoMaterialProperties": material}


def certificate_properties(root: x509.Certificate, algorithm: str, key: str | None) -> dict[str, Any]:
    """Of a certificate."""
    properties = {
        "subjectName": root.subject.rfc4514_string(),
        "issuerName": root.issuer.rfc4514_string(),
        "notValidBefore": root.not_valid_before_utc.isoformat(),
        "notValidAfter": root.not_valid_after_utc.isoformat(),
        "signatureAlgorithmRef": algorithm,
        "certificateFormat": "X.509",
    }
    return {"certificateProperties": {**properties, **({"subjectPublicKeyRef": key} if key else {})}}


def protocol_properties(policy: Policy, ref: Callable[[str], str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(properties, refs of algorithms) of TLS under one of our policies: what a server accepts."""
    groups = [group.strip("*") for group in policy.server.groups.replace("/", ":").split(":")]
    algorithms = tuple(map(ref, dict.fromkeys((*groups, *policy.certificates, *policy.roots, "AES-256-GCM"))))
    suites = [{"name": name, "identifiers": _IDENTIFIERS[name], "algorithms": list(algorithms)} for name in _TLS_SUITES["TLSv1.3"]]
    version = "1.3" if policy.server.minimum == "TLSv1.3" else "1.2 and 1.3"
    properties = {"type": "tls", "version": version, "cipherSuites": suites, "cryptoRefArray": list(algorithms)}
    return {"protocolProperties": properties}, algorithms


def algorithm_properties(name: str, deadline: Deadline) -> dict[str, Any]:
    """Of an algorithm."""
    primitive, functions = _primitive(name)
    row = ALGORITHMS.get(name)
    properties: dict[str, Any] = {
        "primitive": primitive,
        "executionEnvironment": "hardware" if row else "software-plain-ram",
        "cryptoFunctions": functions,
        "nistQuantumSecurityLevel": deadline.category,
    }
    bits = row.bits if row else GROUPS.get(name)
    if bits:
        properties["classicalSecurityLevel"] = bits
    if name in _CURVES or name in GROUPS:
        properties["curve"] = _CURVES.get(name, name)
    if row is not None and not row.classical:
        properties["parameterSetIdentifier"] = name.split("-", 2)[-1]
    return {"algorithmProperties": properties, **({"oid": row.oid} if row else {})}


def _primitive(name: str) -> tuple[str, list[str]]:
    if name in SIGNATURES:
        return "signature", _SIGNING
    if name in ENCAPSULATIONS:
        return "kem", _ENCAPSULATING
    if name in HYBRIDS:
        return "combiner", _ENCAPSULATING
    if name in GROUPS:
        return "key-agree", ["keygen", "keyderive"]
    return {"SHA-256": ("hash", ["digest"])}.get(name, ("ae", ["encrypt", "decrypt"]))
