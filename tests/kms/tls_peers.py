"""Both ends of TLS connections for tests: a server that remembers what it saw, certificates that no authority would issue."""

import ssl
from contextlib import contextmanager
from datetime import timedelta
from queue import SimpleQueue

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from kms.tls.channel import Channel, connect
from kms.tls.contexts import client_context, server_context
from kms.tls.handshake import Handshake, Negotiated
from kms.tls.leaves import Credential
from kms.tls.policies import POLICIES, Policy
from kms.tls.serving import Listener
from schemas.record import now

SECONDS = 10.0


def standard_context(authority):
    """A client of the standard library that trusts what `tls-ca.pem` has: the CA certificates of both kinds."""
    return ssl.create_default_context(cadata="".join(root.public_bytes(Encoding.PEM).decode() for root in authority.roots.values()))


class Seen:
    """A server on loopback and the handshakes that it reported."""

    def __init__(self, policy: Policy, credentials: list[Credential], chain=(), seconds: float = SECONDS) -> None:
        self.reports: SimpleQueue[Handshake] = SimpleQueue()
        context = server_context(policy.server, credentials)
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        self.listener = Listener(policy.name, lambda: context, self.reports.put, seconds=seconds)
        self.address = self.listener.address

    def next(self) -> Handshake:
        return self.reports.get(timeout=SECONDS)


@contextmanager
def serving(policy, credentials, chain=(), seconds=SECONDS):
    seen = Seen(policy, credentials, chain, seconds)
    with seen.listener:
        yield seen


@contextmanager
def served(authority, name, names=("localhost",)):
    """A server under a policy with the certificates that the policy names."""
    policy = POLICIES[name]
    with serving(policy, [authority.issue(algorithm, names) for algorithm in policy.certificates]) as seen:
        yield seen


def met(address, policy, roots, name="localhost") -> Negotiated:
    """What a client of ours negotiates; raises what `connect` raises."""
    channel, handshake = connect(client_context(policy, list(roots)), *address, "tests", name=name, seconds=SECONDS)
    channel.close()
    assert isinstance(channel, Channel) and handshake.negotiated is not None
    return handshake.negotiated


def forged(issuer: x509.Name, signing, public, name="localhost", *, ca=False, lifetime=timedelta(hours=1)) -> x509.Certificate:
    """A certificate by the same builder, as an attacker would make it: any issuer's name, any key."""
    hashed = SHA384() if isinstance(signing, ec.EllipticCurvePrivateKey) else None
    dates = (now() - timedelta(minutes=1), now() + lifetime)
    builder = x509.CertificateBuilder(issuer, x509.Name([]), public, x509.random_serial_number(), *dates)
    for extension, critical in (
        (x509.BasicConstraints(ca=ca, path_length=None), True),
        (x509.SubjectAlternativeName([x509.DNSName(name)]), True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(signing, hashed)
