"""`quantumai threat daily | weekly | monthly | roll-back`: analyses by the clock, each once for its period."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from cli import screen
from cli.options import Home, settings, since

if TYPE_CHECKING:
    from schemas.threats import ThreatAnalysed
    from streams.once import Once
    from threat.schedules.period import Period

Until = Annotated[
    Any,
    typer.Option(
        "--until",
        parser=since,
        metavar="TIME",
        help="End of the period: a time (UTC), or 15m for a quarter of an hour ago.",
        show_default="that of the last whole day, week or month",
    ),
]
_SHOWN = 5


def daily(
    *,
    until: Until = None,
    backend: Annotated[
        str | None, typer.Option(help="Ask this backend, too, by jobs.", show_default="only the exact engine")
    ] = None,
    shots: Annotated[int, typer.Option(help="Of each job.", min=1)] = 1024,
    jobs: Annotated[int, typer.Option(help="At most so many, the worst events first.", min=1)] = 100,
    home: Home = None,
) -> None:
    """Ask the quantum model again about the dangerous events of the last whole day (UTC), and publish what it says now.

    Each new finding (threat.scored) names the earlier one, and can raise its level, never lower it. With --backend the worst events
    also become jobs, whose time limit is QUANTUMAI_ESCALATION_SECONDS. A period is done once: a second run does nothing, and one
    that was killed goes on where it was. Its result is an event of threat.analysed with a signed manifest.
    """
    from cli.threat_runs import run_daily  # noqa: PLC0415 - the models take a second, help shall not wait for them

    chosen = settings(home)
    _run(
        home, "daily", until, lambda period, run, say: run_daily(chosen, period, run, say, backend=backend, shots=shots, jobs=jobs)
    )


def weekly(
    *,
    labels: Annotated[
        Path,
        typer.Option(help="Analysts' labels: CSV with the columns event_id and label, or lines of JSON (.jsonl).", dir_okay=False),
    ],
    until: Until = None,
    epochs: Annotated[int, typer.Option(help="Passes over the events.", min=1)] = 60,
    home: Home = None,
) -> None:
    """Retrain the quantum model on the labelled events of the last whole week (from Monday), and use it if it is better.

    Three in ten events, chosen by their ids, are held out. The new model is promoted if at least 95 % of 2,000 bootstrap samples of
    them find it better than the one in use (mean of both classes' accuracies); a tie keeps the old. Old models are kept: `quantumai
    threat roll-back`. The threat agent uses the new one from its next start on. Once for a period, resumable, with event and
    manifest, as `daily`.
    """
    from cli.threat_runs import run_weekly, shelf  # noqa: PLC0415 - as above

    chosen = settings(home)
    done = _run(home, "weekly", until, lambda period, run, say: run_weekly(chosen, period, labels, epochs, say))
    if done.promoted and shelf(chosen).promote(done.model_version, done.period):
        screen.console().print(f"in use from the threat agent's next start on: {done.model} {done.model_version}")


def monthly(*, until: Until = None, home: Home = None) -> None:
    """Look for long-term patterns in the last whole month: trends of entities and techniques, drift, disagreement of the models.

    Scores every event of the month by both models again, a day at a time; days that are finished are kept, so a run that was killed
    goes on with the next. Writes report.json, days.parquet and report.png. Once for a period, with event and manifest, as `daily`.
    """
    from cli.threat_runs import run_monthly  # noqa: PLC0415 - as above

    chosen = settings(home)
    done = _run(
        home, "monthly", until, lambda period, run, say: run_monthly(chosen, period, _folder(chosen.home, period.name), say)
    )
    _show_month(json.loads(done.report), screen.console())
    screen.console().print(f"files: {_folder(chosen.home, done.period)}", soft_wrap=True)


def roll_back(*, home: Home = None) -> None:
    """Use the quantum model that was in use before the last promotion; the threat agent does from its next start on."""
    from cli.threat_runs import shelf  # noqa: PLC0415 - as above

    model = shelf(settings(home)).roll_back()
    screen.console().print(f"in use from the threat agent's next start on: {model.name} {model.version}")


def _run(
    home: Path | None,
    schedule: Literal["daily", "weekly", "monthly"],
    until: datetime | None,
    work: "Callable[[Period, Once, Callable[[str], object]], Awaitable[ThreatAnalysed]]",
) -> "ThreatAnalysed":
    from cli.threat_runs import once  # noqa: PLC0415 - as above
    from threat.schedules.period import period  # noqa: PLC0415

    console, about = screen.console(), period(schedule, datetime.now(UTC), until)
    with console.status(about.name) as status:

        def say(what: str) -> None:
            status.update(f"{about.name}: {escape(what)}")

        done, now = asyncio.run(once(settings(home), about, lambda run: work(about, run, say)))
    at = "" if now else f"was done at {done.analysed_at:%Y-%m-%d %H:%M:%S} UTC, nothing is done again: "
    console.print(f"{done.period}: {at}{escape(done.outcome)}", highlight=False, soft_wrap=True)
    return done


def _folder(home: Path, name: str) -> Path:
    return home / "schedules" / name.replace(":", "")


def _show_month(report: dict[str, Any], console: Console) -> None:
    shown = screen.table("what", "name", "findings", "a day", "tau", "q", numbers=("findings", "a day", "tau", "q"))
    for what, key in (("technique", "techniques"), ("entity", "entities")):
        for row in report[key][:_SHOWN]:
            trend = (f"{row['slope']:+.2f}", f"{row['tau']:+.2f}", f"{row['q']:.3f}") if row["tau"] is not None else ("", "", "")
            shown.add_row(what, escape(row["name"]), f"{row['count']:,}", *trend)
    console.print(shown)
    moved = ", ".join(f"{row['feature']} {row['psi']:.2f}" for row in report["drift"][:_SHOWN])
    console.print(f"features that moved furthest (population stability index): {moved or 'too few days to tell'}")
