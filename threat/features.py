"""An OCSF event as numbers: what the models look at. Stateless, so that an event's score depends on the event alone."""

from collections.abc import Sequence
from math import log1p
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.threats import ThreatObserved
from threat.feeds.table import AUTHENTICATION

SERVICES = {
    "web": (80, 443, 8000, 8080, 8443),
    "name": (53, 5353, 137),
    "login": (21, 22, 23, 88, 110, 143, 3389, 5985, 5986),
    "share": (111, 135, 139, 445, 2049),
    "data": (1433, 1521, 3306, 5432, 6379, 9200, 27017),
    "mail": (25, 465, 587, 993, 995),
}
"""Destination ports by what answers there."""

_SERVICE = {port: place for place, ports in enumerate(SERVICES.values()) for port in ports}
_PROTOCOLS = {"tcp": 0, "udp": 1, "icmp": 2, "ipv6-icmp": 2}
_ACTIVITIES = {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}
_INSIDE = (
    "10.",
    "192.168.",
    "172.16.",
    "172.17.",
    "172.18.",
    "172.19.",
    "172.2",
    "172.30.",
    "172.31.",
    "127.",
    "fe80:",
    "fc",
    "fd",
)

COLUMNS = (
    *("log_duration", "log_bytes_out", "log_bytes_in", "log_packets_out", "log_packets_in"),
    *("out_share", "bytes_a_packet", "is_authentication", "refused_login", "severity", "alert"),
    *("source_inside", "target_inside", "low_port", "high_port", "told_traffic", "is_tcp", "is_udp", "is_icmp"),
    *("opened", "closed", "reset", "failed", "refused"),
    *(f"to_{service}" for service in SERVICES),
)
"""What each number is; `log_` is the natural logarithm of 1 + x, the durations in seconds."""

_TCP, _OPENED, _TO = COLUMNS.index("is_tcp"), COLUMNS.index("opened"), COLUMNS.index("to_web")


def features(events: Sequence[ThreatObserved]) -> NDArray[np.float64]:
    """(n, len(COLUMNS)); what an event does not say is 0, and what it says in a way that cannot be is taken as not said."""
    table = np.zeros((len(events), len(COLUMNS)))
    for place, event in enumerate(events):
        _fill(table[place], event, orjson.loads(event.ocsf))
    return table


def _fill(row: NDArray[np.float64], event: ThreatObserved, ocsf: dict[str, Any]) -> None:
    traffic = ocsf.get("traffic")
    traffic = traffic if type(traffic) is dict else {}
    sent, received = _number(traffic.get("bytes_out")), _number(traffic.get("bytes_in"))
    packets_sent, packets_received = _number(traffic.get("packets_out")), _number(traffic.get("packets_in"))
    port = event.dst_endpoint.port or 0
    unmapped = ocsf.get("unmapped")
    packets, whole = packets_sent + packets_received, sent + received
    row[:_TCP] = (
        log1p(_number(ocsf.get("duration")) / 1000),
        log1p(sent),
        log1p(received),
        log1p(packets_sent),
        log1p(packets_received),
        sent / whole if whole else 0.0,
        whole / packets / 1500 if packets else 0.0,
        event.class_uid == AUTHENTICATION,
        ocsf.get("status_id") == 2,
        min(event.severity_id, 6),
        type(unmapped) is dict and ("alert" in unmapped or "note" in unmapped),
        (event.src_endpoint.ip or "").startswith(_INSIDE),
        (event.dst_endpoint.ip or "").startswith(_INSIDE),
        0 < port < 1024,
        port >= 1024 and port not in _SERVICE,
        bool(traffic),
    )
    connection = ocsf.get("connection_info")
    protocol = connection.get("protocol_name") if type(connection) is dict else None
    if type(protocol) is str and (at := _PROTOCOLS.get(protocol.lower())) is not None:
        row[_TCP + at] = 1.0
    if (at := _ACTIVITIES.get(event.activity_id)) is not None:
        row[_OPENED + at] = 1.0
    if (at := _SERVICE.get(port)) is not None:
        row[_TO + at] = 1.0


def _number(value: object) -> float:
    return min(float(value), 1e15) if isinstance(value, int | float) and value > 0 else 0.0
