"""`quantumai feed`: security feeds into threat.observed, resumed where they stopped."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from cli import screen
from cli.options import Home, settings
from schemas.dead_letter import DeadLetter
from schemas.threats import FeedPosition
from streams.feeding import Feeding
from threat.feeds.answer import answer
from threat.feeds.following import Streams
from threat.feeds.tail import Batch, Tail

POLL_SECONDS = 0.25
SHOWN_REASONS = 5

Form = Literal["auto", "suricata", "zeek", "ocsf"]


@dataclass
class Told:
    """What has been fed, by stream."""

    events: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    """The first few."""


def feed(
    place: Annotated[str, typer.Argument(metavar="FILE|DIR|-", help="A file, a folder's files, standard input. Gzip is unpacked.")],
    form: Annotated[Form, typer.Option("--format", help="Whose lines they are; auto: each line says it itself.")] = "auto",
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, past rotation and truncation.")] = False,
    home: Home = None,
) -> None:
    """Stream Suricata EVE, Zeek JSON or OCSF lines into threat.observed.

    Fed again, a stream goes on where it stopped: events and position are committed together. A line that cannot become an event
    goes to dead.letter, with its place and the reason.
    """
    told, console = Told(), screen.console()
    try:
        with console.status(f"reading {escape(place)}") as shown:
            asyncio.run(_feed(settings(home).brokers, place, form, told, shown, follow=follow))
    except KeyboardInterrupt:
        console.print("stopped; the next run goes on from here")
    else:
        if not told.events and not told.dead:
            console.print(f"nothing new in {escape(place)}")
    finally:
        _show(console, told)


async def feed_files(brokers: str, place: str, form: str = "auto") -> Told:
    """Feeds what is there, without a word; returns what came of it."""
    told = Told()
    await _feed(brokers, place, form, told, None, follow=False)
    return told


async def _feed(brokers: str, place: str, form: str, told: Told, shown: Status | None, *, follow: bool) -> None:
    feeding, loop = Feeding(brokers), asyncio.get_running_loop()

    def claim(tails: Sequence[Tail]) -> Mapping[str, FeedPosition]:
        return asyncio.run_coroutine_threadsafe(feeding.claim({tail.head for tail in tails}), loop).result()

    streams = Streams(place, claim)
    try:
        while True:
            batches = streams.read(final=not follow)
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                await _publish(feeding, batch, form, told)
                if shown is not None:
                    shown.update(f"{sum(told.events.values()):,} events, {sum(told.dead.values()):,} dead letters")
            await feeding.keep(streams.heads)
            if not follow:
                break
            await asyncio.sleep(POLL_SECONDS)
    finally:
        streams.close()
        await feeding.close()


async def _publish(feeding: Feeding, batch: Batch, form: str, told: Told) -> None:
    position = batch.position
    answers = [(line, answer(line, position.feed, position.path, form)) for line in batch.lines]
    await feeding.publish(position.feed.partition(".")[0], answers, position)
    for _, record in answers:
        if isinstance(record, DeadLetter):
            told.dead[position.path] += 1
            told.reasons += [record.reason] if len(told.reasons) < SHOWN_REASONS else []
        else:
            told.events[position.path] += 1


def _show(console: Console, told: Told) -> None:
    if not told.events and not told.dead:
        return
    table = screen.table("stream", "events", "dead letters", numbers=("events", "dead letters"))
    for path in sorted({*told.events, *told.dead}):
        table.add_row(escape(path), f"{told.events[path]:,}", f"{told.dead[path]:,}")
    console.print(table)
    for reason in told.reasons:
        console.print(f"[yellow]{escape(reason)}[/]")
    if (more := sum(told.dead.values()) - len(told.reasons)) > 0:
        console.print(f"… and {more:,} more: `quantumai dead-letters list`")
