"""Serves an application by uvicorn, over TLS: by a certificate of the platform's CA, its key in memory only, or by your own."""

import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI

from api.certificates import PeerCertificates
from api.errors import ServingImpossible
from api.startup import Startup
from kms.tls.leaves import Credential

LOOPBACK = ("127.0.0.1", "::1", "localhost")

_HEADER_BYTES = 64 * 1024
_DRAIN_SECONDS = 10


def own_certificate(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context by files.

    Raises:
        ServingImpossible: they cannot be read, or do not belong together.
    """
    context = _context()
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ServingImpossible(f"{certificate} and {key} are no certificate and its key: {error}") from error
    return context


@contextmanager
def renewing(issue: Callable[[], Credential], seconds: float) -> Iterator[ssl.SSLContext]:
    """A server's context by a certificate that is replaced, with its key, every so often; connections that stand go on."""
    context, stop = _context(), threading.Event()
    _load(context, issue())

    def renew() -> None:
        while not stop.wait(seconds):
            _load(context, issue())

    thread = threading.Thread(target=renew, name="certificate", daemon=True)
    thread.start()
    try:
        yield context
    finally:
        stop.set()
        thread.join()


def take_clients(context: ssl.SSLContext, ca: Path) -> None:
    """Lets clients show certificates of a CA; those without one are left to their bearer token.

    Raises:
        ServingImpossible: the file has no CA certificates.
    """
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise ServingImpossible(f"{ca} is no PEM file of CA certificates: {error}") from error
    context.verify_mode = ssl.CERT_OPTIONAL


def serve(app: FastAPI, host: str, port: int, context: ssl.SSLContext | None) -> None:
    """Serves until SIGTERM or Ctrl-C, then lets requests end.

    Raises:
        ServingImpossible: it cannot start, in a sentence; or with a defect, which is in the log.
    """
    if context is None and host not in LOOPBACK:
        raise ServingImpossible(f"without TLS only the loopback address is served, not {host}: tokens would be readable on the way")
    _refuse_taken(host, port)
    startup = Startup(app)
    config = uvicorn.Config(
        startup,
        host=host,
        port=port,
        http=PeerCertificates,
        ws="none",
        lifespan="on",
        log_level="info",
        access_log=False,  # the audit is the log of accesses
        server_header=False,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        ssl_context_factory=None if context is None else lambda *_: context,
    )
    server = uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # while it serves they are uvicorn's, which sends them on when it has ended in order
    try:
        server.run()
    except SystemExit:
        raise ServingImpossible(str(startup.failure or f"the service did not start at {host}:{port}: its log says why")) from None


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            place = f"port {port} at {host}"
            raise ServingImpossible(f"{place} cannot be used ({error.strerror}): choose another, or stop what uses it") from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _load(context: ssl.SSLContext, credential: Credential) -> None:
    """Through a file that is in memory and has no name: the ssl module takes keys from files only."""
    key = credential.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    memory = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(memory, credential.certificate.public_bytes(Encoding.PEM) + key)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
