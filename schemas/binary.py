"""Avro's binary encoding (Avro 1.12, Binary Encoding), compiled: a schema becomes a function that writes models.

fastavro wants dicts and interprets the schema at every value: a compiled writer takes half its time. For reading, a compiled
Python reader was no faster than fastavro's (measured: 3.6 against 4.1 us flat, 150 against 126 us nested), so fastavro reads.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

Put: TypeAlias = Callable[[bytes], object]
Write: TypeAlias = Callable[[Any, Put], None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_BYTE = [bytes([n]) for n in range(128)]
_DOUBLE = struct.Struct("<d")
_PYTHON_TYPES = {"boolean": bool, "long": int, "double": float, "string": str, "bytes": bytes, "array": list, "map": dict}
_LONG_LIMIT = 1 << 63


def writer(schema: Any) -> Write:
    """A function that appends the encoding of a value to `put`; records are taken from models, validated ones."""
    return _writer(schema, {})


def _writer(schema: Any, named: dict[str, Write]) -> Write:
    if isinstance(schema, list):
        return _union_writer(schema, named)
    kind = schema if isinstance(schema, str) else schema.get("logicalType", schema["type"])
    if kind == "record":
        return _record_writer(schema, named)
    if kind == "array":
        return _array_writer(_writer(schema["items"], named))
    if kind == "map":
        return _map_writer(_writer(schema["values"], named))
    return named.get(kind) or _WRITERS[kind]


def _record_writer(schema: Any, named: dict[str, Write]) -> Write:
    fields = tuple((field["name"], _writer(field["type"], named)) for field in schema["fields"])

    def write(value: Any, put: Put) -> None:
        values = value.__dict__
        for name, write_field in fields:
            write_field(values[name], put)

    named[f"{schema['namespace']}.{schema['name']}"] = write
    return write


def _union_writer(branches: list[Any], named: dict[str, Write]) -> Write:
    writers = {_python_type(branch): (_ONE_BYTE[2 * index], _writer(branch, named)) for index, branch in enumerate(branches)}

    def write(value: Any, put: Put) -> None:
        branch = writers.get(type(value)) or next((branch for kind, branch in writers.items() if isinstance(value, kind)), None)
        if branch is None:
            raise ValueError(f"no branch for a {type(value).__name__}")
        put(branch[0])
        branch[1](value, put)

    return write


def _python_type(schema: Any) -> type:
    """The type that a branch is chosen by; `object` for the one branch that is no primitive, a record or a timestamp."""
    if schema == "null":
        return type(None)
    kind = schema if isinstance(schema, str) else schema.get("logicalType", schema["type"])
    return _PYTHON_TYPES.get(kind, object)


def _array_writer(item: Write) -> Write:
    def write(values: Any, put: Put) -> None:
        if values:
            _write_long(len(values), put)
            for value in values:
                item(value, put)
        put(b"\0")

    return write


def _map_writer(item: Write) -> Write:
    def write(values: Mapping[str, Any], put: Put) -> None:
        if values:
            _write_long(len(values), put)
            for key, value in values.items():
                _write_string(key, put)
                item(value, put)
        put(b"\0")

    return write


def _write_long(value: int, put: Put) -> None:
    if 0 <= value < 64:
        put(_ONE_BYTE[2 * value])
        return
    if not -_LONG_LIMIT <= value < _LONG_LIMIT:
        raise ValueError(f"{value} is beyond 64 bits")
    rest = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    encoded.append(rest)
    put(bytes(encoded))


def _write_bytes(value: bytes, put: Put) -> None:
    _write_long(len(value), put)
    put(value)


def _write_string(value: str, put: Put) -> None:
    encoded = value.encode()
    if len(encoded) < 64:
        put(_ONE_BYTE[2 * len(encoded)])
    else:
        _write_long(len(encoded), put)
    put(encoded)


def _write_boolean(value: bool, put: Put) -> None:
    put(b"\1" if value else b"\0")


def _write_double(value: float, put: Put) -> None:
    put(_DOUBLE.pack(value))


def _write_timestamp(value: datetime, put: Put) -> None:
    _write_long((value - _EPOCH) // timedelta(microseconds=1), put)


_WRITERS: Mapping[str, Write] = {
    "null": lambda value, put: None,
    "boolean": _write_boolean,
    "long": _write_long,
    "double": _write_double,
    "string": _write_string,
    "bytes": _write_bytes,
    "timestamp-micros": _write_timestamp,
}
