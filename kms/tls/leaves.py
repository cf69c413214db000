"""Keys of servers: made where they serve, in memory, for days at most; and their names."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from kms.algorithms import SIGNATURES
from kms.errors import UnknownAlgorithm
from kms.tls.errors import WrongName

_LABEL = re.compile(r"^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$")
_POST_QUANTUM = {row.oid for row in SIGNATURES.values() if not row.classical}  # of keys and of signatures, RFC 9881
_CURVES = {"secp256r1": "ECDSA-P256", "secp384r1": "ECDSA-P384"}


class Leaf(NamedTuple):
    """One algorithm of server keys: how one is made, and the algorithm of the CA that signs its certificate."""

    generate: Callable[[], Any]
    authority: str


LEAVES: Mapping[str, Leaf] = MappingProxyType(
    {
        "ECDSA-P256": Leaf(lambda: ec.generate_private_key(ec.SECP256R1()), "ECDSA-P384"),
        "ECDSA-P384": Leaf(lambda: ec.generate_private_key(ec.SECP384R1()), "ECDSA-P384"),
        "ML-DSA-44": Leaf(mldsa.MLDSA44PrivateKey.generate, "ML-DSA-65"),
        "ML-DSA-65": Leaf(mldsa.MLDSA65PrivateKey.generate, "ML-DSA-65"),
    }
)
"""A classical key is vouched for by the classical CA, a post-quantum one by the post-quantum: no chain is weaker than its leaf."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A server's certificate and its private key, which is in this process's memory and nowhere else."""

    certificate: x509.Certificate
    private_key: Any = field(repr=False)


def leaf(algorithm: str) -> Leaf:
    """The row of an algorithm.

    Raises:
        UnknownAlgorithm: servers have no keys of it.
    """
    if algorithm not in LEAVES:
        raise UnknownAlgorithm(f"no server has keys of {algorithm!r}; known: {', '.join(LEAVES)}")
    return LEAVES[algorithm]


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """The names that a certificate is for: DNS names and IP addresses.

    Raises:
        WrongName: there is none, or one is neither.
    """
    if not names:
        raise WrongName("a server's certificate needs a name: give the DNS name or IP address that clients connect to")
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def algorithm_of(certificate: x509.Certificate) -> str:
    """The algorithm of a certificate's key, as `kms.algorithms` names it; its OID where it is not in that table."""
    key, oid = certificate.public_key(), certificate.public_key_algorithm_oid.dotted_string
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVES.get(key.curve.name, key.curve.name)
    return next((name for name, row in SIGNATURES.items() if row.oid == oid), oid)


def post_quantum(certificate: x509.Certificate) -> bool:
    """Whether both a certificate's key and the signature under it withstand a quantum computer."""
    oids = (certificate.public_key_algorithm_oid.dotted_string, certificate.signature_algorithm_oid.dotted_string)
    return all(oid in _POST_QUANTUM for oid in oids)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        raise WrongName(f"{name!r} is neither a DNS name nor an IP address; a name outside ASCII is written in its xn-- form")
    return x509.DNSName(name)
