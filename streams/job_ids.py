"""Job ids that say when they were made, so that whoever looks for a job knows where in the topics to begin.

A name for people, then 15 of Crockford's base-32 digits, as in a ULID but shorter: 45 bits of milliseconds since 1970, then 30
random bits. `h2-energy-1kajq5t3zx4g7mn`.
"""

import re
import secrets
import time
from datetime import UTC, datetime, timedelta

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_TIMED = re.compile(rf"(?:^|-)([{_DIGITS}]{{9}})[{_DIGITS}]{{6}}$")
_CLOCKS_DIFFER = timedelta(minutes=10)
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def job_id(name: str = "") -> str:
    """A new job id: what the name has of letters, digits, dots, dashes and underscores, the time, and random digits."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:100].strip("-._")
    return f"{slug or 'job'}-{_digits(time.time_ns() // 1_000_000, 9)}{_digits(secrets.randbits(30), 6)}"


def not_before(job_id: str) -> datetime | None:
    """A time before which no record of the job can stand; None where the id does not say."""
    timed = _TIMED.search(job_id)
    if timed is None:
        return None
    made = sum(_DIGITS.index(digit) << 5 * place for place, digit in enumerate(reversed(timed[1]))) / 1000
    if not _FIRST.timestamp() < made < time.time() + _CLOCKS_DIFFER.total_seconds():
        return None  # a name that only looks like it
    return datetime.fromtimestamp(made, UTC) - _CLOCKS_DIFFER


def _digits(value: int, count: int) -> str:
    return "".join(_DIGITS[value >> 5 * place & 31] for place in reversed(range(count)))
