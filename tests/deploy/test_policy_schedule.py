"""The schedule of the policy's training starts a command that exists."""

import re
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from cli.policy import app

CRONTAB = Path(__file__).resolve().parents[2] / "deploy" / "schedules" / "policy.crontab"


def test_the_command_is_accepted_and_learns_from_the_topics() -> None:
    (line,) = [line.split() for line in CRONTAB.read_text().splitlines() if re.match(r"[0-9*]", line)]
    assert line[5:7] == ["quantumai", "policy"]
    command: Any = get_command(app)
    with typer.Context(command) as context:
        made = command.commands[line[7]].make_context(line[7], line[8:], parent=context)
    assert made.params["from_topics"]
    assert made.params["data"].is_absolute()
