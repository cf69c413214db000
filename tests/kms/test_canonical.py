"""The fast canonical form against the reference implementation of RFC 8785."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kms.canonical import canonical, exact, number, prepared

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda kids: st.lists(kids, max_size=4) | st.dictionaries(st.text(max_size=4), kids, max_size=4))


@given(VALUES)
def test_it_is_what_the_reference_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(exact(value))
    json.loads(canonical(value))


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1.0, 1e15, 1e16, 1e20, 1e21, 123456789012345680000.0, 9.999e-5, 1e-4, 1e-6, 1e-7, 5e-324, -2.5, 2.0**53]
)
def test_numbers_are_written_as_ecmascript_does(number: float) -> None:
    assert canonical({"x": [number]}) == rfc8785.dumps({"x": [number]})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), {1: 2}, object(), "\ud800"])
def test_what_is_no_json_is_refused_as_the_reference_does(wrong: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical({"x": wrong})


@given(
    st.dictionaries(
        st.text("abcz_", max_size=4), st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers(0, 2**53 - 1)
    )
)
def test_what_was_prepared_is_written_as_everything_else(fields: dict[str, Any]) -> None:
    ready = {name: number(value) if type(value) is float else value for name, value in fields.items()}
    assert prepared({"x": [ready]}) == canonical({"x": [fields]})
