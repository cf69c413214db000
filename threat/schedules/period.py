"""Which stretch of time a scheduled run is about, and what it is called. UTC."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.threats import Schedule
from threat.errors import DataError

_NAMES = {"daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m"}
_LENGTHS = {"daily": timedelta(days=1), "weekly": timedelta(days=7), "monthly": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time.

    Attributes:
        schedule: whose.
        since: its first moment.
        until: the first moment behind it.
    """

    schedule: Schedule
    since: datetime
    until: datetime

    @property
    def name(self) -> str:
        """`daily/2026-11-20`, `weekly/2026-W47`, `monthly/2026-11`; else by its end: `daily/2026-11-21T14:00:00Z`."""
        if _begin(self.schedule, self.until) == self.until:
            return f"{self.schedule}/{self.since:{_NAMES[self.schedule]}}"
        return f"{self.schedule}/{self.until:%Y-%m-%dT%H:%M:%SZ}"

    @property
    def days(self) -> list[tuple[datetime, datetime]]:
        """It in pieces of a day, the last one perhaps shorter."""
        starts = [self.since + timedelta(days=day) for day in range(-(-(self.until - self.since) // timedelta(days=1)))]
        return [(start, min(start + timedelta(days=1), self.until)) for start in starts]


def period(schedule: Schedule, at: datetime, until: datetime | None = None) -> Period:
    """The last whole day, week (from Monday) or month before `at`; or the 24 hours, 7 or 30 days before `until`.

    Raises:
        DataError: it is not over at `at`.
    """
    until = _begin(schedule, at) if until is None else until.replace(microsecond=0)
    if until > at:
        raise DataError(f"the period until {until:%Y-%m-%d %H:%M:%S} UTC is not over: name an end that has passed")
    if _begin(schedule, until) == until:
        return Period(schedule, _begin(schedule, until - timedelta(days=1)), until)
    return Period(schedule, until - _LENGTHS[schedule], until)


def _begin(schedule: Schedule, at: datetime) -> datetime:
    """Where the unit that `at` is in begins."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    back = {"daily": 0, "weekly": at.weekday(), "monthly": at.day - 1}[schedule]
    return midnight - timedelta(days=back)
