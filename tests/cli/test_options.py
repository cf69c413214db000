"""Times and offsets on a command line."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import typer
from hypothesis import given
from hypothesis.strategies import datetimes, integers, sampled_from

from cli.options import position, since


@given(datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1)))  # noqa: DTZ001 - what people type
def test_a_time_without_a_zone_is_utc(when):
    assert position(when.isoformat()) == when.replace(tzinfo=UTC)


def test_a_time_with_a_zone_keeps_it():
    assert position("2026-11-21T08:30+02:00") == datetime(2026, 11, 21, 8, 30, tzinfo=timezone(timedelta(hours=2)))
    assert position("2026-11-21") == datetime(2026, 11, 21, tzinfo=UTC)


@given(integers(min_value=0, max_value=10**6), sampled_from("smhd"))
def test_an_age_is_so_long_ago(number, unit):
    seconds = number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    if seconds > 10**10:
        return
    assert abs((datetime.now(UTC) - position(f"{number}{unit}")).total_seconds() - seconds) < 5


@given(integers(min_value=0, max_value=2**62))
def test_a_number_is_an_offset(number):
    assert position(str(number)) == number


def test_ends_are_ends():
    assert (position("beginning"), position("end")) == ("beginning", "end")


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "5 m", "5y", "2026-02-30", "1.5", "99999999999d"])
def test_anything_else_is_refused(text):
    with pytest.raises(typer.BadParameter, match="is no time and no offset"):
        position(text)


@pytest.mark.parametrize("text", ["12", "end", "beginning"])
def test_since_is_a_time(text):
    with pytest.raises(typer.BadParameter, match="is no time"):
        since(text)
