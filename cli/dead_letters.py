"""`quantumai dead-letters list | show | retry`."""

import asyncio
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from cli import screen
from cli.options import AsJson, Home, Since, settings
from cli.show import readable
from schemas.dead_letter import DeadLetter
from streams import dead_letters as room
from streams.messages import Received

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="See what agents could not handle, and send it again just as it was."
)

Agent = Annotated[str | None, typer.Option(help="Only of this agent.", show_default=False)]
FromTopic = Annotated[str | None, typer.Option("--topic", help="Only from this topic.", show_default=False)]


@app.command("list")
def list_letters(
    agent: Agent = None, topic: FromTopic = None, since: Since = None, as_json: AsJson = False, home: Home = None
) -> None:
    """List dead letters, oldest first."""
    letters = asyncio.run(_letters(settings(home).brokers, since, agent, topic))
    if as_json:
        for letter in letters:
            typer.echo(readable(letter))
        return
    table = screen.table("letter", "failed at", "agent", "from", "key", "attempts", "reason")
    for letter in letters:
        dead = letter.record
        place = f"{dead.original_topic}/{dead.original_partition}/{dead.original_offset}"
        key = (dead.original_key or b"").decode("utf-8", "replace")
        cells = (room.name(letter), f"{dead.failed_at:%Y-%m-%d %H:%M:%S}", dead.agent, place, key, str(dead.attempts), dead.reason)
        table.add_row(*(escape(cell) for cell in cells))
    screen.console().print(table)


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="partition:offset, see `list`.", show_default=False)], home: Home = None
) -> None:
    """Print one dead letter whole, as JSON: the original bytes and headers, and why it is here."""
    typer.echo(readable(asyncio.run(room.find(settings(home).brokers, letter)), indent=2))


@app.command()
def retry(
    letters: Annotated[list[str] | None, typer.Argument(help="partition:offset, see `list`.", show_default=False)] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that --agent, --topic and --since leave.")] = False,
    agent: Agent = None,
    topic: FromTopic = None,
    since: Since = None,
    home: Home = None,
) -> None:
    """Send dead letters again to where they came from, byte for byte; the letters themselves stay listed."""
    if everything == bool(letters):
        raise typer.BadParameter("name the dead letters, or say --all")
    brokers = settings(home).brokers

    async def run() -> int:
        if letters:
            chosen = [await room.find(brokers, wanted) for wanted in letters]
        else:
            chosen = await _letters(brokers, since, agent, topic)
        return await room.retry(brokers, chosen)

    typer.echo(f"{asyncio.run(run())} sent again")


async def _letters(brokers: str, since: "datetime | None", agent: str | None, topic: str | None) -> list[Received[DeadLetter]]:
    found = [letter async for letter in room.dead_letters(brokers, since or "beginning", agent=agent, topic=topic)]
    return sorted(found, key=lambda letter: letter.timestamp_ms)
