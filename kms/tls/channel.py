"""One TLS connection over a socket. Its bytes pass through here, so that the ClientHello is seen as it went over the wire."""

import ipaddress
import socket
import time
from collections.abc import Callable
from typing import Literal

from OpenSSL import SSL

from kms.keys import kid
from kms.tls import groups, reasons
from kms.tls.authority import spki
from kms.tls.contexts import expect_name, verify_failure
from kms.tls.errors import HandshakeRefused, MalformedHello, PeerSilent, TlsError
from kms.tls.handshake import LEAF_USE, Handshake, Negotiated
from kms.tls.hello import ClientHello, first_message
from kms.tls.leaves import algorithm_of, post_quantum
from schemas.manifests import Outcome

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
        self._tls, self._socket, self._end, self._policy, self._seconds = SSL.Connection(context), sock, end, policy, seconds
        self._peer = sock.getpeername()[:2]
        self._first: bytes | None = b""
        self._hello: ClientHello | None = None
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
            return self._report(self._negotiated())
        except HandshakeRefused as error:
            self._linger()
            return self._report(None, str(error), "DENIED")
        except PeerSilent as error:
            return self._report(None, str(error), "FAILURE")

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
                raise HandshakeRefused(self._explain(error)) from None
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
                self._watch(outgoing)
            try:
                self._socket.settimeout(self._seconds)
                self._socket.sendall(outgoing)
            except OSError as error:
                raise PeerSilent(f"the {self._other} is gone: {error}") from None

    def _fill(self, deadline: float) -> None:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            incoming = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise PeerSilent(f"the {self._other} did not answer within {self._seconds:g} s") from None
        except OSError as error:
            raise PeerSilent(f"the {self._other} is gone: {error}") from None
        if not incoming:
            raise PeerSilent(f"the {self._other} closed the connection without an end in order")
        if self._end == "server":
            self._watch(incoming)
        self._tls.bio_write(incoming)

    def _watch(self, octets: bytes) -> None:
        """Collects the first message. What is malformed is left to OpenSSL, which refuses it with an alert."""
        if self._first is None:
            return
        self._first += octets
        try:
            found = first_message(self._first)
            if found:
                self._hello = ClientHello.parse(found[0])
        except MalformedHello:
            self._first = None
            return
        if found:
            self._first = None

    def _negotiated(self) -> Negotiated:
        tls, hello = self._tls, self._hello
        own = self._end == "server"
        chain = [tls.get_certificate(as_cryptography=True)] if own else tls.get_verified_chain(as_cryptography=True)
        assert chain and chain[0] is not None  # noqa: S101 - no cipher suite of ours goes without one
        certificate = chain[0]
        group = groups.of_name(tls.get_group_name() or "")
        algorithm = algorithm_of(certificate)
        retried = hello is not None and tls.get_protocol_version_name() == "TLSv1.3" and group not in hello.shares
        version, suite = tls.get_protocol_version_name(), tls.get_cipher_name() or ""
        name, safe = kid(spki(certificate), algorithm, LEAF_USE), all(each is not None and post_quantum(each) for each in chain)
        return Negotiated(version, group, suite, algorithm, name, safe, retried)

    def _report(self, negotiated: Negotiated | None, refusal: str = "", outcome: Outcome = "SUCCESS") -> Handshake:
        return Handshake(self._end, self._policy, self._peer, self._hello, negotiated, refusal, outcome)

    def _explain(self, error: SSL.Error) -> str:
        said = reasons.reason(error) or "the connection broke"
        from_peer = reasons.alert(said)
        if from_peer is not None:
            return f"the {self._other} refused: {reasons.meaning(from_peer, reasons.ALERTS)}"
        if said == "certificate verify failed":
            return f"the {self._end} refused: the server's certificate is not accepted: {verify_failure(self._tls)}"
        return f"the {self._end} refused: {reasons.meaning(said, reasons.REASONS)}"

    def _linger(self) -> None:
        """Waits for the peer to read the alert: closing with bytes unread would reset the connection and lose it."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(0.5)
            while self._socket.recv(_CHUNK):
                pass
        except OSError:
            pass  # it is gone: it has read the alert, or never will

    @property
    def _other(self) -> str:
        return "client" if self._end == "server" else "server"


def connect(
    context: SSL.Context, host: str, port: int, policy: str, *, name: str = "", seconds: float = SECONDS
) -> tuple[Channel, Handshake]:
    """A client's connection to a server that is called `name` (the host, where none is given), and what was negotiated.

    Raises:
        PeerSilent: nobody answers there, or whoever does goes away.
        HandshakeRefused: one end refuses the other.
    """
    try:
        sock = socket.create_connection((host, port), timeout=seconds)
    except OSError as error:
        raise PeerSilent(f"nobody answers at {host}:{port}: {error}") from None
    channel = Channel(context, sock, "client", policy, name=name or host, seconds=seconds)
    report = channel.handshake()
    if report.negotiated is None:
        sock.close()
        kind: type[TlsError] = HandshakeRefused if report.outcome == "DENIED" else PeerSilent
        raise kind(report.refusal)
    return channel, report


def _packed(name: str) -> bytes | None:
    try:
        return ipaddress.ip_address(name).packed
    except ValueError:
        return None
