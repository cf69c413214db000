"""Zeek's JSON logs in the three shapes in which they are sent: https://docs.zeek.org/en/master/logs/index.html.

| shape | who writes it |
|---|---|
| `{"_path": "conn", "ts": …, "id.orig_h": …}` | json-streaming-logs |
| `{"conn": {"ts": …, "id.orig_h": …}}` | zeek-kafka with tag_json |
| `{"@stream": "conn", "ts": …, "id_orig_h": …}` | RockNSM |

Zeek's own files have no name of the log inside; these are told by their connection's keys.
"""

from collections.abc import Callable, Mapping
from typing import Any

from threat.errors import LineError
from threat.feeds.table import AUTHENTICATION, NETWORK, Event, Field, Map, compiled

MARKS = ("_path", "@stream", "id.orig_h")
"""Keys of which every line has one; but for lines that are `tagged`."""

ACTIVITIES = {
    **dict.fromkeys(("SF", "S2", "S3"), 2),
    "S1": 1,
    **dict.fromkeys(("RSTO", "RSTR", "RSTOS0", "RSTRH"), 3),
    **dict.fromkeys(("S0", "SH", "SHR"), 4),
    "REJ": 5,
}
"""A connection's state to OCSF's close, open, reset, fail, refuse; the others are traffic."""

SEVERITIES = {"notice": 3, "weird": 2}
"""By log; the others are informational."""

ENDPOINTS = (
    Field("src_endpoint.ip", "id.orig_h"),
    Field("src_endpoint.ip", "tx_hosts", "first"),
    Field("src_endpoint.ip", "src"),
    Field("src_endpoint.port", "id.orig_p"),
    Field("src_endpoint.mac", "orig_l2_addr"),
    Field("dst_endpoint.ip", "id.resp_h"),
    Field("dst_endpoint.ip", "rx_hosts", "first"),
    Field("dst_endpoint.ip", "dst"),
    Field("dst_endpoint.port", "id.resp_p"),
    Field("dst_endpoint.mac", "resp_l2_addr"),
    Field("dst_endpoint.hostname", "server_name"),
    Field("connection_info.protocol_name", "proto"),
    Field("metadata.uid", "uid"),
    Field("metadata.uid", "fuid"),
    Field("metadata.uid", "id"),
)

NETWORK_FIELDS = (
    *ENDPOINTS,
    Field("dst_endpoint.hostname", "host"),
    Field("connection_info.flag_history", "history"),
    Field("app_name", "service"),
    Field("traffic.bytes_out", "orig_bytes", "number"),
    Field("traffic.bytes_in", "resp_bytes", "number"),
    Field("traffic.packets_out", "orig_pkts", "number"),
    Field("traffic.packets_in", "resp_pkts", "number"),
    Field("traffic.bytes_missed", "missed_bytes", "number"),
    Field("duration", "duration", "seconds"),
    Field("status_code", "conn_state"),
    Field("activity_id", "conn_state", by=ACTIVITIES, default=6),
    Field("unmapped.note", "note"),
    Field("unmapped.message", "msg"),
    Field("unmapped.name", "name"),
    Field("unmapped.query", "query"),
    Field("unmapped.method", "method"),
    Field("unmapped.uri", "uri"),
    Field("unmapped.validation_status", "validation_status"),
    Field("unmapped.operation", "operation"),
    Field("unmapped.path", "path"),
)

AUTHENTICATION_FIELDS = (
    *ENDPOINTS,
    Field("user.name", "client"),
    Field("user.name", "username"),
    Field("user.name", "cookie"),
    Field("service.name", "service"),
    Field("activity_id", "request_type", by={"AS": 3, "TGS": 4}, default=1),
    Field("status_id", "success", by={True: 1, False: 2}, default=0),
    Field("status_id", "auth_success", by={True: 1, False: 2}, default=0),
    Field("status_detail", "error_msg"),
    Field("status_detail", "result"),
)

AUTHENTICATIONS = frozenset({"kerberos", "ntlm", "ssh", "rdp", "radius"})
"""Logs that are about who logs in."""

_PRODUCT = {"metadata.version": "1.4.0", "metadata.product": {"name": "Zeek", "vendor_name": "Zeek"}}


def _tables(rename: Callable[[str], str]) -> tuple[Map, Map]:
    network = compiled(NETWORK_FIELDS, {"class_uid": NETWORK, "category_uid": 4, **_PRODUCT}, rename)
    authentication = compiled(AUTHENTICATION_FIELDS, {"class_uid": AUTHENTICATION, "category_uid": 3, **_PRODUCT}, rename)
    return network, authentication


_DOTTED: tuple[Map, Map] = _tables(str)
_UNDERSCORED: tuple[Map, Map] = _tables(lambda key: key.replace("id.", "id_") if key.startswith("id.") else key)


def event(line: Event) -> tuple[Event, Any]:
    """The OCSF event of a Zeek line in any shape, and its time as it stands there.

    Raises:
        LineError: in none of the shapes.
    """
    log, fields, tables = _shape(line)
    if type(log) is not str or not log:
        raise LineError(f"the name of its log is {repr(log)[:40]}, which is no name")
    made = tables[log in AUTHENTICATIONS](fields)
    made["severity_id"] = SEVERITIES.get(log, 1)
    made["metadata"]["log_name"] = log
    return made, fields.get("ts")


def tagged(line: Event) -> bool:
    """Whether the line is one log's fields under its name."""
    return len(line) == 1 and isinstance(_only(line), dict)


def _shape(line: Event) -> tuple[object, Event, tuple[Map, Map]]:
    """The log's name as it stands there, its fields, and the tables of its shape."""
    if "@stream" in line:
        return line["@stream"], line, _UNDERSCORED
    if "_path" in line:
        return line["_path"], line, _DOTTED
    if tagged(line):
        return next(iter(line)), _only(line), _DOTTED
    if "ts" in line:
        return "conn" if "conn_state" in line else "unknown", line, _DOTTED
    raise LineError("no Zeek log: neither `_path`, `@stream` nor `ts`, and no single log inside")


def _only(line: Mapping[str, Any]) -> Any:
    return next(iter(line.values()))
