"""Passes what comes over TLS on to a plain service, and back: hybrid TLS for servers whose own library has none."""

import select
import socket

from kms.tls.channel import Channel
from kms.tls.errors import PeerSilent

IDLE_SECONDS = 300.0
"""How long a connection may say nothing, either way."""

_CONNECT_SECONDS = 10.0
_CHUNK = 1 << 16


def relay(channel: Channel, service: tuple[str, int]) -> None:
    """Passes on, both ways, until both have ended; each end's end is passed on, too.

    Raises:
        PeerSilent: the service does not answer, one end goes away without saying so, or nothing is said for `IDLE_SECONDS`.
        HandshakeRefused: the client sends what is no TLS.
    """
    try:
        plain = socket.create_connection(service, timeout=_CONNECT_SECONDS)
    except OSError as error:
        raise PeerSilent(f"the service at {service[0]}:{service[1]} does not answer: {error}") from None
    with plain:
        plain.settimeout(IDLE_SECONDS)
        try:
            _both_ways(channel, plain)
        except OSError as error:
            raise PeerSilent(f"the service at {service[0]}:{service[1]} is gone: {error}") from None


def _both_ways(channel: Channel, plain: socket.socket) -> None:
    _pass_on(channel, channel.decoded(), plain)
    listening = {channel.fileno(), plain.fileno()}
    if channel.ended:
        listening.discard(channel.fileno())
    while True:
        ready, _, _ = select.select(listening, [], [], IDLE_SECONDS)
        if not ready:
            raise PeerSilent(f"nothing was said for {IDLE_SECONDS:g} s")
        if plain.fileno() in ready:
            answer = plain.recv(_CHUNK)
            if not answer:
                return
            channel.send(answer)
        if channel.fileno() in ready:
            _pass_on(channel, channel.arrived(), plain)
            if channel.ended:
                listening.discard(channel.fileno())


def _pass_on(channel: Channel, arrived: list[bytes], plain: socket.socket) -> None:
    for data in arrived:
        plain.sendall(data)
    if channel.ended:
        plain.shutdown(socket.SHUT_WR)
