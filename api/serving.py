"""Serves an application by uvicorn, over hybrid TLS (`api.hybrid_tls`), or at the loopback address without."""

import logging
import signal
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.certificates import PeerCertificates
from api.errors import ServingImpossible
from api.hybrid_tls import HybridTls, Terms
from api.startup import Startup

LOOPBACK = ("127.0.0.1", "::1", "localhost")

_HEADER_BYTES = 64 * 1024
_DRAIN_SECONDS = 10
_BACKLOG = 2048
_CONNECTIONS = 512
"""At a time; more are answered 503, so that there are descriptors left for the audit and the token."""
_LOG = logging.getLogger("uvicorn.error")


def serve(app: FastAPI, host: str, port: int, terms: Terms | None) -> None:
    """Serves until SIGTERM or Ctrl-C, then lets requests end.

    Raises:
        ServingImpossible: it cannot start, in a sentence; or with a defect, which is in the log.
    """
    if terms is None and host not in LOOPBACK:
        raise ServingImpossible(f"without TLS only the loopback address is served, not {host}: tokens would be readable on the way")
    _refuse_taken(host, port)
    startup = Startup(app)
    config = uvicorn.Config(
        startup,
        host=host,
        port=port,
        http=PeerCertificates if terms is None else _over_tls(terms),
        ws="none",
        lifespan="on",
        log_level="info",
        access_log=False,  # the audit is the log of accesses
        server_header=False,
        proxy_headers=False,  # nobody stands in front, so X-Forwarded-For is a caller's word about himself
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config) if terms else uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # while it serves they are uvicorn's, which sends them on when it has ended in order
    try:
        server.run([_listening(host, port)] if terms else None)
    except SystemExit:
        raise ServingImpossible(str(startup.failure or f"the service did not start at {host}:{port}: its log says why")) from None


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            place = f"port {port} at {host}"
            raise ServingImpossible(f"{place} cannot be used ({error.strerror}): choose another, or stop what uses it") from error


def _over_tls(terms: Terms) -> Any:
    """What uvicorn makes a protocol of each connection with."""
    return lambda **given: HybridTls(PeerCertificates(**given), terms)


def _listening(host: str, port: int) -> socket.socket:
    """A socket of our own, because of one that uvicorn makes it would say that it speaks plain HTTP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            _LOG.info("Uvicorn running on https://%s:%d (Press CTRL+C to quit)", host, self.config.port)
