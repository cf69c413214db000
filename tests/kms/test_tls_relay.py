"""A plain service behind hybrid TLS: what goes in comes out, both ways, with services and clients of the standard library."""

import contextlib
import hashlib
import http.client
import http.server
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tls_peers import SECONDS, standard_context

from kms.tls.channel import connect
from kms.tls.contexts import client_context
from kms.tls.errors import PeerSilent
from kms.tls.policies import POLICIES
from kms.tls.relaying import relay
from kms.tls.serving import Listener, Renewing


@contextlib.contextmanager
def front(authority, service, policy="dual"):
    """A listener that passes on to a service."""
    context = Renewing(lambda: authority, POLICIES[policy], ["localhost"])
    passing = Listener(policy, context, lambda _: None, service=lambda channel, _: relay(channel, service))
    with passing as listener:
        yield listener.address


@contextlib.contextmanager
def plain(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address
        server.shutdown()
        thread.join()


class Digest(http.server.BaseHTTPRequestHandler):
    """Answers with the digest of what was posted, and the same again ten times over."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = hashlib.sha256(body).hexdigest().encode() + body * 10
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def test_an_http_service_is_reached_by_many_clients_at_once_and_every_byte_arrives(authority):
    def post(seed, address):
        connection = http.client.HTTPSConnection("localhost", address[1], context=standard_context(authority), timeout=SECONDS)
        for size in (0, 1, 16_384, 200_000):  # on one connection
            body = random.Random(seed).randbytes(size)
            connection.request("POST", "/", body)
            answer = connection.getresponse().read()
            assert answer == hashlib.sha256(body).hexdigest().encode() + body * 10
        connection.close()

    with plain(Digest) as service, front(authority, service) as address, ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(partial(post, address=address), range(16)))) == 16


def hybrid(authority, address, policy="pqc-required"):
    context = client_context(POLICIES[policy], list(authority.roots.values()))
    return connect(context, *address, policy, name="localhost", seconds=SECONDS)


def test_a_post_quantum_client_reaches_a_service_that_knows_no_tls(authority):
    with plain(Digest) as service, front(authority, service, "pqc-required") as address:
        channel, seen = hybrid(authority, address)
        assert seen.negotiated.post_quantum
        channel.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc")
        answer = b""
        while data := channel.receive():
            answer += data
        channel.close()
        assert answer.endswith(hashlib.sha256(b"abc").hexdigest().encode() + b"abc" * 10)


def test_the_end_of_either_side_is_passed_on(authority):
    with socket.create_server(("127.0.0.1", 0)) as service, front(authority, service.getsockname()) as address:
        context = standard_context(authority)
        with (
            socket.create_connection(address, timeout=SECONDS) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as client,
        ):
            behind, _ = service.accept()
            with behind:
                behind.settimeout(SECONDS)
                client.sendall(b"question")
                assert behind.recv(100) == b"question"
                behind.sendall(b"answer")
                behind.shutdown(socket.SHUT_WR)
                assert client.recv(100) == b"answer"
                assert client.recv(100) == b""  # an end in order: close_notify
                assert behind.recv(100) == b""


def test_a_client_that_has_ended_is_an_end_for_the_service_which_may_still_speak(authority):
    with socket.create_server(("127.0.0.1", 0)) as service, front(authority, service.getsockname()) as address:
        channel, _ = hybrid(authority, address)
        behind, _ = service.accept()
        with behind:
            behind.settimeout(SECONDS)
            channel.send(b"all of it")
            channel._tls.shutdown()
            channel._flush()
            asked = b""
            while data := behind.recv(100):
                asked += data
            assert asked == b"all of it"
            behind.sendall(b"the answer")
        assert channel.receive() == b"the answer"
        assert channel.receive() == b""
        channel.close()


def test_a_service_that_is_not_there_serves_nobody(authority, caplog):
    caplog.set_level("INFO", "kms.tls.serving")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        service = gone.getsockname()
    with front(authority, service) as address:
        channel, _ = hybrid(authority, address)
        with pytest.raises(PeerSilent):
            channel.receive()
        channel.close()
    assert f"the service at 127.0.0.1:{service[1]} does not answer" in caplog.text


def test_a_listener_ends_with_connections_open(authority):
    with socket.create_server(("127.0.0.1", 0)) as service:
        with front(authority, service.getsockname()) as address:
            channel, _ = hybrid(authority, address)
            behind, _ = service.accept()
        with behind:  # the block above ended: nothing waits for the idle connection
            behind.settimeout(SECONDS)
            assert behind.recv(1) == b""
        channel.close()
