"""The project's own feeds: scenarios drawn at random, written as Suricata, Zeek and OCSF write them. Seeded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson

from threat.scenarios import ATTACKS, EVERYDAY, Scenario

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
FORMS = ("suricata", "zeek", "zeek-tagged", "zeek-stream", "ocsf")
_SEVERITIES = {1: 4, 2: 3, 3: 2}


@dataclass(frozen=True, slots=True)
class Made:
    """One event before it is written in a sensor's words."""

    scenario: Scenario
    at: datetime
    source: tuple[str, int]
    target: tuple[str, int]
    sent: int
    received: int
    seconds: float
    state: str
    success: bool
    alert: bool


def events(count: int, seed: int, attacks: float = 0.1) -> Iterator[Made]:
    """So many events, a share of them attacks, a few tens of milliseconds apart."""
    draw = np.random.default_rng(seed)
    at = START
    for _ in range(count):
        kinds: Sequence[Scenario] = ATTACKS if draw.random() < attacks else EVERYDAY
        weights = np.array([kind.weight for kind in kinds])
        scenario = kinds[draw.choice(len(kinds), p=weights / weights.sum())]
        at += timedelta(seconds=float(draw.exponential(0.05)))
        yield _made(scenario, at, draw)


def line(made: Made, form: str) -> bytes:
    """The event as a sensor of that form writes it, without a line end."""
    return orjson.dumps(_WRITERS[form](made))


def _made(scenario: Scenario, at: datetime, draw: np.random.Generator) -> Made:
    inside = [f"10.0.{draw.integers(4)}.{draw.integers(2, 250)}" for _ in range(2)]
    outside = f"198.51.100.{draw.integers(1, 255)}"
    source = outside if scenario.where == "inbound" else inside[0]
    target = outside if scenario.where == "outbound" else inside[1]
    ports = scenario.ports or (int(draw.integers(1, 65536)),)
    states = list(scenario.states)
    share = np.array(list(scenario.states.values()))
    return Made(
        scenario=scenario,
        at=at,
        source=(source, int(draw.integers(32768, 61000))),
        target=(target, int(draw.choice(ports))),
        sent=int(np.exp(draw.normal(*scenario.sent))),
        received=int(np.exp(draw.normal(*scenario.received))) if scenario.received[0] > 0 else 0,
        seconds=float(np.exp(min(draw.normal(*scenario.seconds), 9.0))),
        state=str(draw.choice(states, p=share / share.sum())),
        success=bool(draw.random() * 100 < scenario.login),
        alert=bool(draw.random() < scenario.alert),
    )


def _packets(size: int) -> int:
    return 1 + size // 1200


def _suricata(made: Made) -> dict[str, Any]:
    flow = {
        "pkts_toserver": _packets(made.sent),
        "pkts_toclient": _packets(made.received) if made.received else 0,
        "bytes_toserver": made.sent,
        "bytes_toclient": made.received,
        "start": made.at.isoformat(),
    }
    written = {
        "timestamp": made.at.strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
        "flow_id": int(made.at.timestamp() * 1e6),
        "event_type": "alert" if made.alert else "flow",
        "src_ip": made.source[0],
        "src_port": made.source[1],
        "dest_ip": made.target[0],
        "dest_port": made.target[1],
        "proto": made.scenario.protocol.upper(),
    }
    if made.alert:
        alert = {"action": "allowed", "signature": f"own {made.scenario.name}", "severity": made.scenario.severity}
        return {**written, "alert": alert, "flow": flow}
    state = {"S0": "new", "REJ": "new", "S1": "established"}.get(made.state, "closed")
    return {**written, "flow": {**flow, "age": int(made.seconds), "state": state, "reason": "timeout"}}


def _zeek(made: Made, separator: str = ".") -> tuple[str, dict[str, Any]]:
    connection = {
        "uid": f"C{int(made.at.timestamp() * 1e6):x}",
        f"id{separator}orig_h": made.source[0],
        f"id{separator}orig_p": made.source[1],
        f"id{separator}resp_h": made.target[0],
        f"id{separator}resp_p": made.target[1],
    }
    if made.scenario.login:
        kind = {"request_type": "AS", "client": "alice/EXAMPLE", "service": "krbtgt/EXAMPLE", "success": made.success}
        return "kerberos", {**connection, **kind, **({} if made.success else {"error_msg": "KDC_ERR_PREAUTH_FAILED"})}
    if made.alert:
        return "notice", {**connection, "proto": made.scenario.protocol, "note": "Own::Notice", "msg": f"own {made.scenario.name}"}
    return "conn", {
        **connection,
        "proto": made.scenario.protocol,
        "duration": round(made.seconds, 6),
        "orig_bytes": made.sent,
        "resp_bytes": made.received,
        "conn_state": made.state,
        "missed_bytes": 0,
        "orig_pkts": _packets(made.sent),
        "resp_pkts": _packets(made.received) if made.received else 0,
    }


def _zeek_flat(made: Made) -> dict[str, Any]:
    log, fields = _zeek(made)
    return {"_path": log, "ts": made.at.isoformat().replace("+00:00", "Z"), **fields}


def _zeek_tagged(made: Made) -> dict[str, Any]:
    log, fields = _zeek(made)
    return {log: {"ts": made.at.timestamp(), **fields}}


def _zeek_stream(made: Made) -> dict[str, Any]:
    log, fields = _zeek(made, "_")
    return {"@stream": log, "@system": "sensor.example", "ts": made.at.timestamp(), **fields}


def _ocsf(made: Made) -> dict[str, Any]:
    login = bool(made.scenario.login)
    activity = 3 if login else {"S0": 4, "REJ": 5, "RSTO": 3, "S1": 1}.get(made.state, 2)
    class_uid = 3002 if login else 4001
    written: dict[str, Any] = {
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "severity_id": _SEVERITIES[made.scenario.severity] if made.alert else 1,
        "time": int(made.at.timestamp()),
        "metadata": {"version": "1.4.0", "product": {"name": "Own", "vendor_name": "Own"}},
        "src_endpoint": {"ip": made.source[0], "port": made.source[1]},
        "dst_endpoint": {"ip": made.target[0], "port": made.target[1]},
    }
    if login:
        return {**written, "status_id": 1 if made.success else 2, "user": {"name": "alice"}}
    traffic = {"bytes_out": made.sent, "bytes_in": made.received}
    traffic |= {"packets_out": _packets(made.sent), "packets_in": _packets(made.received) if made.received else 0}
    connection = {"protocol_name": made.scenario.protocol}
    return {**written, "duration": int(made.seconds * 1000), "connection_info": connection, "traffic": traffic}


_WRITERS = {"suricata": _suricata, "zeek": _zeek_flat, "zeek-tagged": _zeek_tagged, "zeek-stream": _zeek_stream, "ocsf": _ocsf}
