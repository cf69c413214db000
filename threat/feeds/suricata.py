"""Suricata's EVE JSON: https://docs.suricata.io/en/suricata-8.0.0/output/eve/eve-json-format.html."""

from typing import Any

from threat.feeds.table import NETWORK, Event, Field, compiled

MARKS = ("event_type",)
"""Keys of which every line has one."""

SEVERITIES = {1: 4, 2: 3, 3: 2, 4: 1}
"""EVE's 1 is the worst; OCSF's 4 is high, 1 informational."""

ACTIVITIES = {"closed": 2, "new": 1, "established": 6, "bypassed": 6}
"""A flow's state to OCSF's close, open, traffic."""

FIELDS = (
    Field("src_endpoint.ip", "src_ip"),
    Field("src_endpoint.port", "src_port"),
    Field("dst_endpoint.ip", "dest_ip"),
    Field("dst_endpoint.port", "dest_port"),
    Field("dst_endpoint.hostname", ("http", "hostname")),
    Field("dst_endpoint.hostname", ("tls", "sni")),
    Field("connection_info.protocol_name", "proto"),
    Field("connection_info.uid", "flow_id"),
    Field("connection_info.flag_history", ("tcp", "tcp_flags")),
    Field("connection_info.community_uid", "community_id"),
    Field("app_name", "app_proto"),
    Field("traffic.bytes_out", ("flow", "bytes_toserver"), "number"),
    Field("traffic.bytes_in", ("flow", "bytes_toclient"), "number"),
    Field("traffic.packets_out", ("flow", "pkts_toserver"), "number"),
    Field("traffic.packets_in", ("flow", "pkts_toclient"), "number"),
    Field("duration", ("flow", "age"), "seconds"),
    Field("status_code", ("flow", "reason")),
    Field("activity_id", ("flow", "state"), by=ACTIVITIES, default=6),
    Field("severity_id", ("alert", "severity"), by=SEVERITIES, default=1),
    Field("metadata.log_name", "event_type"),
    Field("metadata.loggers_host", "host"),
    Field("unmapped.alert", "alert"),
    Field("unmapped.dns", "dns"),
    Field("unmapped.http", "http"),
)

_PRODUCT = {"name": "Suricata", "vendor_name": "OISF"}
_map = compiled(FIELDS, {"class_uid": NETWORK, "category_uid": 4, "metadata.version": "1.4.0", "metadata.product": _PRODUCT})


def event(line: Event) -> tuple[Event, Any]:
    """The OCSF event of an EVE line, and its time as it stands there."""
    return _map(line), line.get("timestamp")
