"""What came of a handshake: what was negotiated or why it was refused, and what an operator should think of it."""

import json
from dataclasses import dataclass
from typing import Literal

from kms.tls import groups
from kms.tls.hello import ClientHello
from schemas.manifests import KmsAudit, Outcome

ACTION = "tls.handshake"
LEAF_USE = "tls-leaf"


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What both ends agreed on.

    Attributes:
        version: TLSv1.2 or TLSv1.3.
        group: of the key exchange, as `kms.tls.groups` names it.
        suite: the cipher suite.
        certificate: algorithm of the key that the server proved to have.
        kid: that key's name.
        post_quantum_chain: True when all keys and signatures between the server and the root withstand a quantum computer.
        retried: True when the server asked the client for a share of another group (HelloRetryRequest).
    """

    version: str
    group: str
    suite: str
    certificate: str
    kid: str
    post_quantum_chain: bool
    retried: bool = False

    @property
    def post_quantum(self) -> bool:
        """Whether both key exchange and certificates withstand a quantum computer."""
        return groups.post_quantum(self.group) and self.post_quantum_chain

    def __str__(self) -> str:
        return f"{self.version} {self.group}{' (retried)' if self.retried else ''} {self.suite} {self.certificate}"


@dataclass(frozen=True, slots=True)
class Handshake:
    """One handshake, as one end saw it.

    Attributes:
        end: which end.
        policy: that it was under.
        peer: address and port of the other end.
        hello: the ClientHello; None where none came.
        negotiated: None when there is no connection.
        refusal: why there is none.
        outcome: SUCCESS, DENIED (one end refused the other) or FAILURE (the peer went away, or does not speak TLS).
    """

    end: Literal["server", "client"]
    policy: str
    peer: tuple[str, int]
    hello: ClientHello | None
    negotiated: Negotiated | None
    refusal: str = ""
    outcome: Outcome = "SUCCESS"

    @property
    def finding(self) -> str:
        """What to think of it, in a sentence; what begins with "downgrade" wants attention."""
        found = self.negotiated
        if found is None:
            return f"policy {self.policy}: {self.refusal}{self._offered()}"
        able = [name for name in (self.hello.groups if self.hello else ()) if groups.post_quantum(name)]
        if groups.post_quantum(found.group):
            return "post-quantum" if found.post_quantum else "post-quantum key exchange, classical certificate"
        if found.version == "TLSv1.2":
            return "downgrade: TLS 1.2 has no post-quantum key exchange; what is recorded today can be read later"
        if able:
            return f"downgrade: the client supports {', '.join(able)} and got {found.group}"
        return "classical: the client offers no post-quantum group; what is recorded today can be read later"

    def _offered(self) -> str:
        if self.hello is None:
            return ""
        return f" (the client offers {', '.join(self.hello.groups) or 'no group'}; {', '.join(self.hello.versions)})"

    def detail(self) -> str:
        """All of it as one JSON object."""
        hello, found = self.hello, self.negotiated
        said: dict[str, object] = {
            "end": self.end,
            "policy": self.policy,
            "peer": f"{self.peer[0]} port {self.peer[1]}",
            "finding": self.finding,
            "offered_groups": list(hello.groups) if hello else None,
            "offered_shares": list(hello.shares) if hello else None,
            "offered_versions": list(hello.versions) if hello else None,
        }
        if found:
            said |= {"version": found.version, "group": found.group, "suite": found.suite}
            said |= {"certificate": found.certificate, "retried": found.retried}
        return json.dumps(said)

    def audit(self) -> KmsAudit:
        """The event of it: of the key that the server proved to have, or of the policy where it came to none."""
        found, address = self.negotiated, self.peer[0].partition("%")[0]
        return KmsAudit(
            kid=found.kid if found else f"tls:{self.policy}",
            actor=f"peer/{address}",
            action=ACTION,
            outcome=self.outcome,
            algorithm=f"{found.group}+{found.certificate}" if found else "",
            detail=self.detail(),
            source=address,
        )
