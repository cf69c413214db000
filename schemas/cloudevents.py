"""CloudEvents 1.0 on Kafka, binary content mode: attributes in headers, the Avro record as the value."""

import hashlib
import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, TypeVar

from schemas.errors import UndecodableError
from schemas.record import Record

R_co = TypeVar("R_co", bound=Record, covariant=True)

CONTENT_TYPE = b"application/avro"
TYPE_PREFIX = "ai.quantumai."
_NAMESPACE = hashlib.sha1(uuid.uuid5(uuid.NAMESPACE_URL, "urn:quantumai:events").bytes, usedforsecurity=False)
_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}
_SPECVERSION = ("ce_specversion", b"1.0")
_LENGTH = struct.Struct(">Q").pack
_REQUIRED = ("ce_id", "ce_type", "ce_source", "ce_time")


@dataclass(frozen=True, slots=True)
class Event(Generic[R_co]):
    """A record together with what makes it one particular event.

    Attributes:
        record: what it says.
        event_id: `ce_id`.
        digest: SHA-256 over attributes, key and value, see `digest`.
        trace: W3C traceparent, or empty.
    """

    record: R_co
    event_id: str
    digest: bytes
    trace: str = ""


def output_id(topic: str, partition: int, offset: int, kind: type[Record], ordinal: int) -> str:
    """The id of an agent's output: the same input gives the same id, however often it is replayed (UUIDv5, RFC 9562)."""
    return _uuid5(f"{topic}/{partition}/{offset}/{kind.topic}/{ordinal}".encode())


def tick_id(agent: str, partition: int, subject: str, state: str) -> str:
    """The id of an output that has no input: the same state of the same subject is announced under one id."""
    return _uuid5(f"tick/{agent}/{partition}/{subject}/{state}".encode())


def line_id(place: str, line: bytes) -> str:
    """The id of an event that a feed's line became: the same line at the same place of the same stream gives the same id."""
    return _uuid5(f"feed/{place}/".encode() + line)


def _uuid5(name: bytes) -> str:
    """`str(uuid.uuid5(namespace, name))` (RFC 9562 section 5.5) at less than half its cost: there is one per event."""
    hashed = _NAMESPACE.copy()
    hashed.update(name)
    digits = hashed.hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"


def headers(kind: type[Record], event_id: str, source: str, time: str, trace: str = "") -> list[tuple[str, bytes]]:
    """The Kafka headers of an event. `source` is a URI reference such as `/agents/policy`, `time` RFC 3339."""
    attributes = [_SPECVERSION, ("ce_id", event_id.encode()), *_shared(kind, source, time)]
    if trace:
        attributes.append(("traceparent", trace.encode()))
    return attributes


@lru_cache(maxsize=256)
def _shared(kind: type[Record], source: str, time: str) -> tuple[tuple[str, bytes], ...]:
    """The attributes that all events of a kind have in common within a batch."""
    return (
        ("ce_type", (TYPE_PREFIX + kind.topic).encode()),
        ("ce_source", source.encode()),
        ("ce_time", time.encode()),
        ("content-type", CONTENT_TYPE),
    )


def timestamp() -> str:
    """The current time for `ce_time`, RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def digest(headers: Iterable[tuple[str, bytes | None]], key: bytes | None, value: bytes) -> bytes:
    """SHA-256 over id, type, source, time, key and value, each behind its 8-byte length.

    Attributes are inside, so that nobody can swap the headers of two events.

    Raises:
        UndecodableError: an attribute is missing, or a header stands twice.
    """
    given = list(headers)
    attributes = dict(given)
    if len(attributes) < len(given):
        names = [name for name, _ in given]
        raise UndecodableError(f"the CloudEvents header {next(name for name in names if names.count(name) > 1)!r} stands twice")
    try:
        event_id, kind, source, time = [attributes[name] or b"" for name in _REQUIRED]
    except KeyError:
        missing = [name for name in _REQUIRED if name not in attributes]
        raise UndecodableError(f"no CloudEvents 1.0 event: the headers {', '.join(missing)} are missing") from None
    key, size = key or b"", _LENGTH
    about = (size(len(event_id)), event_id, size(len(kind)), kind, size(len(source)), source, size(len(time)), time)
    return hashlib.sha256(b"".join((*about, size(len(key)), key, size(len(value)), value))).digest()
