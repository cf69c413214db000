"""A line of a feed becomes `threat.observed`: found out whose it is, mapped by its table, dated, checked."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from schemas.cloudevents import line_id
from schemas.codec import explain
from schemas.threats import ThreatObserved
from threat.errors import LineError
from threat.feeds import ocsf, suricata, zeek
from threat.feeds.table import Event
from threat.feeds.timestamps import moment

_ENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_STRANGE = re.compile(r"[^A-Za-z0-9._:/@-]")
_validated = ThreatObserved.__pydantic_validator__.validate_python


class Format(NamedTuple):
    """A source of lines.

    Attributes:
        recognises: whether a line is one of its.
        event: a line -> its OCSF event, and its time as it stands there.
    """

    recognises: Callable[[Event], bool]
    event: Callable[[Event], tuple[Event, Any]]


FORMATS: Mapping[str, Format] = {
    "suricata": Format(suricata.recognises, suricata.event),
    "ocsf": Format(ocsf.recognises, ocsf.event),
    "zeek": Format(zeek.recognises, zeek.event),
}
"""By the name that `--format` takes, in the order in which `auto` asks."""


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
    event, when = FORMATS[name].event(source)
    at = moment(when)
    event["time"] = round(at.timestamp() * 1000)
    class_uid = event["class_uid"]
    activity = event.setdefault("activity_id", 0)
    if type(activity) is int:
        event["type_uid"] = class_uid * 100 + activity
    fields = {
        "event_id": line_id(place, line),
        "entity": _entity(event),
        "class_uid": class_uid,
        "activity_id": activity,
        "severity_id": event.setdefault("severity_id", 0),
        "source": name,
        "src_endpoint": _endpoint(event, "src_endpoint"),
        "dst_endpoint": _endpoint(event, "dst_endpoint"),
        "ocsf": orjson.dumps(event).decode(),
        "raw": line,
        "observed_at": at,
    }
    try:
        observed: ThreatObserved = _validated(fields)
    except ValidationError as error:
        raise LineError(f"it makes no event: {explain(error)}") from None
    return observed


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
    for name, form in FORMATS.items():
        if form.recognises(source):
            return name
    raise LineError("it is JSON, but neither Suricata EVE (event_type), OCSF (class_uid) nor Zeek (_path, @stream, id.orig_h)")


def _endpoint(event: Event, side: str) -> Event:
    found = event.get(side)
    if not found:
        return {}
    return {name: found[name] for name in ("ip", "port", "hostname") if found.get(name) is not None}


def _entity(event: Event) -> str:
    """Whom it is about: who began it; failing that the user, the other side, the connection."""
    source, user, metadata = event.get("src_endpoint"), event.get("user"), event.get("metadata")
    found = (
        (source and (source.get("ip") or source.get("hostname")))
        or (isinstance(user, dict) and user.get("name"))
        or (event.get("dst_endpoint") or {}).get("ip")
        or (metadata and metadata.get("uid"))
        or "unknown"
    )
    if type(found) is str and _ENTITY.fullmatch(found):
        return found
    return ("0" + _STRANGE.sub("_", str(found)))[:128]
