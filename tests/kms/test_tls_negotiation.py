"""What clients and servers negotiate over real sockets, with Python's ssl and the openssl command as outside witnesses."""

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tls_peers import SECONDS, met, served, serving, standard_context

from kms.tls import matrix
from kms.tls.channel import connect
from kms.tls.contexts import client_context
from kms.tls.errors import HandshakeRefused, TlsUnsupported
from kms.tls.handshake import Handshake, Negotiated
from kms.tls.hello import ClientHello, first_message
from kms.tls.policies import POLICIES, Offer
from schemas.codec import decode, encode
from schemas.manifests import KmsAudit

HYBRID, X25519, P256 = "X25519MLKEM768", "x25519", "secp256r1"
EC, ML = "ECDSA-P256", "ML-DSA-65"
STANDARD = ML if ssl.OPENSSL_VERSION_INFO >= (3, 5) else EC  # what the standard library can verify depends on what it stands on
SERVER, CLIENT = "the server refused", "the client refused"

# (group, certificate) that each pair must negotiate, or who must refuse; written by hand from the policies' meaning
EXPECTED = {
    "post-quantum only": (SERVER, (HYBRID, ML), (HYBRID, ML), (HYBRID, ML)),
    "hybrid and classical (as policy dual)": ((X25519, EC), (HYBRID, ML), (HYBRID, ML), (HYBRID, ML)),
    "hybrid, ECDSA only (as browsers)": ((X25519, EC), (HYBRID, EC), SERVER, (HYBRID, EC)),
    "classical TLS 1.3": ((X25519, EC), (X25519, EC), SERVER, (X25519, EC)),
    "Python's ssl": ((P256, EC), (P256, STANDARD), SERVER, (P256, STANDARD)),
    "TLS 1.2 only": ((X25519, EC), SERVER, SERVER, SERVER),
    "trap: a share of X25519 only": ((X25519, EC), (HYBRID, ML), (HYBRID, ML), (X25519, ML)),
    "attack: group list stripped": (CLIENT, CLIENT, SERVER, CLIENT),
    "attack: TLS 1.3 stripped": (CLIENT, SERVER, SERVER, SERVER),
}


@pytest.fixture(scope="module")
def cells(authority):
    return matrix.run(authority)


@pytest.mark.parametrize("client", EXPECTED)
def test_each_client_gets_from_each_server_what_the_policy_says(cells, client):
    servers = ("classical", "dual", "pqc-required", "plain-list")
    for server, expected in zip(servers, EXPECTED[client], strict=True):
        cell = cells[client, server]
        if isinstance(expected, str):
            assert not cell.connected and str(cell).startswith(expected), (server, str(cell))
        else:
            assert cell.connected, (server, str(cell))
            assert (cell.server.negotiated.group, cell.server.negotiated.certificate) == expected, server
    assert matrix.broken(cells) == []


def test_the_matrix_leaves_no_client_out(cells):
    assert {client for client, _ in cells} - {"openssl s_client"} == set(EXPECTED)


def test_the_key_share_trap_costs_a_retry_where_it_does_not_succeed(cells):
    trap = "trap: a share of X25519 only"
    assert {server: cells[trap, server].server.negotiated.retried for server in ("dual", "pqc-required", "plain-list")} == {
        "dual": True,
        "pqc-required": True,
        "plain-list": False,
    }
    assert cells[trap, "plain-list"].server.finding == "downgrade: the client supports X25519MLKEM768 and got x25519"
    assert not any(cell.server.negotiated.retried for (name, _), cell in cells.items() if name != trap and cell.connected)


def test_what_was_changed_on_the_way_is_seen_by_the_end_that_is_left(cells):
    stripped, older = cells["attack: group list stripped", "dual"], cells["attack: TLS 1.3 stripped", "classical"]
    assert HYBRID not in stripped.server.hello.groups  # the server saw the changed one
    assert "changed on the way" in stripped.client and "bad record mac" in stripped.server.refusal
    assert "RFC 8446 section 4.1.3" in older.client and "illegal parameter" in older.server.refusal


def test_a_broken_policy_would_be_found(cells):
    trap, attack = ("trap: a share of X25519 only", "plain-list"), ("attack: group list stripped", "dual")
    wrong = {("c", "dual"): cells[trap], ("d", "pqc-required"): cells[trap], attack: cells["classical TLS 1.3", "dual"]}
    sentences = matrix.broken(wrong)
    assert [sentence.split(":")[0].split(" under")[0] for sentence in sentences] == [
        "c was downgraded",
        "d got a classical connection",
        "attack",
    ]


def first_flight(context):
    """The ClientHello that a client of ours sends, read from the socket by nobody but this test."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: contextlib.suppress(Exception) and _try(context, listener.getsockname()))
        thread.start()
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(SECONDS)
            octets = b""
            while (found := first_message(octets)) is None:
                octets += peer.recv(1 << 16)
        thread.join()
    return ClientHello.parse(found[0])


def _try(context, address):
    with contextlib.suppress(Exception):
        connect(context, *address, "tests", name="localhost", seconds=SECONDS)


@pytest.mark.parametrize(
    ("policy", "groups", "shares", "versions"),
    [
        ("classical", (X25519, P256, "secp384r1"), (X25519,), {"TLSv1.3", "TLSv1.2"}),
        ("dual", (HYBRID, X25519, P256, "secp384r1"), (HYBRID, X25519), {"TLSv1.3"}),
        ("pqc-required", (HYBRID,), (HYBRID,), {"TLSv1.3"}),
    ],
)
def test_a_policy_is_what_goes_over_the_wire(authority, policy, groups, shares, versions):
    hello = first_flight(client_context(POLICIES[policy], list(authority.roots.values())))
    assert (hello.groups, hello.shares, set(hello.versions)) == (groups, shares, versions)
    schemes = {"classical": {0x0403, 0x0503}, "pqc-required": {0x0904, 0x0905, 0x0906}}  # RFC 8446, draft-ietf-tls-mldsa
    schemes["dual"] = schemes["classical"] | schemes["pqc-required"]
    [content] = [content for kind, content in hello.extensions if kind == 13]
    assert {int.from_bytes(content[at : at + 2], "big") for at in range(2, len(content), 2)} == schemes[policy]


def test_a_group_or_scheme_that_the_library_does_not_know_is_said(authority):
    for offer in (Offer("X25519MLKEM9000", "mldsa65"), Offer("X25519", "rot13")):
        with pytest.raises(TlsUnsupported, match=r"does not take '(X25519MLKEM9000|rot13)'"):
            client_context(replace(POLICIES["dual"], client=offer), list(authority.roots.values()))


@pytest.mark.parametrize("algorithm", ["ECDSA-P256", "ECDSA-P384", "ML-DSA-44", "ML-DSA-65"])
def test_every_kind_of_leaf_serves(authority, algorithm):
    policy = POLICIES["dual"]
    with serving(policy, [authority.issue(algorithm, ["localhost"])]) as server:
        found = met(server.address, policy, authority.roots.values())
        assert (found.group, found.certificate) == (HYBRID, algorithm)
        assert replace(found, retried=False) == server.next().negotiated


def classical_context(authority):
    context = standard_context(authority)
    context.set_ecdh_curve("prime256v1")
    return context


def test_the_standard_library_connects_to_a_dual_server_and_verifies_it(authority):
    with (
        served(authority, "dual") as server,
        socket.create_connection(server.address, timeout=SECONDS) as plain,
        classical_context(authority).wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        said = json.loads(connection.recv(1 << 16))
        seen = server.next().negotiated
        assert (connection.version(), connection.cipher()[0]) == (seen.version, seen.suite) == ("TLSv1.3", said["suite"])
        assert connection.getpeercert()["subjectAltName"] == (("DNS", "localhost"),)
        assert (said["group"], said["certificate"], said["offered_groups"]) == (P256, STANDARD, [P256])
        assert said["finding"].startswith("classical: the client offers no post-quantum group")
        assert connection.recv(1) == b""  # ended in order


def test_the_standard_library_is_told_by_an_alert_why_it_is_refused(authority):
    with served(authority, "pqc-required") as server:
        with (
            socket.create_connection(server.address, timeout=SECONDS) as plain,
            pytest.raises(ssl.SSLError) as refused,
        ):
            classical_context(authority).wrap_socket(plain, server_hostname="localhost")
        assert refused.value.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"
        seen = server.next()
        assert (seen.outcome, seen.negotiated) == ("DENIED", None)
        assert seen.finding == (
            "policy pqc-required: the server refused: no suitable key share: no key exchange group in common "
            f"(the client offers secp256r1; {', '.join(seen.hello.versions)})"
        )


@contextlib.contextmanager
def standard_server(authority, folder):
    """A server of the standard library with a certificate of ours; it needs the key in a file, ours do not."""
    leaf = authority.issue("ECDSA-P256", ["localhost"])
    key, certificate = folder / "key.pem", folder / "leaf.pem"
    key.write_bytes(leaf.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(leaf.certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_ecdh_curve("prime256v1")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    with peer, contextlib.suppress(OSError):
                        context.wrap_socket(peer, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_classical_server_of_others_is_accepted_reported_or_refused_by_policy(authority, tmp_path):
    roots = list(authority.roots.values())
    with standard_server(authority, tmp_path) as address:
        for name, finding in (
            ("classical", "classical: the client offers no post-quantum group; what is recorded today can be read later"),
            ("dual", "downgrade: the client supports X25519MLKEM768 and got secp256r1"),
        ):
            channel, seen = connect(client_context(POLICIES[name], roots), *address, name, name="localhost")
            channel.close()
            assert (seen.negotiated.group, seen.negotiated.certificate, seen.finding) == (P256, EC, finding)
        with pytest.raises(HandshakeRefused, match="the server refused: handshake failure: its policy has no group"):
            connect(client_context(POLICIES["pqc-required"], roots), *address, "pqc-required", name="localhost")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_command_line_client_sees_what_the_server_reports(authority, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.roots["ECDSA-P384"].public_bytes(Encoding.PEM))
    options = ["-CAfile", str(file), "-verify_return_error", "-verify_hostname", "localhost", "-brief", "-groups", "P-384"]
    options += ["-sigalgs", "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384"]
    with served(authority, "dual") as server:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.address[1]}", *options]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        seen = server.next().negotiated
        assert (seen.group, seen.certificate, seen.version) == ("secp384r1", EC, "TLSv1.3")
        assert f"Ciphersuite: {seen.suite}" in done.stderr and "Verification: OK" in done.stderr
        assert re.search(r"secp384r1", done.stderr)


def test_no_session_is_resumed(authority):
    """A resumed connection would go on under a policy and a certificate of earlier."""
    context = classical_context(authority)
    with served(authority, "dual") as server:
        session = None
        for _ in range(2):
            with (
                socket.create_connection(server.address, timeout=SECONDS) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
            ):
                connection.recv(1 << 16)
                session = connection.session
                assert not connection.session_reused


def test_a_handshake_is_an_event(authority):
    with served(authority, "dual") as server:
        met(server.address, POLICIES["dual"], authority.roots.values())
        seen = server.next()
    event = decode(KmsAudit, encode(seen.audit()))
    assert (event.action, event.outcome, event.algorithm) == ("tls.handshake", "SUCCESS", "X25519MLKEM768+ML-DSA-65")
    assert event.kid == seen.negotiated.kid and re.fullmatch(r"[0-9a-f]{64}", event.kid)
    assert event.actor == "peer/127.0.0.1"
    detail = json.loads(event.detail)
    assert (detail["finding"], detail["retried"], detail["offered_shares"]) == ("post-quantum", False, [HYBRID, X25519])


@pytest.mark.parametrize("peer", [("fe80::1%eth0", 4), ("::1", 4), ("10.0.0.1", 4)])
def test_a_refusal_is_an_event_whatever_the_address(peer):
    refused = Handshake("server", "pqc-required", peer, None, None, "the server refused: http request", "DENIED")
    event = decode(KmsAudit, encode(refused.audit()))
    assert (event.kid, event.outcome, event.algorithm) == ("tls:pqc-required", "DENIED", "")
    assert json.loads(event.detail)["offered_groups"] is None


def test_only_post_quantum_on_both_sides_counts_as_post_quantum():
    def finding(group, post_quantum_chain):
        found = Negotiated("TLSv1.3", group, "s", ML, "k", post_quantum_chain)
        return Handshake("server", "dual", ("h", 1), None, found).finding

    assert finding(HYBRID, True) == "post-quantum"
    assert finding(HYBRID, False) == "post-quantum key exchange, classical certificate"
    assert finding(X25519, True).startswith("classical")
