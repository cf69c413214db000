"""The policies: which groups, certificates and versions each end of a connection brings in. One table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from kms.tls.errors import UnknownPolicy

Version = Literal["TLSv1.2", "TLSv1.3"]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one end of a connection brings in.

    Attributes:
        groups: in OpenSSL's syntax: / separates tuples, the earlier preferred even when it costs a HelloRetryRequest; : separates
            the members of a tuple; * before a group makes a client send a share for it at once.
        signatures: signature schemes of handshake and certificates, the preferred first.
        minimum: the lowest version.
        maximum: the highest version.
    """

    groups: str
    signatures: str
    minimum: Version = "TLSv1.3"
    maximum: Version = "TLSv1.3"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a deployment allows.

    Attributes:
        server: what a server under it brings in.
        client: what a client under it brings in.
        certificates: algorithms of a server's own keys, each with a certificate; the client's signature schemes choose.
        roots: algorithms of CA keys that a client trusts.
        post_quantum: True when nothing classical is accepted, neither as key exchange nor as certificate.
    """

    name: str
    server: Offer
    client: Offer
    certificates: tuple[str, ...]
    roots: tuple[str, ...]
    post_quantum: bool


ECDSA = "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384"
ML_DSA = "mldsa65:mldsa44:mldsa87"
_HYBRID, _CURVES = "X25519MLKEM768", "X25519:secp256r1:secp384r1"

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            Policy(
                name="classical",
                server=Offer(_CURVES, ECDSA, minimum="TLSv1.2"),
                client=Offer(_CURVES, ECDSA, minimum="TLSv1.2"),
                certificates=("ECDSA-P256",),
                roots=("ECDSA-P384",),
                post_quantum=False,
            ),
            Policy(
                name="dual",
                # Not "X25519MLKEM768:X25519": a client that supports both and sends a share of X25519 alone would get X25519.
                server=Offer(f"{_HYBRID}/{_CURVES}", f"{ML_DSA}:{ECDSA}"),
                client=Offer(f"*{_HYBRID}/*{_CURVES}", f"{ML_DSA}:{ECDSA}"),
                certificates=("ECDSA-P256", "ML-DSA-65"),
                roots=("ECDSA-P384", "ML-DSA-65"),
                post_quantum=False,
            ),
            Policy(
                name="pqc-required",
                server=Offer(_HYBRID, ML_DSA),
                client=Offer(_HYBRID, ML_DSA),
                certificates=("ML-DSA-65",),
                roots=("ML-DSA-65",),
                post_quantum=True,
            ),
        )
    }
)
DEFAULT = "dual"

RSA = "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512"
"""Signature schemes of certificates that others have issued, TLS 1.3."""


def taking_rsa(rules: Policy) -> Policy:
    """The policy of a server that shows, or takes from clients, RSA certificates too, where it is not post-quantum alone."""
    if rules.post_quantum:
        return rules
    return replace(rules, server=replace(rules.server, signatures=f"{rules.server.signatures}:{RSA}"))


def policy(name: str) -> Policy:
    """The row of a policy.

    Raises:
        UnknownPolicy: there is none of that name.
    """
    try:
        return POLICIES[name]
    except KeyError:
        raise UnknownPolicy(f"no TLS policy {name!r}; known: {', '.join(POLICIES)}") from None
