"""One declared agent a file: what it reads, what it writes, and the domain function between. No logic of its own.

`build(name, settings)` makes the declaration; `streams.worker.run` runs it.
"""

from importlib import import_module

from streams.agent import Agent
from streams.errors import DeclarationError
from streams.settings import Settings

AGENTS = ("calibration", "policy", "scheduler", "executor", "signer", "threat")
"""The agents of the platform, in the order in which an event passes them."""


def build(name: str, settings: Settings) -> Agent:
    """The declaration of an agent; imports no other agent's packages.

    Raises:
        DeclarationError: there is no agent of that name.
    """
    if name not in AGENTS:
        raise DeclarationError(f"there is no agent {name!r}: choose one of {', '.join(AGENTS)}")
    agent: Agent = import_module(f"agents.{name}").build(settings)
    return agent
