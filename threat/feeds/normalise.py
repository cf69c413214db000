"""A line of a feed becomes `threat.observed`: found out whose it is, mapped by its table, dated, checked."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from schemas.cloudevents import line_id
from schemas.codec import explain
from schemas.threats import Endpoint, ThreatObserved
from threat.errors import LineError
from threat.feeds import ocsf, suricata, zeek
from threat.feeds.table import Event
from threat.feeds.timestamps import moment

_ENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_STRANGE = re.compile(r"[^A-Za-z0-9._:/@-]")
_validated = ThreatObserved.__pydantic_validator__.validate_python
_made, _side = ThreatObserved.maker(), Endpoint.maker()
_NOWHERE = Endpoint()


MOST = 99
"""The largest activity and severity that OCSF has: a type is class x 100 + activity."""


class Format(NamedTuple):
    """A source of lines.

    Attributes:
        marks: keys of which a line of its own has one.
        event: a line -> its OCSF event, and its time as it stands there.
    """

    marks: tuple[str, ...]
    event: Callable[[Event], tuple[Event, Any]]


FORMATS: Mapping[str, Format] = {
    "suricata": Format(suricata.MARKS, suricata.event),
    "ocsf": Format(ocsf.MARKS, ocsf.event),
    "zeek": Format(zeek.MARKS, zeek.event),
}
"""By the name that `--format` takes, in the order in which `auto` asks."""

_marks = tuple((mark, name) for name, form in FORMATS.items() for mark in form.marks)
_events = {name: form.event for name, form in FORMATS.items()}


def normalise(line: bytes, place: str, form: str = "auto") -> ThreatObserved:
    """The event of a line.

    Args:
        line: as it was read, without its end.
        place: which line of which stream; the same place and line give the same event id, always.
        form: a name of `FORMATS`, or `auto`: each line says itself whose it is.

    Raises:
        LineError: what is wrong with it.
    """
    source = _parsed(line)
    name = _recognised(source) if form == "auto" else form
    event, when = _events[name](source)
    at = moment(when)
    event["time"] = round(at.timestamp() * 1000)
    activity, severity = event.setdefault("activity_id", 0), event.setdefault("severity_id", 0)
    plain = type(activity) is type(severity) is int and 0 <= activity <= MOST and 0 <= severity <= MOST
    if plain:
        event["type_uid"] = event["class_uid"] * 100 + activity
    origin, target = _endpoint(event.get("src_endpoint")), _endpoint(event.get("dst_endpoint"))
    fields = {
        "event_id": line_id(place, line),
        "entity": _entity(event),
        "class_uid": event["class_uid"],
        "activity_id": activity,
        "severity_id": severity,
        "source": name,
        "src_endpoint": origin,
        "dst_endpoint": target,
        "ocsf": _dumped(event),
        "raw": line,
        "observed_at": at,
    }
    if plain and type(origin) is type(target) is Endpoint:
        return _made(fields)
    return _checked(fields)


def _parsed(line: bytes) -> Event:
    try:
        source = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LineError(_unreadable(line, error)) from None
    if not isinstance(source, dict):
        raise LineError(f"it is JSON, but {type(source).__name__} and no object")
    return source


def _unreadable(line: bytes, error: orjson.JSONDecodeError) -> str:
    if b"\0" in line[:4] or line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "it is not UTF-8 but looks like UTF-16: convert the file"
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        return f"it is not UTF-8: {wrong.reason} at byte {wrong.start}"
    if line.startswith(b"#"):
        return "it is not JSON but begins like Zeek's tab-separated logs: let Zeek write JSON (LogAscii::use_json=T)"
    cut = "" if line.rstrip().endswith(b"}") else "; it seems cut off"
    return f"it is not JSON: {error.msg} at column {error.colno}{cut}"


def _recognised(source: Event) -> str:
    for mark, name in _marks:
        if mark in source:
            return name
    if zeek.tagged(source):
        return "zeek"
    raise LineError("it is JSON, but neither Suricata EVE (event_type), OCSF (class_uid) nor Zeek (_path, @stream, id.orig_h)")


def _endpoint(found: Event | None) -> Endpoint | Event:
    """One side of the connection; what does not look as it should is left to the model to judge."""
    if not found:
        return _NOWHERE
    get = found.get
    ip, port, hostname = get("ip"), get("port"), get("hostname")
    if (
        (type(ip) is str or ip is None)
        and (port is None or (type(port) is int and 0 <= port <= 65535))
        and (hostname is None or type(hostname) is str)
    ):
        return _side({"ip": ip, "port": port, "hostname": hostname})
    return {"ip": ip, "port": port, "hostname": hostname}


def _dumped(event: Event) -> str:
    try:
        return orjson.dumps(event).decode()
    except orjson.JSONEncodeError as error:
        raise LineError(f"its event cannot be written as JSON again: {str(error).lower()}") from None


def _checked(fields: dict[str, Any]) -> ThreatObserved:
    try:
        observed: ThreatObserved = _validated(fields)
    except ValidationError as error:
        raise LineError(f"it makes no event: {explain(error)}") from None
    if observed.activity_id > MOST:
        raise LineError(f"its activity_id is {observed.activity_id}, OCSF's are 0 to {MOST}")
    return observed


def _entity(event: Event) -> str:
    """Whom it is about: who began it; failing that the user, the other side, the connection."""
    source = event.get("src_endpoint")
    found = (source and (source.get("ip") or source.get("hostname"))) or _other(event)
    return _identifier((found if type(found) is str else str(found))[:129])


def _other(event: Event) -> object:
    user, metadata = event.get("user"), event.get("metadata")
    return (
        (isinstance(user, dict) and user.get("name"))
        or (event.get("dst_endpoint") or {}).get("ip")
        or (metadata and metadata.get("uid"))
        or "unknown"
    )


@lru_cache(maxsize=4096)
def _identifier(found: str) -> str:
    return found if _ENTITY.fullmatch(found) else ("0" + _STRANGE.sub("_", found))[:128]
