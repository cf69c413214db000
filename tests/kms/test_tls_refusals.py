"""Servers that are not who they say, peers that do not behave, and what is left on the disk: nothing."""

import json
import random
import socket
import sys
import threading
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import Encoding
from tls_peers import SECONDS, forged, met, served, serving

from kms.keyring import KeyRing
from kms.tls.authority import CA_ALGORITHMS, CA_USE, Authority
from kms.tls.channel import connect
from kms.tls.contexts import client_context
from kms.tls.errors import HandshakeRefused, NotReported, PeerSilent
from kms.tls.hello import first_message
from kms.tls.leaves import Credential
from kms.tls.policies import POLICIES
from kms.tls.serving import Listener, Renewing
from kms.tls.token_keys import issuer

DUAL = POLICIES["dual"]
LEAVES = [("ECDSA-P256", "ECDSA-P384"), ("ML-DSA-65", "ML-DSA-65")]
KINDS = [name for name, _ in LEAVES]


def refused(server, authority, name="localhost", policy=DUAL):
    """The client's sentence, and that the server was told by an alert."""
    with pytest.raises(HandshakeRefused) as error:
        met(server.address, policy, authority.roots.values(), name)
    seen = server.next()
    assert (seen.outcome, seen.negotiated) == ("DENIED", None)
    assert "refused" in seen.refusal
    return str(error.value)


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("name", ["other.example", "localhost.example", "local", "127.0.0.2"])
def test_a_server_of_another_name_is_refused(authority, algorithm, name):
    with serving(DUAL, [authority.issue(algorithm, ["localhost", "127.0.0.1"])]) as server:
        said = refused(server, authority, name)
        assert said.endswith("not accepted: IP address mismatch" if name[0].isdigit() else "not accepted: hostname mismatch")
        assert met(server.address, DUAL, authority.roots.values(), "127.0.0.1").certificate == algorithm


@pytest.mark.parametrize("algorithm", KINDS)
def test_an_expired_certificate_is_refused(authority, algorithm):
    with serving(DUAL, [authority.issue(algorithm, ["localhost"], timedelta(seconds=-30))]) as server:
        assert refused(server, authority).endswith("certificate has expired")


@pytest.mark.parametrize("algorithm", KINDS)
def test_a_certificate_of_another_authority_is_refused(authority, token, tmp_path, algorithm):
    other = Authority(KeyRing.open(tmp_path / "keys.db", token).ensure(CA_USE, CA_ALGORITHMS))
    with serving(DUAL, [other.issue(algorithm, ["localhost"])]) as server:
        assert "unable to get local issuer certificate" in refused(server, authority)
        assert met(server.address, DUAL, other.roots.values()).certificate == algorithm


@pytest.mark.parametrize(("algorithm", "root"), LEAVES)
def test_a_certificate_in_the_authoritys_name_by_another_key_is_refused(authority, algorithm, root):
    private = mldsa.MLDSA65PrivateKey.generate() if root == "ML-DSA-65" else ec.generate_private_key(ec.SECP384R1())
    leaf = authority.issue(algorithm, ["localhost"])
    copied = forged(authority.roots[root].subject, private, leaf.certificate.public_key())
    with serving(DUAL, [Credential(copied, leaf.private_key)]) as server:
        assert "not accepted" in refused(server, authority)


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("place", ["name", "signature"])
def test_a_tampered_certificate_is_refused(authority, algorithm, place):
    leaf = authority.issue(algorithm, ["localhost"])
    der = leaf.certificate.public_bytes(Encoding.DER)
    changed = der.replace(b"localhost", b"localhosx") if place == "name" else der[:-1] + bytes([der[-1] ^ 1])
    assert changed != der
    with serving(DUAL, [Credential(x509.load_der_x509_certificate(changed), leaf.private_key)]) as server:
        assert "certificate signature failure" in refused(server, authority, "localhosx" if place == "name" else "localhost")


@pytest.mark.parametrize(("algorithm", "root"), LEAVES)
def test_a_server_cannot_make_certificates_with_its_own_key(authority, algorithm, root):
    leaf, private = authority.issue(algorithm, ["localhost"]), ec.generate_private_key(ec.SECP256R1())
    if root == "ML-DSA-65":
        private = mldsa.MLDSA65PrivateKey.generate()
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "between")])
    between = forged(authority.roots[root].subject, issuer_key(authority, root), leaf.certificate.public_key())
    made = forged(named, leaf.private_key, private.public_key(), "victim.example")
    with serving(DUAL, [Credential(made, private)], chain=[leaf.certificate, between]) as server:
        assert "not accepted" in refused(server, authority, "victim.example")


def issuer_key(authority, root):
    return issuer(authority.keys[root])[0]


def test_a_post_quantum_key_that_a_classical_authority_vouches_for_is_none(authority):
    """Whoever breaks ECDSA could make such a certificate; a client under pqc-required must not be taken in."""
    private = mldsa.MLDSA65PrivateKey.generate()
    mixed = forged(authority.roots["ECDSA-P384"].subject, issuer_key(authority, "ECDSA-P384"), private.public_key())
    with serving(DUAL, [Credential(mixed, private)]) as server:
        refused(server, authority, policy=POLICIES["pqc-required"])
        assert not met(server.address, DUAL, authority.roots.values()).post_quantum  # a dual client trusts it, for what it is
        assert not server.next().negotiated.post_quantum


def test_nobody_there_and_nobody_answering_are_told_apart(authority):
    context = client_context(DUAL, list(authority.roots.values()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(PeerSilent, match=r"the server did not answer within 0\.2 s"):
            connect(context, *silent.getsockname(), "dual", name="localhost", seconds=0.2)
        address = silent.getsockname()
    with pytest.raises(PeerSilent, match=r"nobody answers at 127\.0\.0\.1:"):
        connect(context, *address, "dual", name="localhost")


def test_a_client_that_says_nothing_or_half_is_let_go_and_reported(authority):
    leaf = authority.issue("ML-DSA-65", ["localhost"])
    with serving(DUAL, [leaf], seconds=0.3) as server:
        for sent in (b"", b"\x16\x03\x01\x02\x00"):
            with socket.create_connection(server.address, timeout=SECONDS) as client:
                client.sendall(sent)
                seen = server.next()
                assert (seen.outcome, seen.hello) == ("FAILURE", None)
                assert seen.refusal == "the client did not answer within 0.3 s"
        with socket.create_connection(server.address, timeout=SECONDS):
            pass
        assert server.next().refusal == "the client closed the connection without an end in order"


def first_flight(context):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def dial():
            with pytest.raises(PeerSilent):
                connect(context, *address, "tests", name="localhost", seconds=SECONDS)

        thread = threading.Thread(target=dial)
        thread.start()
        peer, _ = listener.accept()
        with peer:
            octets = b""
            while first_message(octets) is None:
                octets += peer.recv(1 << 16)
        thread.join()
    return octets


def test_noise_is_refused_and_reported_and_the_server_serves_on(authority):
    flight, draw = first_flight(client_context(DUAL, list(authority.roots.values()))), random.Random(7)
    noise = [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x80\x2e\x01\x00\x02" + bytes(60)]
    for _ in range(60):
        changed = bytearray(flight)
        for at in draw.sample(range(len(flight)), draw.choice([1, 3, 30])):
            changed[at] ^= draw.randrange(1, 256)
        noise.append(bytes(changed))
    with served(authority, "dual") as server:
        for octets in noise:
            with socket.create_connection(server.address, timeout=SECONDS) as client:
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):
                    pass
            seen = server.next()
            assert seen.negotiated is None and seen.outcome in ("DENIED", "FAILURE")
            json.loads(seen.detail())
            seen.audit()
        assert met(server.address, DUAL, authority.roots.values()).post_quantum


def test_certificates_are_renewed_while_the_server_runs_and_an_error_of_renewal_stops_nothing(authority, caplog):
    policy, broken = POLICIES["pqc-required"], threading.Event()

    def current():
        if broken.is_set():
            raise OSError("the token is gone")
        return authority

    context = Renewing(current, policy, ["localhost"], timedelta(seconds=-30))  # due at once, and expired
    with Listener("pqc-required", context, lambda _: None) as listener:
        with pytest.raises(HandshakeRefused, match="expired"):
            met(listener.address, policy, authority.roots.values())
        context._lifetime = timedelta(hours=1)
        kids = {met(listener.address, policy, authority.roots.values()).kid for _ in range(3)}
        assert len(kids) == 1  # one renewal, then it is not due
        broken.set()
        context._due -= timedelta(hours=1)
        assert {met(listener.address, policy, authority.roots.values()).kid} == kids
    assert "are not renewed, the next connection tries again: the token is gone" in caplog.text


def test_a_report_that_fails_serves_nobody(authority, caplog):
    """What cannot be audited is not served."""

    def report(_):
        raise NotReported("the broker is gone")

    policy = POLICIES["pqc-required"]
    with Listener("pqc-required", Renewing(lambda: authority, policy, ["localhost"]), report) as listener:
        roots = list(authority.roots.values())
        channel, _ = connect(client_context(policy, roots), *listener.address, "tests", name="localhost", seconds=SECONDS)
        with pytest.raises(PeerSilent, match=r"closed the connection without an end in order|is gone"):
            channel.receive()
        channel.close()
    assert [(record.message, record.exc_info) for record in caplog.records if record.levelname == "ERROR"] == [
        ("a connection was not served: the broker is gone", None)
    ]


WRITTEN: list[str] = []
WATCHING = threading.Event()


def _watch(event, arguments):
    if event == "open" and WATCHING.is_set() and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        WRITTEN.append(str(arguments[0]))


def test_no_file_is_written_from_the_making_of_a_key_to_the_end_of_its_use(authority):
    sys.addaudithook(_watch)
    WATCHING.set()
    try:
        with served(authority, "dual") as server:
            met(server.address, DUAL, authority.roots.values())
    finally:
        WATCHING.clear()
    assert WRITTEN == []
