"""OpenSSL's reasons for a refusal, and what they mean."""

from collections.abc import Mapping
from types import MappingProxyType

from OpenSSL import SSL

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "no suitable key share": "no key exchange group in common",
        "no shared signature algorithms": "no signature scheme that suits both the client and the certificates",
        "no suitable signature algorithm": "no signature scheme that suits both the client and the certificates",
        "no shared cipher": "no cipher suite in common",
        "unsupported protocol": "the TLS version is too old",
        "record layer failure": "what arrived is not what was sent: the handshake was changed on the way",
        "decryption failed or bad record mac": "what arrived is not what was sent: the handshake was changed on the way",
        "inappropriate fallback": "the server speaks TLS 1.3 and was kept from it on the way (RFC 8446 section 4.1.3)",
        "wrong version number": "it does not speak TLS",
        "packet length too long": "it does not speak TLS",
        "http request": "it speaks plain HTTP, not TLS",
    }
)
ALERTS: Mapping[str, str] = MappingProxyType(
    {
        "handshake failure": "its policy has no group, signature scheme or suite in common with ours",
        "protocol version": "its policy does not allow this TLS version",
        "bad record mac": "the handshake was changed on the way",
        "illegal parameter": "the handshake was changed on the way, or a fallback is inappropriate",
        "unknown ca": "it does not trust the CA of the certificate",
        "bad certificate": "the certificate is not for the name that it expects, or is malformed",
        "certificate expired": "the certificate has expired",
    }
)
"""What the peer says before it goes (RFC 8446 section 6.2)."""


def reason(error: SSL.Error) -> str:
    """The last of the reasons in an error of pyOpenSSL; empty where it has none."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return str(entries[-1][2]) if entries else ""


def alert(said: str) -> str | None:
    """The alert that the peer sent, by OpenSSL's reason; None when the refusal is our own."""
    before, marker, name = said.partition(" alert ")
    return name if marker and before in {"tls", "tlsv1", "tlsv13", "sslv3"} else None


def meaning(said: str, table: Mapping[str, str]) -> str:
    """A reason with its meaning, where the table has one."""
    return f"{said}: {table[said]}" if said in table else said
