"""The time of an event, in every form in which feeds write it.

| form | who |
|---|---|
| `2021-06-06T15:59:46.457984+0200`, `…Z`, `…+02:00` | Suricata; Zeek with ISO 8601 times; OCSF's `time_dt` |
| `1588205199.82` | Zeek: seconds |
| `1729052821`, `1729052821000` | OCSF: milliseconds by its specification, seconds in real samples; finer units by their size |
"""

from datetime import UTC, datetime, timedelta

from threat.errors import LineError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = 1e11
_UNITS = ((1e14, 1_000), (1e17, 1))
"""Below `_SECONDS` a number counts seconds, below these milliseconds, microseconds (above: nanoseconds), and how many microseconds
one is. Each holds from 1973 to beyond the year 5000.
"""


def moment(value: object) -> datetime:
    """The time, with its zone, to the microsecond.

    Raises:
        LineError: absent, no time, without a time zone, or not between 1970 and 9999.
    """
    try:
        if type(value) is str:
            when = datetime.fromisoformat(value)
        elif type(value) is int or type(value) is float:
            when = datetime.fromtimestamp(value, UTC) if 0 <= value < _SECONDS else _from_finer(value)
        else:
            raise LineError("it has no timestamp" if value is None else f"its timestamp is {_shown(value)}, which is no time")
    except OverflowError:
        raise LineError(f"its timestamp {_shown(value)} is not between the years 1970 and 9999") from None
    except ValueError as error:
        raise error if isinstance(error, LineError) else LineError(f"its timestamp {_shown(value)} is no ISO 8601 time") from None
    if when.tzinfo is None:
        raise LineError(f"its timestamp {_shown(value)} has no time zone")
    if when <= _EPOCH:
        raise LineError(f"its timestamp {_shown(value)} is not between the years 1970 and 9999")
    return when


def _from_finer(value: float) -> datetime:
    """From milliseconds or less; what is before 1970 becomes the epoch, which is refused."""
    for limit, each in _UNITS:
        if value < limit:
            return _EPOCH + timedelta(0, 0, max(0, round(value * each)))
    return _EPOCH + timedelta(0, 0, int(value) // 1000)


def _shown(value: object) -> str:
    """At most 40 characters of it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"
