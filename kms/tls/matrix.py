"""Every kind of client against every server, on real connections: what each pair negotiates, or who refuses."""

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kms.tls.authority import Authority
from kms.tls.channel import connect
from kms.tls.contexts import client_context
from kms.tls.errors import HandshakeRefused, PeerSilent
from kms.tls.handshake import Handshake
from kms.tls.policies import DEFAULT, ECDSA, POLICIES, Offer, Policy
from kms.tls.serving import Listener, Renewing
from kms.tls.stripping import Attacker, Change

NAME = "localhost"
SECONDS = 15.0
HYBRID = "X25519MLKEM768"

Address = tuple[str, int]
Connect = Callable[[Address, Sequence[x509.Certificate]], str]
"""(address of a server called `NAME`, trusted roots) -> what the server said; raises what a client of its kind raises."""


@dataclass(frozen=True, slots=True)
class Client:
    """A kind of client.

    Attributes:
        name: for the table.
        connect: makes one connection.
        attack: what somebody on the path makes of its ClientHello.
    """

    name: str
    connect: Connect
    attack: Change | None = None


class Cell(NamedTuple):
    """What came of one client and one server.

    Attributes:
        server: what the server saw; None when it saw no handshake end.
        client: why the client has no connection; empty when it has one.
    """

    server: Handshake | None
    client: str

    @property
    def connected(self) -> bool:
        """Whether both ends have a connection."""
        return not self.client and self.server is not None and self.server.negotiated is not None

    def __str__(self) -> str:
        found = self.server.negotiated if self.server is not None else None
        if self.connected and found is not None:
            return f"{found.group}{', retried' if found.retried else ''}\n{found.suite}\n{found.certificate}"
        ours = self.server.refusal if self.server is not None else ""
        return ours if ours.startswith("the server refused") else self.client


def _ours(policy: Policy, offer: Offer) -> Connect:
    def run(address: Address, roots: Sequence[x509.Certificate]) -> str:
        channel, _ = connect(client_context(replace(policy, client=offer), roots), *address, "demo", name=NAME, seconds=SECONDS)
        try:
            return channel.receive().decode()
        finally:
            channel.close()

    return run


def _standard_library(address: Address, roots: Sequence[x509.Certificate]) -> str:
    context = ssl.create_default_context(cadata=_pem(roots))
    context.set_ecdh_curve("prime256v1")  # a classical client, whatever OpenSSL it stands on
    with (
        socket.create_connection(address, timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        return connection.recv(1 << 16).decode()


def _command_line(address: Address, roots: Sequence[x509.Certificate]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(_pem(roots))
        file.flush()
        command = ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-servername", NAME, "-CAfile", file.name]
        command += ["-verify_return_error", "-verify_hostname", NAME, "-quiet"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        reasons = [line.split(":")[5] for line in done.stderr.splitlines() if line.count(":") > 5 and "error" in line]
        raise HandshakeRefused(reasons[0] if reasons else f"exit status {done.returncode}")
    return done.stdout


def clients() -> list[Client]:
    """All kinds of clients that can be tried here; the downgrade traps last."""
    dual, classical, required = POLICIES["dual"], POLICIES["classical"], POLICIES["pqc-required"]
    both, curves = dual.client, classical.client
    external = [Client("openssl s_client", _command_line)] if shutil.which("openssl") else []
    return [
        Client("post-quantum only", _ours(required, required.client)),
        Client("hybrid and classical (as policy dual)", _ours(dual, both)),
        Client("hybrid, ECDSA only (as browsers)", _ours(dual, replace(both, signatures=ECDSA))),
        Client("classical TLS 1.3", _ours(classical, replace(curves, minimum="TLSv1.3"))),
        Client("Python's ssl", _standard_library),
        *external,
        Client("TLS 1.2 only", _ours(classical, replace(curves, maximum="TLSv1.2"))),
        Client("trap: a share of X25519 only", _ours(dual, replace(both, groups=f"{HYBRID}:*X25519"))),
        Client("attack: group list stripped", _ours(dual, both), lambda hello: hello.without_group(HYBRID)),
        Client("attack: TLS 1.3 stripped", _ours(classical, curves), lambda hello: hello.without_tls13()),
    ]


def servers() -> list[Policy]:
    """The policies, and for comparison the group list that falls into the trap."""
    dual = POLICIES["dual"]
    plain = replace(dual, name="plain-list", server=replace(dual.server, groups=f"{HYBRID}:X25519:secp256r1"))
    return [*POLICIES.values(), plain]


def run(authority: Authority, seen: Callable[[Handshake], None] = lambda _: None) -> dict[tuple[str, str], Cell]:
    """Every client against every server, on loopback.

    Args:
        authority: issues the servers' certificates.
        seen: told of every handshake that a server saw.

    Returns:
        (client's name, server's name) -> what came of it.
    """
    cells, roots = {}, list(authority.roots.values())
    for policy in servers():
        reports: SimpleQueue[Handshake] = SimpleQueue()
        with Listener(policy.name, Renewing(lambda: authority, policy, [NAME]), reports.put, seconds=SECONDS) as listener:
            for client in clients():
                said = _attempt(client, listener.address, roots)
                server = _reported(reports)
                if server is not None:
                    seen(server)
                cells[client.name, policy.name] = Cell(server, said)
    return cells


def _reported(reports: SimpleQueue[Handshake]) -> Handshake | None:
    try:
        return reports.get(timeout=SECONDS)
    except Empty:
        return None  # the client failed before it had connected


def broken(cells: Mapping[tuple[str, str], Cell]) -> list[str]:
    """What no policy may let happen, a sentence each: an attack that goes through, a policy that is not kept."""
    attacks = {client.name for client in clients() if client.attack is not None}
    wrong = []
    for (client, server), cell in cells.items():
        if not cell.connected or cell.server is None or cell.server.negotiated is None:
            continue
        found = cell.server.negotiated
        if client in attacks:
            wrong.append(f"{client} went through against {server}: {found}")
        if server in POLICIES and POLICIES[server].post_quantum and not found.post_quantum:
            wrong.append(f"{client} got a classical connection under {server}: {found}")
        if server == DEFAULT and cell.server.finding.startswith("downgrade"):
            wrong.append(f"{client} was downgraded under {server}: {found}")
    return wrong


def _attempt(client: Client, address: Address, roots: Sequence[x509.Certificate]) -> str:
    """Why the client has no connection, or empty."""
    with ExitStack() as stack:
        if client.attack is not None:
            address = stack.enter_context(Attacker(address, client.attack)).address
        try:
            json.loads(client.connect(address, roots))
        except (HandshakeRefused, PeerSilent, OSError, ValueError, subprocess.SubprocessError) as error:
            return str(error) or type(error).__name__
    return ""


def _pem(roots: Sequence[x509.Certificate]) -> str:
    return "".join(root.public_bytes(Encoding.PEM).decode() for root in roots)
