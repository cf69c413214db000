"""Avro single-object encoding of records: C3 01, the schema's CRC-64-AVRO fingerprint, the body.

Content-addressed: a topic decodes from the `.avsc` files alone, without a registry (Avro 1.12, Single-object encoding).
"""

import json
import re
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any, TypeVar

from fastavro import parse_schema, schemaless_reader
from pydantic import ValidationError

from schemas.avro import fingerprint, schema_of
from schemas.binary import Write, writer
from schemas.binary_reader import Read, reader
from schemas.errors import InvalidRecordError, UndecodableError
from schemas.record import Record
from schemas.topics import TOPICS

R = TypeVar("R", bound=Record)

MARKER = b"\xc3\x01"
HEADER_BYTES = 10

_KIND = re.compile(r"^(bool|int|float|str|list\[.*\])$")
"""How pydantic calls one of several types that a value may have."""


def encode(record: Record) -> bytes:
    """The record as single-object Avro.

    Raises:
        InvalidRecordError: a value does not fit its Avro type (an integer beyond 64 bits).
    """
    prefix, write = _writer(type(record))
    parts = [prefix]
    try:
        write(record, parts.append)
    except ValueError as error:
        raise InvalidRecordError(f"{type(record).__name__} does not fit its Avro schema: {error}") from error
    return b"".join(parts)


def decode(kind: type[R], value: bytes | None) -> R:
    """The record in `value`, written with the current or any released schema of `kind`.

    Raises:
        UndecodableError: not single-object Avro, a fingerprint that no schema of this topic has, or a broken body.
        InvalidRecordError: readable, but the model refuses the values.
    """
    found = None if value is None else _readers(kind).get(value[:HEADER_BYTES])
    if value is None or found is None:
        raise _unknown(kind, value or b"")
    written, older = found
    try:
        fields, end = written(value, HEADER_BYTES)
        if (
            end == len(value) and older is not None
        ):  # fastavro skips fields that were dropped without noticing that a body is cut off
            fields = schemaless_reader(BytesIO(value[HEADER_BYTES:]), *older)
    except Exception as error:  # a broken body raises a dozen types, IndexError and UnicodeDecodeError among them
        raise UndecodableError(f"{kind.topic}: the Avro body is broken: {type(error).__name__}: {error}") from error
    if end != len(value):
        fault = (
            f"{len(value) - end} bytes left over behind it"
            if end < len(value)
            else f"cut off, {end - len(value)} bytes are missing"
        )
        raise UndecodableError(f"{kind.topic}: the Avro body is broken: {fault}")
    try:
        # skips `model_validate`'s checks of its own arguments; a reader makes the model's fields and no others
        return kind.__pydantic_validator__.validate_python(fields, extra="ignore")  # type: ignore[no-any-return]
    except ValidationError as error:
        raise InvalidRecordError(f"{kind.topic}: {explain(error)}") from error


def _unknown(kind: type[Record], value: bytes) -> UndecodableError:
    if value[:2] != MARKER or len(value) < HEADER_BYTES:
        return UndecodableError(
            f"{kind.topic}: not Avro single-object encoding, which starts with C3 01 and 8 bytes of fingerprint"
        )
    known = ", ".join(sorted(head[2:].hex() for head in _readers(kind)))
    return UndecodableError(
        f"{kind.topic}: no schema of this topic has the fingerprint {value[2:HEADER_BYTES].hex()}; known: {known}"
    )


def explain(error: ValidationError) -> str:
    """A pydantic error as one sentence per fault, without the values (they may be large or private)."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    outer = {fault["loc"][:depth] for fault in faults for depth in range(1, len(fault["loc"]))}  # what holds a fault shows it again
    said: dict[str, str] = {}
    for fault in faults:
        if fault["loc"] in outer:
            continue
        place, kind = _alternative(fault["loc"])
        name = ".".join(map(str, place)) or "record"
        if kind is None:
            said[name] = fault["msg"].removeprefix("Value error, ")
        else:
            said[name] = f"{said[name]} or {kind}" if name in said else f"Input should be {kind}"
    return "; ".join(f"{name}: {words}" for name, words in said.items())


def _alternative(place: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], str | None]:
    """The place without the name of a type, and the name: pydantic tells so each of several types that a value fits none of."""
    for depth in reversed(range(1, len(place))):
        if _KIND.match(str(place[depth])):
            return place[:depth], str(place[depth])
    return place, None


@cache
def _writer(kind: type[Record]) -> tuple[bytes, Write]:
    schema = schema_of(kind)
    return MARKER + fingerprint(schema), writer(schema)


@cache
def _readers(kind: type[Record]) -> dict[bytes, tuple[Read, tuple[Any, Any] | None]]:
    """Beginning of a value -> (reader of what was written, (writer schema, reader schema) where both differ: that costs time)."""
    schema = schema_of(kind)
    current = parse_schema(json.loads(json.dumps(schema)))
    readers: dict[bytes, tuple[Read, tuple[Any, Any] | None]] = {
        MARKER + fingerprint(released): (reader(released), (parse_schema(released), current)) for released in released_schemas(kind)
    }
    readers[MARKER + fingerprint(schema)] = (reader(schema), None)
    return readers


def released_schemas(kind: type[Record]) -> list[dict[str, Any]]:
    """Every schema of the topic that has been released, from `schemas/released/<topic>/<fingerprint>.avsc`."""
    folder = files("schemas") / "released" / kind.topic
    if not folder.is_dir():
        return []
    return [
        json.loads(file.read_text()) for file in sorted(folder.iterdir(), key=lambda file: file.name) if file.name.endswith(".avsc")
    ]


def topic_of(value: bytes) -> type[Record]:
    """The record type whose current or released schema wrote `value`.

    Raises:
        UndecodableError: no topic has a schema of this fingerprint.
    """
    for topic in TOPICS.values():
        if value[:HEADER_BYTES] in _readers(topic.record):
            return topic.record
    raise UndecodableError(f"no topic has a schema of the fingerprint {value[2:HEADER_BYTES].hex()}")
