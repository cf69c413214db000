"""Tables on the screen: how wide, how plain, and what a job looks like in one."""

import os
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from streams.progress import Job

COLOURS = {"DONE": "green", "REJECTED": "yellow", "ERROR": "red", "CANCELLED": "yellow", "DEAD_LETTERED": "red"}
_WIDE = 160


def console(*, stderr: bool = False) -> Console:
    """Where tables are printed: as wide as the terminal, and wide enough for all columns where there is none (a file, a CI log)."""
    out = Console(stderr=stderr)
    return out if out.is_terminal or "COLUMNS" in os.environ else Console(stderr=stderr, width=_WIDE)


def table(*headings: str, title: str = "", numbers: Sequence[str] = ()) -> Table:
    """An empty table that folds what is too long and cuts nothing; `numbers` are right-aligned headings."""
    made = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold", justify="right" if heading in numbers else "left")
    return made


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
