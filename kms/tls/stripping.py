"""An attacker on the path, for demonstrations and tests: relays a connection after changing the first ClientHello."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from kms.tls.hello import ClientHello, first_message, record

Change = Callable[[ClientHello], ClientHello]

_CHUNK = 1 << 16
_SECONDS = 10.0


class Attacker:
    """Listens at `address`; what connects there reaches the server with a changed ClientHello. For `with`."""

    def __init__(self, server: tuple[str, int], change: Change) -> None:
        self._server, self._change = server, change
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._thread = threading.Thread(target=self._accept, name="tls-attacker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server, timeout=_SECONDS) as server, ThreadPoolExecutor(1) as pool:
            client.settimeout(_SECONDS)
            seen = b""
            while (found := first_message(seen)) is None:
                octets = client.recv(_CHUNK)
                if not octets:
                    return
                seen += octets
            message, rest = found
            server.sendall(record(self._change(ClientHello.parse(message)).message()) + rest)
            back = pool.submit(_copy, server, client)
            _copy(client, server)
            back.result()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while octets := source.recv(_CHUNK):
            target.sendall(octets)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one end is gone; the other end's copy ends by itself
