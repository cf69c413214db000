"""The configuration of a one-node Kafka (KRaft: broker and controller in one process)."""

import re
from collections.abc import Mapping
from pathlib import Path

from schemas.topics import MAX_DERIVED_BYTES

_FOREVER_MINUTES = 2**31 - 1

_FIXED = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "auto.create.topics.enable": "false",
    # One node: every internal topic has one copy. Few partitions, because each costs files and time at every start.
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 8,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # A platform that was down for a week must go on where it stopped: Kafka's default would forget the offsets after 7 days.
    "offsets.retention.minutes": _FOREVER_MINUTES,
    "group.initial.rebalance.delay.ms": 0,
    # A killed worker's open transaction holds back every reader until it is aborted: look each second, not each ten.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "message.max.bytes": MAX_DERIVED_BYTES + 64 * 1024,
    "replica.fetch.max.bytes": 2 * MAX_DERIVED_BYTES,
    # The default of 128 MiB is a quarter of our heap.
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    "num.network.threads": 2,
    "num.io.threads": 4,
}


def broker_properties(data: Path, host: str, port: int, advertise: str, controller_port: int) -> str:
    """The content of server.properties.

    Args:
        data: log.dirs.
        host: address that clients reach it at from here; the controller always listens on 127.0.0.1.
        port: of the clients' listener.
        advertise: host name that clients are told to connect to.
        controller_port: of the controller's listener.
    """
    return _lines(
        {
            **_FIXED,
            "log.dirs": data,
            "listeners": f"BROKER://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"BROKER://{advertise}:{port}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        }
    )


def controller_properties(data: Path, port: int, session_ms: int) -> str:
    """The same node as a controller only, which takes a broker for dead after `session_ms`: for `streams.fencing`."""
    return _lines(
        {
            "process.roles": "controller",
            "node.id": 1,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": data,
            "listeners": f"CONTROLLER://127.0.0.1:{port}",
            "controller.quorum.voters": f"1@127.0.0.1:{port}",
            "broker.session.timeout.ms": session_ms,
            "broker.heartbeat.interval.ms": session_ms // 2,
        }
    )


def _lines(settings: Mapping[str, object]) -> str:
    return "".join(f"{name}={_escaped(str(value))}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    """As Java reads properties: Latin-1, in which a backslash escapes, and everything can be written as UTF-16 in hexadecimal."""
    return "".join(
        letter if letter.isascii() and letter != "\\" else re.sub("(.{4})", r"\\u\1", letter.encode("utf-16-be").hex())
        for letter in value
    )
