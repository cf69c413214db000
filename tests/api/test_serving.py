"""What keeps a service from starting is one sentence; a defect keeps its traceback."""

import signal
import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import uvicorn
from fastapi import FastAPI, Request

from api import certificates
from api.errors import ServingImpossible
from api.serving import serve
from streams.broker import free_port
from streams.errors import BrokerUnavailableError


@pytest.fixture(autouse=True)
def _signals():
    """`serve` leaves SIGTERM and SIGINT ignored: it is the last thing that its process does."""
    held = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in held.items():
        signal.signal(number, handler)


@contextmanager
def served(app):
    """The application served in a thread; yields its port. `serve` sets signals, which a thread may not."""
    port = free_port()
    held, signal.signal = signal.signal, lambda *_: None
    servers = []

    class Server(uvicorn.Server):
        def __init__(self, config):
            super().__init__(config)
            servers.append(self)

        def install_signal_handlers(self):
            pass

    held_server, uvicorn.Server = uvicorn.Server, Server
    thread = threading.Thread(target=serve, args=(app, "127.0.0.1", port, None), daemon=True)
    thread.start()
    try:
        for _ in range(200):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield port
    finally:
        servers[0].should_exit = True
        thread.join(10)
        signal.signal, uvicorn.Server = held, held_server


def _said(port, *parts):
    """What comes back to each part, and until the other end closes."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(10.0)
        said = b""
        for part in parts:
            connection.sendall(part)
            said += connection.recv(1 << 16) if part != parts[-1] else b""
        return said + b"".join(iter(lambda: connection.recv(1 << 16), b""))


def _clients():
    app = FastAPI()

    @app.post("/who")
    async def who(request: Request) -> str:
        await request.body()
        return request.client.host

    return app


def test_what_a_caller_says_of_his_own_address_is_not_believed():
    head = b"POST /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 10.9.9.9\r\nContent-Length: 0\r\n\r\n"
    with served(_clients()) as port:
        assert _said(port, head).endswith(b'"127.0.0.1"')


_WHOLE = b"POST /who HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [[b""], [b"POST /who HT"], [_WHOLE.replace(b": 0", b": 9") + b"abc"], [_WHOLE, b"POST /who HT"]],
    ids=["nothing", "half a head", "half a body", "half a second request"],
)
def test_a_connection_on_which_no_request_arrives_whole_is_closed(parts, monkeypatch):
    monkeypatch.setattr(certificates, "REQUEST_SECONDS", 0.3)
    with served(_clients()) as port:
        begins = time.monotonic()
        said = _said(port, *parts)
        assert time.monotonic() - begins < 3
        assert said.count(b"HTTP/1.1 200") == len(parts) - 1


def _application(error):
    @asynccontextmanager
    async def lifespan(app):
        raise error
        yield

    return FastAPI(lifespan=lifespan)


def test_a_broker_that_is_down_is_its_sentence_and_no_traceback(capfd):
    with pytest.raises(ServingImpossible, match=r"^nobody answers$"):
        serve(_application(BrokerUnavailableError("nobody answers")), "127.0.0.1", free_port(), None)
    assert "Traceback" not in capfd.readouterr().err


def test_a_defect_keeps_its_traceback(capfd):
    with pytest.raises(ServingImpossible, match="its log says why"):
        serve(_application(ZeroDivisionError("ours")), "127.0.0.1", free_port(), None)
    assert "ZeroDivisionError: ours" in capfd.readouterr().err


def test_a_port_in_use_is_said_before_anything_is_opened():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingImpossible, match=f"port {port} at 127.0.0.1 cannot be used .*choose another"):
            serve(_application(AssertionError("it was opened")), "127.0.0.1", port, None)
