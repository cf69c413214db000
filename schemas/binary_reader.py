"""Avro's binary encoding read (Avro 1.12, Binary Encoding): a schema becomes the source of a function that makes a dict.

The counterpart of `schemas.binary`; straight-line code over the bytes takes about half of fastavro's time. A body that is cut
off, or says impossible lengths, raises or ends beyond the bytes: `read` refuses both, whatever stands in it.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeAlias

from schemas.binary import compiled, indented, kind_of

Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""(bytes, where to begin) -> (fields, the first byte behind them)."""

_LONG_BITS = 64


def _longer(data: bytes, at: int, low: int) -> tuple[int, int]:
    """The rest of a variable-length number whose first byte was `low`: (the number, still zigzag, and where it ends)."""
    number, shift = low & 127, 7
    while shift < _LONG_BITS:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> _LONG_BITS:
                break
            return number, at
        shift += 7
    raise ValueError("a number of more than 64 bits")


def _refused(what: str) -> None:
    raise ValueError(what)


_NAMES: Mapping[str, Any] = {
    "longer": _longer,
    "refused": _refused,
    "double": struct.Struct("<d").unpack_from,
    "EPOCH": datetime(1970, 1, 1, tzinfo=UTC),
    "MICROSECOND": timedelta(microseconds=1),
}

_NUMBER = (
    "n = data[at]",
    "at += 1",
    "if n > 127:",
    "    if data[at] < 128:",  # two bytes or three, as most numbers that need more than one
    "        n += (data[at] << 7) - 128",
    "        at += 1",
    "    elif data[at + 1] < 128:",
    "        n += (data[at] << 7) + (data[at + 1] << 14) - 16512",
    "        at += 2",
    "    else:",
    "        n, at = longer(data, at, n)",
)
_LENGTH = (*_NUMBER, "if n & 1:", "    refused('a negative length')", "end = at + (n >> 1)")
_PRIMITIVES: Mapping[str, tuple[str, ...]] = {  # {0} is what the value is assigned to
    "null": ("{0} = None",),
    "boolean": ("if data[at] > 1:", "    refused('a boolean that is neither 0 nor 1')", "{0} = data[at] == 1", "at += 1"),
    "long": (*_NUMBER, "{0} = n >> 1 ^ -(n & 1)"),
    "double": ("{0} = double(data, at)[0]", "at += 8"),
    "string": (*_LENGTH, "{0} = data[at:end].decode()", "at = end"),
    "bytes": (*_LENGTH, "{0} = data[at:end]", "at = end"),
    "timestamp-micros": (*_NUMBER, "{0} = EPOCH + (n >> 1 ^ -(n & 1)) * MICROSECOND"),
}


def reader(schema: Any) -> Read:
    """A function that reads the fields of a record, nested records as dicts; it may end beyond a body that is cut off."""
    functions: dict[str, list[str]] = {}
    read: Read = compiled(_record(schema, functions), functions, _NAMES)
    return read


def _record(schema: Any, functions: dict[str, list[str]]) -> str:
    """The name of the function for a record; writes it, and those of the records inside, where they are not there yet."""
    name = f"{schema['namespace']}.{schema['name']}".replace(".", "_")
    if name not in functions:
        functions[name] = lines = [f"def {name}(data, at):"]
        fresh = (f"v{number}" for number in count())
        fields = [(field["name"], field["type"], next(fresh)) for field in schema["fields"]]
        for _, kind, own in fields:
            lines += indented(_lines(kind, own, fresh, functions))
        lines.append(f"    return {{{', '.join(f'{field!r}: {own}' for field, _, own in fields)}}}, at")
    return name


def _lines(schema: Any, own: str, fresh: Iterator[str], functions: dict[str, list[str]]) -> list[str]:
    """The statements that read a value and assign it to `own`; they take further names from `fresh`."""
    if isinstance(schema, list):
        return _union(schema, own, fresh, functions)
    kind = kind_of(schema)
    if kind in _PRIMITIVES:
        return [line.format(own) for line in _PRIMITIVES[kind]]
    if kind == "array":
        item = next(fresh)
        inside = [*_lines(schema["items"], item, fresh, functions), f"{own}.append({item})"]
        return [f"{own} = []", *_blocks(inside, fresh)]
    if kind == "map":
        key, item = next(fresh), next(fresh)
        inside = [
            *_lines("string", key, fresh, functions),
            *_lines(schema["values"], item, fresh, functions),
            f"{own}[{key}] = {item}",
        ]
        return [f"{own} = {{}}", *_blocks(inside, fresh)]
    function = _record(schema, functions) if kind == "record" else kind.replace(".", "_")
    return [f"{own}, at = {function}(data, at)"]


def _blocks(inside: list[str], fresh: Iterator[str]) -> list[str]:
    """Items come in blocks: a count, and a size in bytes where the count is negative; a count of 0 ends them."""
    left = next(fresh)
    sized = indented([f"{left} = -{left}", *_NUMBER])
    count_of = [*_NUMBER, f"{left} = n >> 1 ^ -(n & 1)", f"if {left} < 0:", *sized]
    return ["while True:", *indented([*count_of, f"if not {left}:", "    break", f"for _ in range({left}):", *indented(inside)])]


def _union(branches: list[Any], own: str, fresh: Iterator[str], functions: dict[str, list[str]]) -> list[str]:
    lines, word = list(_NUMBER), "if"
    for index, branch in enumerate(branches):
        lines += [f"{word} n == {2 * index}:", *indented(_lines(branch, own, fresh, functions))]
        word = "elif"
    return [*lines, "else:", *indented(["refused('a union branch that there is not')"])]
