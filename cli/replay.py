"""`quantumai replay`: a range of a topic, printed or copied into another topic."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from cli.options import From, Home, To, settings
from cli.show import readable
from cli.topics import Topic
from streams import records
from streams.replay import replay as copy


def replay(
    topic: Topic,
    start: From = "beginning",
    stop: To = "end",
    into: Annotated[
        str | None, typer.Option(help="A topic of yours to copy the original bytes into; made when missing.", show_default="print")
    ] = None,
    home: Home = None,
) -> None:
    """Print a range of a topic as JSON lines, or copy its original bytes, keys, headers and timestamps into another topic."""
    brokers = settings(home).brokers

    async def show() -> int:
        count = 0
        async with aclosing(records.messages(brokers, [topic], start, stop)) as batches:
            async for batch in batches:
                for message in batch:
                    typer.echo(readable(message))
                count += len(batch)
        return count

    if into is None:
        typer.echo(f"{asyncio.run(show()):,} messages of {topic}", err=True)
    else:
        typer.echo(f"{asyncio.run(copy(brokers, topic, into, start, stop)):,} messages of {topic} copied into {into}", err=True)
