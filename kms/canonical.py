"""RFC 8785 (JSON Canonicalization Scheme), fast: orjson writes and sorts, and only the numbers that it writes otherwise are ours.

There is a manifest for every score, thousands a second. What this shortcut does not cover goes to the reference, `rfc8785`.
"""

from typing import Any

import orjson
import rfc8785

_EXACT_INTEGERS = 2**53


def canonical(value: Any) -> bytes:
    """The canonical form of `exact(value)`.

    Raises:
        rfc8785.CanonicalizationError: no JSON: a number that is not finite, a key that is no string, another type.
    """
    try:
        return orjson.dumps(_writable(value), option=orjson.OPT_SORT_KEYS)
    except (_UncoveredError, orjson.JSONEncodeError, RecursionError):
        return rfc8785.dumps(exact(value))


def number(value: float) -> orjson.Fragment:
    """A finite float for `prepared`."""
    try:
        return orjson.Fragment(_number(value))
    except _UncoveredError:
        return orjson.Fragment(rfc8785.dumps(value))


def prepared(value: Any) -> bytes:
    """The canonical form of what holds its floats as `number`s, has ASCII keys and no integers beyond 53 bits: nothing is searched.

    Raises:
        orjson.JSONEncodeError: a larger integer, or another type.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)


def exact(value: Any) -> Any:
    """Integers that a JSON number may round (RFC 7493 section 2.2) become decimal strings."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, int) and not -_EXACT_INTEGERS < value < _EXACT_INTEGERS:
        return str(value)
    return value


class _UncoveredError(Exception):
    """Something that orjson would write otherwise than RFC 8785."""


def _writable(value: Any) -> Any:
    """What orjson writes as RFC 8785 wants it; raises `_UncoveredError` where there is no such thing."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        for name in value:
            if type(name) is not str or not name.isascii():  # others are sorted by UTF-16 code units
                raise _UncoveredError
        return {name: _writable(item) for name, item in value.items()}
    if kind is float:
        return orjson.Fragment(_number(value))
    if kind is int:
        return value if -_EXACT_INTEGERS < value < _EXACT_INTEGERS else str(value)
    if kind is list or kind is tuple:
        return [_writable(item) for item in value]
    raise _UncoveredError


def _number(value: float) -> str:
    """ECMAScript's Number::toString where Python's repr is the same, and of whole numbers."""
    if -_EXACT_INTEGERS < value < _EXACT_INTEGERS and value.is_integer():
        return str(int(value))
    if 1e-4 <= abs(value) < _EXACT_INTEGERS:
        return repr(value)
    raise _UncoveredError
