"""Hypothesis strategies made from the models themselves: every field, every bound, every optional branch."""

from datetime import UTC
from typing import Annotated, Any, Literal, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from schemas.record import Part

_IDENTIFIERS = st.text("abcXYZ019._:/@-", max_size=20).map(lambda text: "a" + text)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_TIMES = st.datetimes(timezones=st.just(UTC))


def records(kind):
    """Valid instances of a model."""
    return st.builds(kind, **{name: _field(name, info) for name, info in kind.model_fields.items()})


def _field(name: str, info: FieldInfo) -> st.SearchStrategy[Any]:
    if name == "observables":  # their names must differ: the one rule that no field alone can say
        return st.lists(_values(get_args(info.annotation)[0], []), max_size=3, unique_by=lambda item: item.name).map(tuple)
    return _values(info.annotation, info.metadata)


def _values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911
    bounds = {
        key: getattr(rule, key)
        for rule in metadata
        for key in ("ge", "le", "lt", "min_length", "max_length", "pattern")
        if hasattr(rule, key)
    }
    if annotation is AwareDatetime:
        return _TIMES
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return records(annotation)
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation](bounds)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], [rule for field in arguments[1:] for rule in field.metadata])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (tuple, list):
        return st.lists(_values(arguments[0], []), min_size=bounds.get("min_length", 0), max_size=3).map(origin)
    if origin is dict:
        return st.dictionaries(_TEXTS, _values(arguments[1], []), max_size=3)
    return st.one_of(*(st.none() if argument is type(None) else _values(argument, []) for argument in arguments))


def _texts(bounds: dict[str, Any]) -> st.SearchStrategy[str]:
    pattern = bounds.get("pattern")
    if pattern is None:
        return _TEXTS
    return st.text("IXYZ", min_size=1, max_size=8) if "IXYZ" in pattern else _IDENTIFIERS


_PRIMITIVES = {
    bool: lambda bounds: st.booleans(),
    int: lambda bounds: st.integers(bounds.get("ge", -(2**63)), min(bounds.get("le", 2**63 - 1), bounds.get("lt", 2**63) - 1)),
    float: lambda bounds: st.floats(bounds.get("ge"), bounds.get("le"), allow_nan=False, allow_infinity=False),
    bytes: lambda bounds: st.binary(min_size=bounds.get("min_length", 0), max_size=bounds.get("max_length", 20)),
    str: _texts,
}
