"""Avro's binary encoding (Avro 1.12, Binary Encoding), compiled: a schema becomes the source of a function that writes models.

fastavro wants dicts and interprets the schema at every value; straight-line code takes a quarter of its time.
`schemas.binary_reader` is the counterpart.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeAlias

Put: TypeAlias = Callable[[bytes], object]
Write: TypeAlias = Callable[[Any, Put], None]

_LONG_LIMIT = 1 << 63


def varint(value: int) -> bytes:
    """A long: zigzag, seven bits a byte, the lowest first.

    Raises:
        ValueError: beyond 64 bits.
    """
    if not -_LONG_LIMIT <= value < _LONG_LIMIT:
        raise ValueError(f"{value} is beyond 64 bits")
    rest = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while rest > 127:
        encoded.append(rest & 127 | 128)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


_SMALL = [varint(value) for value in range(4096)]  # most lengths and counts
_NAMES: Mapping[str, Any] = {
    "SMALL": _SMALL,
    "LIMIT": len(_SMALL),
    "varint": varint,
    "pack": struct.Struct("<d").pack,
    "EPOCH": datetime(1970, 1, 1, tzinfo=UTC),
    "MICROSECOND": timedelta(microseconds=1),
}

_PUT_NUMBER = "put(SMALL[{0}] if 0 <= {0} < LIMIT else varint({0}))"
_PRIMITIVES: Mapping[str, tuple[str, ...]] = {  # {0} is the value, {1} a name of its own
    "null": (),
    "boolean": ("put(b'\\1' if {0} else b'\\0')",),
    "long": ("{1} = {0}", _PUT_NUMBER.replace("{0}", "{1}")),
    "double": ("put(pack({0}))",),
    "string": ("{1} = {0}.encode()", "size = len({1})", _PUT_NUMBER.format("size"), "put({1})"),
    "bytes": ("{1} = {0}", "size = len({1})", _PUT_NUMBER.format("size"), "put({1})"),
    "timestamp-micros": ("put(varint(({0} - EPOCH) // MICROSECOND))",),
}
_PYTHON_TYPES = {
    "boolean": "bool",
    "long": "int",
    "double": "float",
    "string": "str",
    "bytes": "bytes",
    "array": "list",
    "map": "dict",
}
"""A union's branch is chosen by these, in this order, for a bool is an int; what is none of them is the branch that is left."""


def writer(schema: Any) -> Write:
    """A function that appends the encoding of a record to `put`; records are taken from models, validated ones."""
    functions: dict[str, list[str]] = {}
    write: Write = compiled(_record(schema, functions), functions, _NAMES)
    return write


def compiled(name: str, functions: Mapping[str, list[str]], names: Mapping[str, Any]) -> Any:
    """The function of that name, of functions given by their lines, which may use each other and `names`."""
    namespace = dict(names)
    for source in functions.values():
        exec("\n".join(source), namespace)  # noqa: S102 - our own schema's field names, nothing from outside
    return namespace[name]


def _record(schema: Any, functions: dict[str, list[str]]) -> str:
    """The name of the function for a record; writes it, and those of the records inside, where they are not there yet."""
    name = f"{schema['namespace']}.{schema['name']}".replace(".", "_")
    if name not in functions:
        functions[name] = lines = [f"def {name}(value, put):", "    values = value.__dict__"]
        fresh = (f"v{number}" for number in count())
        for field in schema["fields"]:
            lines += [f"    {line}" for line in _lines(field["type"], f"values[{field['name']!r}]", fresh, functions)]
    return name


def _lines(schema: Any, value: str, fresh: Iterator[str], functions: dict[str, list[str]]) -> list[str]:
    """The statements that write `value`, an expression; they take the names of their own from `fresh`."""
    if isinstance(schema, list):
        return _union(schema, value, fresh, functions)
    kind = kind_of(schema)
    if kind in _PRIMITIVES:
        own = next(fresh)
        return [line.format(value, own) for line in _PRIMITIVES[kind]]
    if kind == "array":
        items, item = next(fresh), next(fresh)
        inside = _lines(schema["items"], item, fresh, functions)
        return _blocks(f"{items} = {value}", items, [f"for {item} in {items}:", *indented(inside)])
    if kind == "map":
        items, key, item = next(fresh), next(fresh), next(fresh)
        inside = [*_lines("string", key, fresh, functions), *_lines(schema["values"], item, fresh, functions)]
        return _blocks(f"{items} = {value}", items, [f"for {key}, {item} in {items}.items():", *indented(inside)])
    function = _record(schema, functions) if kind == "record" else kind.replace(".", "_")
    return [f"{function}({value}, put)"]


def _blocks(first: str, items: str, loop: list[str]) -> list[str]:
    return [first, f"if {items}:", *indented([f"put(varint(len({items})))", *loop]), "put(b'\\0')"]


def _union(branches: list[Any], value: str, fresh: Iterator[str], functions: dict[str, list[str]]) -> list[str]:
    own = next(fresh)
    kinds = {kind_of(branch): (index, branch) for index, branch in enumerate(branches)}
    tests = {"null": f"{own} is None", **{kind: f"isinstance({own}, {python})" for kind, python in _PYTHON_TYPES.items()}}
    lines, word = [f"{own} = {value}"], "if"
    for kind in [*(kind for kind in tests if kind in kinds), *(kind for kind in kinds if kind not in tests)]:
        index, branch = kinds[kind]
        lines.append(f"{word} {tests[kind]}:" if kind in tests else "else:")
        lines += indented([f"put(SMALL[{index}])", *_lines(branch, own, fresh, functions)])
        word = "elif"
    if all(kind in tests for kind in kinds):
        lines += ["else:", *indented([f"raise ValueError('no branch for a ' + type({own}).__name__)"])]
    return lines


def kind_of(schema: Any) -> str:
    """The Avro type, or the logical type where there is one; of a record that is defined elsewhere, its full name."""
    return str(schema if isinstance(schema, str) else schema.get("logicalType", schema["type"]))


def indented(lines: list[str]) -> list[str]:
    """The statements one block deeper."""
    return [f"    {line}" for line in lines]
