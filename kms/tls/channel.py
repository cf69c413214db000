"""One TLS connection over a socket. Its bytes pass through here, so that the ClientHello is seen as it went over the wire."""

import ipaddress
import socket
import time
from collections.abc import Callable
from typing import Literal

from OpenSSL import SSL

from kms.tls.contexts import expect_name
from kms.tls.errors import HandshakeRefused, PeerSilent, TlsError
from kms.tls.handshake import Handshake
from kms.tls.observed import Observed

SECONDS = 10.0
"""How long a handshake, and then each answer of the peer, may take."""

_CHUNK = 1 << 16


class Channel:
    """A connection, from its handshake on.

    Args:
        context: of `kms.tls.contexts`.
        sock: connected; the channel closes it.
        end: which end this is.
        policy: its name, for the report.
        name: what a client expects the server to be called; a DNS name or an IP address.
        seconds: that the handshake, and each later answer, may take.
    """

    def __init__(
        self,
        context: SSL.Context,
        sock: socket.socket,
        end: Literal["server", "client"],
        policy: str,
        *,
        name: str = "",
        seconds: float = SECONDS,
    ) -> None:
        self._tls, self._socket, self._end, self._seconds = SSL.Connection(context), sock, end, seconds
        self._seen = Observed(self._tls, end, policy, sock.getpeername()[:2])
        self.ended = False
        if end == "server":
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()
            expect_name(self._tls, name, _packed(name))

    def handshake(self) -> Handshake:
        """Does the handshake; what came of it is in the report, refusals too."""
        try:
            self._pump(self._tls.do_handshake, time.monotonic() + self._seconds)
            return self._seen.stands()
        except HandshakeRefused as error:
            self._linger()
            return self._seen.fails(str(error), "DENIED")
        except PeerSilent as error:
            return self._seen.fails(str(error), "FAILURE")

    def send(self, data: bytes) -> None:
        """Sends all of it.

        Raises:
            PeerSilent: the peer is gone.
            HandshakeRefused: it refuses only now, as TLS 1.3 lets a server do with a client.
        """
        self._pump(lambda: self._tls.sendall(data), time.monotonic() + self._seconds)

    def receive(self) -> bytes:
        """What comes next; nothing when the peer has ended the connection in order.

        Raises:
            PeerSilent: the peer is gone, or cut the connection without saying so: what came before may not be all.
            HandshakeRefused: it refuses only now.
        """
        received = b""

        def read() -> None:
            nonlocal received
            received = self._tls.recv(_CHUNK)

        try:
            self._pump(read, time.monotonic() + self._seconds)
        except SSL.ZeroReturnError:
            return b""
        return received

    def fileno(self) -> int:
        """The socket's, for `select`: when it is readable, `arrived` does not wait."""
        return self._socket.fileno()

    def arrived(self) -> list[bytes]:
        """Waits for bytes of the peer, and returns what they make known; `ended` says when it was the last.

        Raises:
            PeerSilent, HandshakeRefused: as `receive`.
        """
        self._fill(time.monotonic() + self._seconds)
        return self.decoded()

    def decoded(self) -> list[bytes]:
        """What is known without waiting: some may have come with the end of the handshake.

        Raises:
            PeerSilent, HandshakeRefused: as `receive`.
        """
        found: list[bytes] = []

        def read() -> None:
            while True:
                try:
                    found.append(self._tls.recv(_CHUNK))
                except SSL.WantReadError:
                    return

        try:
            self._pump(read, time.monotonic())
        except SSL.ZeroReturnError:
            self.ended = True
        return found

    def close(self) -> None:
        """Says that the connection ends, and closes it."""
        try:
            self._tls.shutdown()
            self._flush()
        except (SSL.Error, PeerSilent):
            pass  # there is nobody to say it to
        self._socket.close()

    def _pump(self, step: Callable[[], object], deadline: float) -> None:
        while True:
            try:
                step()
            except SSL.WantReadError:
                self._flush()
                self._fill(deadline)
            except SSL.ZeroReturnError:
                raise
            except SSL.Error as error:
                self._flush()  # the alert
                raise HandshakeRefused(self._seen.explain(error)) from None
            else:
                self._flush()
                return

    def _flush(self) -> None:
        while True:
            try:
                outgoing = self._tls.bio_read(_CHUNK)
            except SSL.WantReadError:
                return
            if self._end == "client":
                self._seen.watch(outgoing)
            try:
                self._socket.settimeout(self._seconds)
                self._socket.sendall(outgoing)
            except OSError as error:
                raise PeerSilent(f"the {self._seen.other} is gone: {error}") from None

    def _fill(self, deadline: float) -> None:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            incoming = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise PeerSilent(f"the {self._seen.other} did not answer within {self._seconds:g} s") from None
        except OSError as error:
            raise PeerSilent(f"the {self._seen.other} is gone: {error}") from None
        if not incoming:
            raise PeerSilent(f"the {self._seen.other} closed the connection without an end in order")
        if self._end == "server":
            self._seen.watch(incoming)
        self._tls.bio_write(incoming)

    def _linger(self) -> None:
        """Waits for the peer to read the alert: closing with bytes unread would reset the connection and lose it."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(0.5)
            while self._socket.recv(_CHUNK):
                pass
        except OSError:
            pass  # it is gone: it has read the alert, or never will


def connect(
    context: SSL.Context,
    host: str,
    port: int,
    policy: str,
    *,
    name: str = "",
    seconds: float = SECONDS,
    report: Callable[[Handshake], None] = lambda _: None,
) -> tuple[Channel, Handshake]:
    """A client's connection to a server that is called `name` (the host, where none is given), and what was negotiated.

    Args:
        context: of `kms.tls.contexts.client_context`.
        host, port: where.
        policy: its name.
        name: what the server must be called.
        seconds: that the handshake, and each later answer, may take.
        report: told of the handshake, also of one that was refused; what it raises ends the connection.

    Raises:
        PeerSilent: nobody answers there, or whoever does goes away.
        HandshakeRefused: one end refuses the other.
    """
    try:
        sock = socket.create_connection((host, port), timeout=seconds)
    except OSError as error:
        raise PeerSilent(f"nobody answers at {host}:{port}: {error}") from None
    channel = Channel(context, sock, "client", policy, name=name or host, seconds=seconds)
    done = channel.handshake()
    try:
        report(done)
    except BaseException:
        sock.close()
        raise
    if done.negotiated is None:
        sock.close()
        kind: type[TlsError] = HandshakeRefused if done.outcome == "DENIED" else PeerSilent
        raise kind(done.refusal)
    return channel, done


def _packed(name: str) -> bytes | None:
    try:
        return ipaddress.ip_address(name).packed
    except ValueError:
        return None
