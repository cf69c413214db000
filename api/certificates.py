"""Client certificates (mutual TLS): TLS has verified the chain, a file says whom a certificate stands for.

uvicorn does not hand certificates on, so a service that takes them runs with `--http api.certificates:PeerCertificates`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import h11
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import Request
from pydantic import Field, ValidationError
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.errors import ClientsUnreadable
from api.problems import Problem
from api.roles import Principal, Role
from api.watched_file import watched
from schemas.codec import explain
from schemas.record import Identifier, Part

REQUEST_SECONDS = 30.0
"""How long a request may take to arrive: who says a letter a minute holds a connection for ever otherwise."""

_STATE = "client_certificate"


class Client(Part):
    """A client that is known by its certificate."""

    name: Identifier
    """Of the principal."""
    certificate: Annotated[str, Field(min_length=3)]
    """Its subject (RFC 4514, `CN=billing,O=Example`), an alternative name (`URI:…`, `DNS:…`), or `SHA256:` and its fingerprint."""
    roles: frozenset[Role]


class Clients(Part):
    """The file: {"clients": [{"name": …, "certificate": …, "roles": […]}]}."""

    clients: tuple[Client, ...] = ()


class PeerCertificates(H11Protocol):
    """uvicorn's HTTP protocol, which hands on the certificate that the client has shown, and waits only so long for a request."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keeps the certificate for all requests of the connection."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, _STATE: tls.getpeercert(binary_form=True) if tls is not None else None}
        self._expect()

    def data_received(self, data: bytes) -> None:
        """A part of a request; the clock runs from its first byte until all of it is here."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._expect()
        elif self._late is not None:
            self._late.cancel()
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(REQUEST_SECONDS, self.transport.close)


class ClientCertificates:
    """Authentication by the certificate of the connection.

    Args:
        clients: who is known, asked for each request.
    """

    def __init__(self, clients: Callable[[], Clients]) -> None:
        self._clients = clients

    @classmethod
    def of(cls, file: Path) -> "ClientCertificates":
        """By a file, read again when it changes; nobody is known where there is none."""
        return cls(watched(file, _read, Clients))

    def __call__(self, request: Request) -> Principal | None:
        """Who the certificate stands for; None without one."""
        shown = getattr(request.state, _STATE, None)
        if shown is None:
            return None
        names = identities(x509.load_der_x509_certificate(shown))
        for client in self._clients().clients:
            if client.certificate in names:
                return Principal(client.name, client.roles, "certificate")
        raise Problem(401, f"the client certificate {sorted(names)[0]} is verified, but stands for nobody who is known here")


def identities(certificate: x509.Certificate) -> frozenset[str]:
    """All names that a certificate can be known by."""
    found = {certificate.subject.rfc4514_string(), f"SHA256:{certificate.fingerprint(SHA256()).hex()}"}
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset(found)
    for kind, prefix in ((x509.UniformResourceIdentifier, "URI"), (x509.DNSName, "DNS")):
        found |= {f"{prefix}:{name}" for name in names.get_values_for_type(kind)}
    return frozenset(found - {""})


def _read(file: Path) -> Clients:
    try:
        return Clients.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise ClientsUnreadable(f"{file} does not say which client certificates have which roles: {explain(error)}") from error
    except OSError as error:
        raise ClientsUnreadable(f"{file} cannot be read: {error.strerror}") from error
