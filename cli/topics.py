"""`quantumai topics`, `tail`."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

import typer

from agents import AGENTS
from cli import screen
from cli.options import AsJson, Home, position, settings
from cli.show import readable
from streams import records
from streams.admin import topic_table

Topic = Annotated[str, typer.Argument(help="A topic, see `quantumai topics`.", show_default=False)]


def list_topics(home: Home = None, as_json: AsJson = False) -> None:
    """List the topics: how much stands in each, and how far behind each agent is."""
    rows = asyncio.run(topic_table(settings(home).brokers, AGENTS))
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    table = screen.table("topic", "partitions", "offsets", "lag", numbers=("partitions", "offsets"))
    for row in rows:
        lag = ", ".join(f"{agent} {'[green]0[/]' if behind == 0 else f'[red]{behind:,}[/]'}" for agent, behind in row.lag.items())
        table.add_row(row.topic, str(row.partitions), f"{row.offsets:,}", lag)
    screen.console().print(table)


def tail(
    topic: Topic,
    count: Annotated[int, typer.Option("-n", min=0, help="How many of the last messages.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then go on with what comes, until Ctrl-C.")] = False,
    start: Annotated[
        Any,
        typer.Option(
            "--from", parser=position, metavar="TIME|OFFSET", help="All from there on, in place of -n.", show_default=False
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Print the last messages of a topic as JSON, by time: one object a line, indented on a terminal."""
    brokers = settings(home).brokers
    indent = 2 if sys.stdout.isatty() else None

    async def run() -> None:
        if start is None:
            async with aclosing(records.tail(brokers, topic, count, follow=follow)) as messages:
                async for message in messages:
                    typer.echo(readable(message, indent))
            return
        async with aclosing(records.messages(brokers, [topic], start, follow=follow)) as batches:
            async for batch in batches:
                for message in batch:
                    typer.echo(readable(message, indent))

    asyncio.run(run())
