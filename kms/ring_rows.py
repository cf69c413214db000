"""Rows of the key ring as what they mean: keys with lives, places in logs, and what the token needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kms.keys import KeySpec, LogRange, PublicKey, TokenKey
from kms.life import TIMES, Life
from kms.store import Execute

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """All that the ring knows of one version.

    Attributes:
        inside: how the token finds its private half.
        token: label of the token that holds or seals it.
        uses: how often it was used, as far as it was counted.
        imported: why it was let in, of a key that was made elsewhere; empty of one that was born in (or sealed by) the token.
    """

    public: PublicKey
    inside: TokenKey
    token: str
    uses: int
    imported: str = ""


def entries(execute: Execute, at: datetime) -> list[Entry]:
    """All versions, with their states at a time, by use, algorithm and version."""
    rows = execute("SELECT * FROM keys ORDER BY use, algorithm, version")
    parts = execute("SELECT * FROM log_ranges ORDER BY kid, log_id")
    ranges: dict[str, list[LogRange]] = {}
    for part in parts:
        ranges.setdefault(part["kid"], []).append(LogRange(part["log_id"], part["first_size"], part["last_size"]))
    return [_entry(row, life, ranges.get(row["kid"], []), at) for row, life in zip(rows, _lives(rows), strict=True)]


def write_time(time: datetime | None) -> str | None:
    """A time as the ring keeps it."""
    return None if time is None else time.isoformat()


def _entry(row: Row, life: Life, ranges: Sequence[LogRange], at: datetime) -> Entry:
    spec = KeySpec(row["use"], row["algorithm"], row["version"])
    public = PublicKey(row["kid"], spec.use, spec.algorithm, spec.version, life.state(at), bytes(row["spki"]), life, tuple(ranges))
    sealed = None if row["sealed"] is None else bytes(row["sealed"])
    return Entry(
        public, TokenKey(spec, public.spki, bytes(row["object_id"]), sealed), row["token"], row["uses"], row["imported"] or ""
    )


def _lives(rows: Sequence[Row]) -> list[Life]:
    """The lives of all versions: each ends, at the latest, when the next one of its use and algorithm begins."""
    written = [Life(**{name: _time(row[name]) for name in TIMES}) for row in rows]
    begins: dict[tuple[str, str], list[datetime]] = {}
    for row, life in zip(rows, written, strict=True):
        if life.activates is not None and (life.ends is None or life.activates < life.ends):
            begins.setdefault((row["use"], row["algorithm"]), []).append(life.activates)
    return [_succeeded(life, begins.get((row["use"], row["algorithm"]), ())) for row, life in zip(rows, written, strict=True)]


def _succeeded(life: Life, begins: Sequence[datetime]) -> Life:
    if life.activates is None:
        return life
    ends = [time for time in begins if time > life.activates]
    return replace(life, retires=min(filter(None, (life.retires, *ends)), default=None))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
