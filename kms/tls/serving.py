"""A server: credentials that renew themselves, and a listener that reports every handshake."""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Self

from OpenSSL import SSL

from kms.errors import KmsError
from kms.tls.authority import LEAF_LIFETIME, Authority
from kms.tls.channel import SECONDS, Channel
from kms.tls.contexts import server_context
from kms.tls.errors import HandshakeRefused, PeerSilent
from kms.tls.handshake import Handshake
from kms.tls.policies import Policy
from schemas.errors import OutageError
from schemas.record import now

log = logging.getLogger(__name__)

_THREADS = 256
"""Connections at a time; more wait."""

_BACKLOG = 128
_RENEW_AT = 2 / 3
"""The part of its lifetime after which a key is replaced."""


class Renewing:
    """A server's context under a policy, with new keys and certificates whenever two thirds of their lifetime are over.

    Args:
        authority: called at each renewal, so that a CA key that was rotated meanwhile takes effect.
        policy: names the algorithms.
        names: that the server is called by.
        lifetime: of its certificates.
        prepare: does to each context what there is to do besides, `kms.tls.contexts.take_clients` for example.
    """

    def __init__(
        self,
        authority: Callable[[], Authority],
        policy: Policy,
        names: Sequence[str],
        lifetime: timedelta = LEAF_LIFETIME,
        prepare: Callable[[SSL.Context], None] = lambda _: None,
    ) -> None:
        self._authority, self._policy, self._names, self._lifetime = authority, policy, names, lifetime
        self._prepare = prepare
        self._lock = threading.Lock()
        self._context, self._due = self._renewed()

    def __call__(self) -> SSL.Context:
        """The context for the next connection; an error of a renewal is logged, and the old keys serve on while they are valid."""
        with self._lock:
            if now() >= self._due:
                try:
                    self._context, self._due = self._renewed()
                except (KmsError, OSError) as error:
                    log.error("the certificates of this server are not renewed, the next connection tries again: %s", error)
            return self._context

    def _renewed(self) -> tuple[SSL.Context, datetime]:
        authority, since = self._authority(), now()
        credentials = [authority.issue(algorithm, self._names, self._lifetime) for algorithm in self._policy.certificates]
        context = server_context(self._policy.server, credentials)
        self._prepare(context)
        return context, since + self._lifetime * _RENEW_AT


Service = Callable[[Channel, Handshake], None]
"""What is done with a connection once it stands."""


def say(channel: Channel, handshake: Handshake) -> None:
    """Tells the client in one line of JSON what was negotiated."""
    channel.send(handshake.detail().encode() + b"\n")


class Listener:
    """Accepts connections, reports each handshake, and serves those that stand. For `with`.

    Args:
        policy: for the reports.
        context: called for each connection.
        report: told of each handshake, in the connection's thread, before the client hears of it.
        service: what is done with a connection; it is closed afterwards.
        host: to listen at.
        port: 0 takes a free one.
        seconds: that a handshake may take.

    Raises:
        OSError: the address cannot be listened at.
    """

    def __init__(
        self,
        policy: str,
        context: Callable[[], SSL.Context],
        report: Callable[[Handshake], None],
        *,
        service: Service = say,
        host: str = "127.0.0.1",
        port: int = 0,
        seconds: float = SECONDS,
    ) -> None:
        self._policy, self._context, self._report, self._service, self._seconds = policy, context, report, service, seconds
        self._open: set[socket.socket] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._pool = ThreadPoolExecutor(_THREADS, "tls")
        self._thread = threading.Thread(target=self.serve, name="tls-accept", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # ends `accept`
        self._socket.close()
        self._thread.join()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown()

    def serve(self) -> None:
        """Accepts until the listener is closed."""
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return  # closed
            self._open.add(sock)
            self._pool.submit(self._handle, sock)

    def _handle(self, sock: socket.socket) -> None:
        with sock:
            try:
                channel = Channel(self._context(), sock, "server", self._policy, seconds=self._seconds)
                found = channel.handshake()
                log.info("%s", found.detail())
                self._report(found)
                if found.negotiated is not None:
                    self._service(channel, found)
                    channel.close()
            except (HandshakeRefused, PeerSilent) as error:
                log.info("%s", error)
            except OutageError as error:
                log.error("a connection was not served: %s", error)
            except Exception:
                log.exception("a connection could not be served")
            finally:
                self._open.discard(sock)
