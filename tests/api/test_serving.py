"""What keeps a service from starting is one sentence; a defect keeps its traceback."""

import signal
import socket
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

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
