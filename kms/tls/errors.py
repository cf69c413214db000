"""What can go wrong with TLS. Every message says what was wrong and what to do."""

# ruff: noqa: N818 - a class is named for what broke

from kms.errors import KmsError
from schemas.errors import InputError, OutageError


class TlsError(KmsError):
    """The root of what goes wrong with TLS."""


class TlsUnsupported(TlsError):
    """The installed TLS library cannot do what a policy needs."""


class UnknownPolicy(TlsError, InputError):
    """A name that is not in the table of `kms.tls.policies`."""


class WrongName(TlsError, InputError):
    """Neither a DNS name nor an IP address: no certificate can be made for it."""


class AuthorityError(TlsError, InputError):
    """The file of CA certificates is missing, malformed, or holds none that the policy trusts."""


class MalformedHello(TlsError, InputError):
    """Bytes that are no ClientHello."""


class HandshakeRefused(TlsError, InputError):
    """One end refused the other; the message says which, and why."""


class NotReported(TlsError, OutageError):
    """Whoever must be told of a handshake cannot be told, so the connection is not served."""


class PeerSilent(TlsError, OutageError):
    """The peer does not answer, or closed the connection."""
