"""A worker's HTTP port: `/metrics` for Prometheus, `/healthz` for supervisors. In a thread, so a busy loop still answers."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from streams.errors import StreamsError

LOOP_SECONDS = 10.0
"""An event loop that was not seen for this long counts as hung."""


class Health:
    """What `/healthz` says: 200 once ready and while the event loop runs, else 503 with the reason.

    Attributes:
        waiting_for: why the worker is not ready yet, as a sentence; None = ready.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self.waiting_for: str | None = "starting"
        self._seen = time.monotonic()

    def beat(self) -> None:
        """The event loop is alive."""
        self._seen = time.monotonic()

    def report(self) -> tuple[str, dict[str, Any]]:
        """HTTP status line and body."""
        silent = time.monotonic() - self._seen
        problem = self.waiting_for or (f"the event loop has been silent for {silent:.0f} s" if silent > LOOP_SECONDS else None)
        return ("503 Service Unavailable" if problem else "200 OK"), {
            "agent": self._agent,
            "ready": problem is None,
            "problem": problem,
        }


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a scrape every few seconds would fill the log."""


def serve(host: str, port: int, health: Health) -> WSGIServer:
    """Starts the port's thread; port 0 takes a free one, `server_port` says which.

    Raises:
        StreamsError: the port is in use.
    """
    prometheus = make_wsgi_app()

    def application(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environment["PATH_INFO"] == "/metrics":
            return cast(Iterable[bytes], prometheus(environment, start_response))
        known = environment["PATH_INFO"] == "/healthz"
        status, body = health.report() if known else ("404 Not Found", {"paths": ["/metrics", "/healthz"]})
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    try:
        server = make_server(host, port, application, _Server, _Quiet)
    except OSError as error:
        raise StreamsError(
            f"the metrics port {host}:{port} cannot be opened ({error.strerror}): choose another QUANTUMAI_METRICS_PORT"
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
