"""Options that several commands share, and how times and offsets are written on a command line."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.ranges import Position
from streams.settings import Settings

_AGO = re.compile(r"^(\d+)([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def position(text: str) -> Position:
    """A time or an offset: 2026-11-21T08:30, 2026-11-21, 15m (ago), 1234, beginning, end.

    Raises:
        typer.BadParameter: neither.
    """
    if text in ("beginning", "end"):
        return text  # type: ignore[return-value]
    if text.isdigit():
        return int(text)
    try:
        if ago := _AGO.match(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        when = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time and no offset: write 2026-11-21T08:30 (UTC), 15m (ago: s, m, h, d), 1234, beginning or end"
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def since(text: str) -> datetime:
    """A time.

    Raises:
        typer.BadParameter: no time, an offset for example.
    """
    when = position(text)
    if not isinstance(when, datetime):
        raise typer.BadParameter(f"{text!r} is no time: write 2026-11-21T08:30 (UTC) or 15m (ago: s, m, h, d)")
    return when


Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of the local platform; QUANTUMAI_HOME, else .quantumai, when not given.", show_default=False
    ),
]
From = Annotated[Any, typer.Option("--from", parser=position, metavar="TIME|OFFSET", help="Where to begin, in every partition.")]
To = Annotated[Any, typer.Option("--to", parser=position, metavar="TIME|OFFSET", help="Where to end (this one not included).")]
Since = Annotated[Any, typer.Option("--since", parser=since, metavar="TIME", help="Only what came since then.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def settings(home: Path | None, **values: Any) -> Settings:
    """The settings of this run: options that were given, then the environment, then the defaults.

    Raises:
        SettingsError: a value that cannot be.
    """
    given = {"home": home, **values}
    return Settings.load(**{name: value for name, value in given.items() if value is not None})
