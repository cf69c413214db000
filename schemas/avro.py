"""Avro schemas, derived from the models: the model is the source, the `.avsc` file what the world reads."""

import types
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from fastavro.schema import fingerprint as _fingerprint
from fastavro.schema import to_parsing_canonical_form
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.record import Part

NAMESPACE = "ai.quantumai"

Json: TypeAlias = dict[str, Any] | list[Any] | str

_PRIMITIVES: dict[Any, Json] = {
    bool: "boolean",
    int: "long",
    float: "double",
    str: "string",
    bytes: "bytes",
    AwareDatetime: {"type": "long", "logicalType": "timestamp-micros"},
}


@cache
def schema_of(model: type[Part]) -> dict[str, Any]:
    """The Avro record schema of a model, with its docstrings as `doc` and its defaults, as JSON-compatible values.

    Raises:
        TypeError: a field's type has no Avro counterpart here.
    """
    schema = _record(model, set())
    assert isinstance(schema, dict)
    return schema


def fingerprint(schema: Json) -> bytes:
    """CRC-64-AVRO of the schema's Parsing Canonical Form, 8 bytes little-endian (Avro 1.12, Single-object encoding)."""
    return bytes.fromhex(_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _record(model: type[Part], seen: set[str]) -> Json:
    name = model.__name__
    if name in seen:
        return f"{NAMESPACE}.{name}"
    seen.add(name)
    return {
        "type": "record",
        "name": name,
        "namespace": NAMESPACE,
        "doc": (model.__doc__ or "").split("\n")[0],
        "fields": [_field(key, info, seen) for key, info in model.model_fields.items()],
    }


def _field(name: str, info: FieldInfo, seen: set[str]) -> Json:
    field: dict[str, Any] = {"name": name, "type": _type(info.annotation, seen)}
    if info.description:
        field["doc"] = info.description
    if info.default is not PydanticUndefined:
        field["default"] = _default(info.default)
    return field


def _type(annotation: Any, seen: set[str]) -> Json:
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _record(annotation, seen)
    return _composite(annotation, seen)


def _composite(annotation: Any, seen: set[str]) -> Json:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], seen)
    if origin is Literal:
        return "string"  # the model holds the closed set; an Avro enum would break old readers at each new symbol
    if origin in (tuple, list):
        return {"type": "array", "items": _type(arguments[0], seen)}
    if origin is dict and arguments[0] is str:
        return {"type": "map", "values": _type(arguments[1], seen)}
    if origin in (Union, types.UnionType):
        branches = sorted(arguments, key=lambda argument: argument is not type(None))
        return ["null" if branch is type(None) else _type(branch, seen) for branch in branches]
    raise TypeError(f"no Avro type for {annotation!r}: use one of {sorted(kind.__name__ for kind in _PRIMITIVES)} or add it")


def _default(value: Any) -> Any:
    if isinstance(value, Part):
        return {name: _default(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [_default(item) for item in value]
    return value
