"""`quantumai up`, `down`, `status`: the local platform."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from agents import AGENTS
from cli import screen
from cli.options import AsJson, Home, settings
from cli.token import prepare
from streams import platform
from streams.disk import shortage
from streams.errors import PlatformError
from streams.platform_status import PlatformStatus, ProcessStatus
from streams.platform_status import status as ask
from streams.settings import Settings


def up(
    home: Home = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port of the broker; 0 takes a free one.", min=0, max=65535, show_default="the last one, or 9092"),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="First port of the workers' /metrics.", min=0, max=65535, show_default="free ones")
    ] = None,
    agents: Annotated[str, typer.Option(help="Agents to run, by comma.", show_default="all")] = "",
) -> None:
    """Start Kafka and one worker per agent on this machine; returns when all are ready."""
    chosen = settings(home, metrics_port=metrics_port)
    console = screen.console(stderr=True)
    try:
        with console.status("starting") as shown:
            ready = start(chosen, port, [name.strip() for name in agents.split(",") if name.strip()], shown.update)
    except KeyboardInterrupt:
        console.print("what was started by then goes on: `quantumai status` shows it, `quantumai down` stops it")
        raise
    _warn(ready)
    count = len(ready.processes) - 1
    typer.echo(f"ready: broker at {ready.brokers}, {count} agent{'s' * (count != 1)}, all in {ready.folder}")


def down(home: Home = None) -> None:
    """Stop the local platform; its topics and keys stay."""
    folder = settings(home).home
    typer.echo("stopped" if platform.down(folder) else f"nothing ran in {folder.resolve()}")


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show the local platform's processes; exit status 1 when not all of it is ready."""
    now = ask(settings(home).home)
    if as_json:
        typer.echo(json.dumps({**asdict(now), "ready": now.ready}, default=str))
    elif now.running:
        screen.console().print(_table(now))
        _warn(now)
    elif now.left:
        typer.echo(
            f"the supervisor in {now.folder} was killed and {now.left} processes of its own go on: "
            "`quantumai up` starts the platform anew, `quantumai down` ends them"
        )
    else:
        typer.echo(f"no platform runs in {now.folder}: `quantumai up` starts it")
    if not now.ready:
        raise typer.Exit(1)


def start(chosen: Settings, port: int | None, agents: list[str], say: Callable[[str], None]) -> PlatformStatus:
    """Prepares the token and starts the platform; `say` is told what is still awaited.

    Raises:
        StreamsError, KmsError: it cannot start, in a sentence.
        PlatformError: the disk has no room; a token that is half made would be of no use later.
    """
    unknown = [name for name in agents if name not in AGENTS]
    if unknown:
        raise typer.BadParameter(f"there is no agent {unknown[0]!r}: choose of {', '.join(AGENTS)}")

    def progress(now: PlatformStatus) -> None:
        say("waiting for " + ", ".join(process.name for process in now.processes if not process.ready))

    if not ask(chosen.home).running:
        if problem := shortage(chosen.home.resolve()):
            raise PlatformError(problem)
        say("preparing keys")
        environment = prepare(chosen)
    else:
        environment = {}  # `up` refuses, and says where it runs
    return platform.up(chosen, agents or AGENTS, port=port, environment=environment, progress=progress)


def _warn(now: PlatformStatus) -> None:
    console = screen.console(stderr=True)
    for warning in now.warnings:
        console.print(f"[yellow]{escape(warning)}[/]")


def _table(now: PlatformStatus) -> Table:
    memory = sum(process.memory_bytes for process in now.processes)
    title = f"{now.folder}: broker at {now.brokers}, {memory / 2**20:,.0f} MiB"
    headings = ("process", "state", "pid", "port", "restarts", "MiB", "since (UTC)", "last exit")
    table = screen.table(*headings, title=title, numbers=("pid", "port", "restarts", "MiB"))
    for process in now.processes:
        table.add_row(*_row(process))
    return table


def _row(process: ProcessStatus) -> tuple[str, ...]:
    state = "[green]ready[/]" if process.ready else f"[red]{escape(process.problem or 'starting')}[/]"
    numbers = (str(process.pid or ""), str(process.port), str(process.restarts), f"{process.memory_bytes / 2**20:,.0f}")
    return (process.name, state, *numbers, process.since[:19].replace("T", " "), escape(process.last_exit or ""))
