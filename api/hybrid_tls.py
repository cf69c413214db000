"""TLS with hybrid key exchange under uvicorn's HTTP protocol: `kms.tls` where Python's ssl module stands on an OpenSSL without it.

The bytes of each connection go through an SSL connection in memory, in the event loop; there is no second socket and no proxy, so
the application sees the client's address and certificate as they are.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL, crypto

from kms.tls.handshake import Handshake
from kms.tls.observed import Observed

SECONDS = 10.0
"""How long a handshake may take."""

_CHUNK = 1 << 16
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What connections are accepted on.

    Attributes:
        policy: its name, for the reports.
        context: gives the context for the next connection.
        report: told of each handshake, in a thread, before the client is served; where it raises, the client is not.
    """

    policy: str
    context: Callable[[], SSL.Context]
    report: Callable[[Handshake], None]


class HybridTls(asyncio.Protocol):
    """One connection.

    Args:
        http: the protocol that gets what the client says, once the handshake stands.
        terms: on which it is accepted.
    """

    def __init__(self, http: asyncio.Protocol, terms: Terms) -> None:
        self._http, self._terms = http, terms
        self._open = self._recording = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvloop's are not of that class
        """Waits for the client's first message."""
        self._under, self._tls = transport, SSL.Connection(self._terms.context())
        self._tls.set_accept_state()
        self._seen = Observed(self._tls, "server", self._terms.policy, transport.get_extra_info("peername")[:2])
        self._loop = asyncio.get_running_loop()
        self._late = self._loop.call_later(SECONDS, self._fail, f"the client did not answer within {SECONDS:g} s", "FAILURE")

    def data_received(self, data: bytes) -> None:
        """Decrypts, and hands on."""
        self._seen.watch(data)
        self._tls.bio_write(data)
        if self._open:
            self._hand_on()
        elif not self._recording:
            self._shake()

    def eof_received(self) -> bool:
        """The client's TCP ends: what it said before was not all, unless TLS had ended, too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._late.cancel()
        if self._open:
            self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        if self._open:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._open:
            self._http.resume_writing()

    def flush(self) -> None:
        """Sends what TLS has to say."""
        while True:
            try:
                self._under.write(self._tls.bio_read(_CHUNK))
            except SSL.WantReadError:
                return

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self.flush()
        except SSL.Error as error:
            self.flush()  # the alert
            self._fail(self._seen.explain(error), "DENIED")
        else:
            self.flush()
            self._record(self._seen.stands(), self._begin)

    def _record(self, found: Handshake, after: Callable[[], None]) -> None:
        self._late.cancel()
        self._recording = True
        _LOG.info("%s", found.detail())
        told = self._loop.run_in_executor(None, self._terms.report, found)
        told.add_done_callback(lambda done: self._recorded(done, after))

    def _recorded(self, done: "asyncio.Future[None]", after: Callable[[], None]) -> None:
        if done.cancelled() or (error := done.exception()) is not None:
            _LOG.error("a connection was not served: %s", "the service ends" if done.cancelled() else error)
            self._under.abort()
        elif not self._under.is_closing():
            after()

    def _begin(self) -> None:
        self._open = True
        self._http.connection_made(Encrypted(self._under, self._tls, self.flush))
        self._hand_on()

    def _fail(self, why: str, outcome: Any) -> None:
        self._record(self._seen.fails(why, outcome), self._under.close)

    def _hand_on(self) -> None:
        while not self._under.is_closing():
            try:
                said = self._tls.recv(_CHUNK)
            except SSL.WantReadError:
                self.flush()
                return
            except SSL.ZeroReturnError:
                self._http.eof_received()
                self._under.close()
                return
            except SSL.Error as error:
                self.flush()
                _LOG.info("%s", self._seen.explain(error))
                self._under.abort()
                return
            self._http.data_received(said)


class Encrypted(asyncio.Transport):
    """What the HTTP protocol writes to."""

    def __init__(self, under: asyncio.Transport, tls: SSL.Connection, flush: Callable[[], None]) -> None:
        super().__init__({"sslcontext": tls.get_context(), "ssl_object": Peer(tls)})
        self._under, self._tls, self._flush = under, tls, flush

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of TLS where it knows it, otherwise of the connection below."""
        found = super().get_extra_info(name)
        return self._under.get_extra_info(name, default) if found is None else found

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends it encrypted; nothing once the connection closes."""
        if data and not self._under.is_closing():
            self._tls.sendall(bytes(data))
            self._flush()

    def is_closing(self) -> bool:
        """Whether it closes, or has closed."""
        return self._under.is_closing()

    def close(self) -> None:
        """Says that the connection ends, and closes it once all is sent."""
        if not self._under.is_closing():
            self._tls.shutdown()
            self._flush()
            self._under.close()

    def abort(self) -> None:
        """Closes it at once."""
        self._under.abort()

    def pause_reading(self) -> None:
        """Lets the client wait."""
        self._under.pause_reading()

    def resume_reading(self) -> None:
        """Goes on."""
        self._under.resume_reading()

    def is_reading(self) -> bool:
        """Whether the client may go on."""
        return self._under.is_reading()


class Peer:
    """The client's end, as `ssl.SSLObject` tells of it."""

    def __init__(self, tls: SSL.Connection) -> None:
        self._tls = tls

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        """The certificate that the client has shown, DER; None without one."""
        assert binary_form  # noqa: S101 - the other form is not used here
        found = self._tls.get_peer_certificate()
        return None if found is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, found)
