"""What can be told of a connection of pyOpenSSL: its ClientHello as it went by, what was negotiated, why one end refused."""

from typing import Literal

from OpenSSL import SSL

from kms.keys import kid
from kms.tls import groups, reasons
from kms.tls.authority import spki
from kms.tls.contexts import verify_failure
from kms.tls.errors import MalformedHello
from kms.tls.handshake import LEAF_USE, Handshake, Negotiated
from kms.tls.hello import ClientHello, first_message
from kms.tls.leaves import algorithm_of, post_quantum
from schemas.manifests import Outcome


class Observed:
    """One end of one connection.

    Args:
        tls: the connection.
        end: which end this is.
        policy: its name.
        peer: address and port of the other end.
    """

    def __init__(self, tls: SSL.Connection, end: Literal["server", "client"], policy: str, peer: tuple[str, int]) -> None:
        self._tls, self._end, self._policy, self._peer = tls, end, policy, peer
        self._first: bytes | None = b""
        self._hello: ClientHello | None = None

    @property
    def other(self) -> str:
        """The other end."""
        return "client" if self._end == "server" else "server"

    def watch(self, octets: bytes) -> None:
        """Takes what a client sends, as far as its first message. What is malformed is left to OpenSSL, which refuses it."""
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

    def stands(self) -> Handshake:
        """The report of a handshake that both ends have finished."""
        return self._report(self._negotiated())

    def fails(self, why: str, outcome: Outcome) -> Handshake:
        """The report of one that came to nothing."""
        return self._report(None, why, outcome)

    def explain(self, error: SSL.Error) -> str:
        """Who refused, and why."""
        said = reasons.reason(error) or "the connection broke"
        from_peer = reasons.alert(said)
        if from_peer is not None:
            return f"the {self.other} refused: {reasons.meaning(from_peer, reasons.ALERTS)}"
        if said == "certificate verify failed":
            return f"the {self._end} refused: the {self.other}'s certificate is not accepted: {verify_failure(self._tls)}"
        return f"the {self._end} refused: {reasons.meaning(said, reasons.REASONS)}"

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
