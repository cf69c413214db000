"""Tables on the screen: how wide, how plain, and what a job looks like in one."""

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from streams.progress import Job

COLOURS = {"DONE": "green", "REJECTED": "yellow", "ERROR": "red", "CANCELLED": "yellow", "DEAD_LETTERED": "red"}
_WIDE = 160
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NARROW = 80
"""Tables are made for a terminal of this width."""


class Rows(Table):
    """A table; where a terminal is too narrow for its columns, each row is a block of lines, heading and cell on each."""

    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        """A row; control characters of what others wrote are shown and not obeyed by the terminal."""
        super().add_row(*(_CONTROL.sub(_shown, cell) if isinstance(cell, str) else cell for cell in cells), **how)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        natural = console.measure(self, options=options.update(max_width=_WIDE)).maximum
        if options.max_width >= min(_NARROW, natural):
            yield from super().__rich_console__(console, options)
            return
        if self.title:
            yield Text(str(self.title))
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            for column, cell in zip(self.columns, cells, strict=True):
                if cell:
                    yield Text.assemble((f"{column.header}: ", "bold"), console.render_str(str(cell)))
            yield ""


def console(*, stderr: bool = False) -> Console:
    """Where tables are printed: as wide as the terminal, and wide enough for all columns where there is none (a file, a CI log)."""
    out = Console(stderr=stderr, highlight=False)  # an id is no number, even where it looks like one
    return out if out.is_terminal or "COLUMNS" in os.environ else Console(stderr=stderr, highlight=False, width=_WIDE)


def table(*headings: str, title: str = "", numbers: Sequence[str] = ()) -> Table:
    """An empty table that folds what is too long and cuts nothing; `numbers` are right-aligned headings."""
    made = Rows(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold", justify="right" if heading in numbers else "left")
    return made


def _shown(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def job_table(jobs: Iterable[Job]) -> Table:
    """One line a job: where it is, what it runs on and how."""
    made = table("job", "state", "backend", "method", "at (UTC)")
    for column in made.columns[:2]:
        column.no_wrap = True
    for job in jobs:
        when = f"{job.changed_at:%m-%d %H:%M:%S}" if job.changed_at else ""
        made.add_row(job.job_id, coloured(job.state), job.backend, job.method, when)
    return made


def all_reasons(job: Job) -> list[str]:
    """Why it was decided so; of a rejected job also why each backend was blocked, a line each."""
    blocked = {score.backend: score.blocked for score in job.routed.scores if score.blocked} if job.routed is not None else {}
    if job.state != "REJECTED":
        return list(job.reasons)
    said = {f"{backend}: {reason}" for backend, reasons in blocked.items() for reason in reasons}
    others = [reason for reason in job.reasons if reason not in said]
    return others + [f"{backend}: {'; '.join(reasons)}" for backend, reasons in blocked.items()]


def coloured(state: str) -> str:
    """The state in its colour, as rich markup."""
    return f"[{COLOURS.get(state, 'cyan')}]{state}[/]"
