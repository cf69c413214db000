"""`quantumai worker AGENT`: one agent in the foreground, what a container runs."""

from typing import Annotated

import typer

from agents import AGENTS, build
from streams.settings import Settings
from streams.worker import run


def worker(
    agent: Annotated[str, typer.Argument(help="calibration, policy, scheduler, executor, signer or threat.", show_default=False)],
) -> None:
    """Run one agent in the foreground until SIGTERM; settings come from QUANTUMAI_* (what containers run)."""
    if agent not in AGENTS:
        raise typer.BadParameter(f"there is no agent {agent!r}: choose one of {', '.join(AGENTS)}")
    settings = Settings.load()
    raise typer.Exit(run(build(agent, settings), settings))
