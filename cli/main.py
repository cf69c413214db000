"""`quantumai`: the whole platform from a terminal. Exit status: 0 done, 1 not done (one sentence on stderr says why), 2 misused."""

import logging
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

from api.errors import ApiError
from backends.errors import BackendError
from em.errors import EmError
from kms.errors import KmsError
from policy.errors import PolicyError
from scheduler.errors import SchedulerError
from schemas.errors import InputError
from streams.errors import StreamsError
from threat.errors import ThreatError

EXPECTED = (StreamsError, KmsError, SchedulerError, ApiError, BackendError, EmError, PolicyError, ThreatError, InputError, OSError)
"""Errors whose message is made for the user: the roots of our rooms, and what an input caused."""


class Command(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    place: str
    panel: str
    says: str


_PLATFORM, _JOBS, _TOPICS, _AUDIT, _EM = "1. The platform", "2. Jobs", "3. Topics", "4. Audit", "5. Error mitigation"
_THREATS = "6. Threats"

COMMANDS: Mapping[str, Command] = {
    "up": Command("platform:up", _PLATFORM, "Start Kafka and the agents on this machine."),
    "status": Command("platform:status", _PLATFORM, "Show the local platform's processes."),
    "down": Command("platform:down", _PLATFORM, "Stop the local platform; topics and keys stay."),
    "demo": Command("demo:demo", _PLATFORM, "All of it once round: start, run the example jobs, verify, stop."),
    "api": Command("api:api", _PLATFORM, "Serve the platform by REST: predictions, jobs, threats, findings."),
    "worker": Command("worker:worker", _PLATFORM, "Run one agent in the foreground: what a container runs."),
    "submit": Command("jobs:submit", _JOBS, "Submit job files; with --watch, see them through."),
    "jobs": Command("jobs:list_jobs", _JOBS, "List jobs and where they are."),
    "result": Command("jobs:result", _JOBS, "Show a job's result, or all reasons why there is none."),
    "cancel": Command("jobs:cancel", _JOBS, "Ask for a job to be cancelled."),
    "backends": Command("backends:app", _JOBS, "List backends; compare what each transpile level makes of a circuit."),
    "scheduler": Command("scheduler:app", _JOBS, "Try scoring policies on a simulated fleet; explain a decision."),
    "topics": Command("topics:list_topics", _TOPICS, "List the topics, and how far behind each agent is."),
    "tail": Command("topics:tail", _TOPICS, "Print a topic's last messages as readable JSON."),
    "replay": Command("replay:replay", _TOPICS, "Print a range of a topic, or copy it into another topic."),
    "dead-letters": Command("dead_letters:app", _TOPICS, "See what agents could not handle, and send it again."),
    "kms": Command("kms:app", _AUDIT, "The token and its keys: make, rotate, retire, export."),
    "token": Command("api_token:app", _AUDIT, "Bearer tokens for the REST services, signed in the token."),
    "crypto": Command("crypto:app", _AUDIT, "Algorithms in use, policy epochs, migration to post-quantum, drills."),
    "manifest": Command("manifest:app", _AUDIT, "Manifests of single runs: make, sign, verify, show."),
    "verify": Command("audit:verify", _AUDIT, "Verify every manifest, from the topics or from an exported file."),
    "export": Command("audit:export", _AUDIT, "Write events and manifests to one file, to verify offline."),
    "witness": Command("witness:app", _AUDIT, "Watch the logs with a memory of your own, and cosign them."),
    "tls": Command("tls:app", _AUDIT, "Hybrid post-quantum TLS: serve, connect, and see what is negotiated."),
    "em": Command("em:app", _EM, "Measure mitigation methods on many circuits and devices; compare nights."),
    "feed": Command("feed:feed", _THREATS, "Stream Suricata, Zeek or OCSF lines in; resumed where it stopped."),
    "policy": Command("policy:app", _EM, "The learned policy: its data, its training, its figures, and back to an earlier one."),
    "threat": Command("threat:app", _THREATS, "Score security events; train and measure the models that do."),
}
"""All commands. A command's module is imported when the command is run, so that help comes at once."""


class Commands(TyperGroup):
    """Loads a command when it is called for, and turns expected errors into a sentence on stderr and exit status 1."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command behind the entry in the list."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)) if name in COMMANDS else listed, rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `quantumai tail … | head`: click ends quietly
            raise
        except EXPECTED as error:
            said = f"quantumai: {_sentence(error)}"
            typer.echo(said if os.environ.get("NO_COLOR") else typer.style(said, fg=typer.colors.RED), err=True)
            raise typer.Exit(1) from error


def _sentence(error: Exception) -> str:
    """What the error says; of the operating system's, without the number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main() -> None:
    """Quantum jobs through Kafka: exactly once, with a signed manifest for every decision and every result.

    A first tour, or all of it at once with [bold]quantumai demo[/]:

    [bold]quantumai up[/], [bold]submit FILE --watch[/], [bold]tail job.completed[/], [bold]verify[/], [bold]down[/]
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is down is said in one sentence, by us


def _listed() -> None:
    """Stands in the list of commands for one that is not loaded."""


for _name, _command in COMMANDS.items():
    app.command(_name, rich_help_panel=_command.panel, help=_command.says)(_listed)


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name].place.partition(":")
    target = getattr(import_module(f"cli.{module}"), attribute)
    if not isinstance(target, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
        alone.command(name)(target)
        target = alone
    return get_command(target)


if __name__ == "__main__":
    app()
