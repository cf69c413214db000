"""`quantumai crypto migrate`: from classical to dual to post-quantum signatures, while the system runs."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from cli import screen
from cli.key_ring import existing_ring
from cli.kms import length_of_time
from cli.kms_audit import recorded
from cli.log_heads import heads_if_any
from cli.options import AsJson, Home, settings
from cli.token import TRUST, open_or_make
from kms.deprecation import deadline
from kms.epoch_memory import beside
from kms.epochs import ALWAYS, PHASES, POST_QUANTUM, Epoch
from kms.errors import NotReady
from kms.keyring import KeyRing
from kms.migration import TARGETS, Standing, advance, current, retire, rollback, standing, standing_under, start
from streams.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Move a running system to post-quantum signatures: plan, start, advance phase by phase, roll back.",
)

Target = Annotated[str, typer.Option("--target", help=f"One of {', '.join(TARGETS)}.")]
Expires = Annotated[
    Any,
    typer.Option("--expires", parser=length_of_time, metavar="TIME", help="After how long the epoch must have been renewed: 365d."),
]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the signers to take the epoch up.", min=0)]


@app.command()
def plan(target: Target = POST_QUANTUM, as_json: AsJson = False, home: Home = None) -> None:
    """Say what the way would be, what it takes, and by when NIST wants it gone; changes nothing."""
    chosen = settings(home)
    _known(target)
    ring = existing_ring(chosen)
    stands = _stands(ring, chosen, target)
    phases = list(PHASES)
    way = phases[phases.index(stands.epoch.phase) + 1 : phases.index(target) + 1]
    if as_json:
        steps = [{"phase": phase, "required": list(PHASES[phase])} for phase in way]
        typer.echo(json.dumps({"in_force": stands.epoch.document, "steps": steps, "deadlines": _deadlines(stands.epoch)}, indent=2))
        return
    table = screen.table("step", "phase", "must sign", "command")
    table.add_row("now", stands.epoch.phase, " and ".join(stands.epoch.required), "")
    for number, phase in enumerate(way, 1):
        command = "migrate start, then advance" if number == 1 else "quantumai verify, then migrate advance"
        table.add_row(str(number), phase, " and ".join(PHASES[phase]), command)
    screen.console().print(table)
    for line in _deadlines(stands.epoch):
        screen.console().print(line, highlight=False)
    _show_checks(stands)


@app.command(name="start")
def start_(
    target: Target = POST_QUANTUM,
    verifier: Annotated[
        list[Path] | None,
        typer.Option(
            help="File in which a verifier elsewhere remembers (trust.seen.json); may be given again.", show_default=False
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Note the target and the verifiers to wait for, and make the next phase's keys. The policy does not change yet."""
    chosen = settings(home)
    _known(target)
    ring = _writer(chosen)
    with recorded(chosen, ring, "migrate.start", f"to {target}"):
        begun = start(ring, target, [beside(chosen.home / TRUST), *(verifier or ())])
    ring.public().save(chosen.home / TRUST)
    typer.echo(f"started {when(begun.started)}, to {begun.target}; `quantumai crypto migrate advance` takes the next step")


@app.command()
def status(as_json: AsJson = False, home: Home = None) -> None:
    """Say where it stands: the epoch in force, each log's, and what is missing for the next step."""
    chosen = settings(home)
    ring = existing_ring(chosen)
    begun, heads = current(ring.store), heads_if_any(chosen.brokers)
    stands = _stands(ring, chosen, begun.target if begun else POST_QUANTUM)
    if as_json:
        checks = [{"met": check.met, "says": check.says} for check in stands.checks]
        logs = {head.log_id: standing_under(head) for head in heads or ()}
        about = {"started": begun is not None, "epoch": stands.epoch.document, "next": stands.following, "logs": logs}
        typer.echo(json.dumps({**about, "checks": checks, "ready": stands.ready}, indent=2))
        return
    out = screen.console()
    started = f"to {begun.target}, started {when(begun.started)}" if begun else "not started"
    out.print(f"migration {started}; in force: epoch {stands.epoch.number}, {stands.epoch.phase}", highlight=False)
    if heads:
        table = screen.table("log", "leaves", "epoch", "signed at (UTC)", numbers=("leaves", "epoch"))
        for head in heads:
            table.add_row(head.log_id, f"{head.tree_size:,}", str(standing_under(head)), when(head.signed_at))
        out.print(table)
    _show_checks(stands)


@app.command(name="advance")
def advance_(wait: Wait = 30.0, expires: Expires = None, home: Home = None) -> None:
    """Take the next step if all that it needs is there; at the target, disable the log keys that nothing asks for any more.

    May be interrupted and asked for again: it goes on where it was.
    """
    chosen = settings(home)
    ring = _writer(chosen)
    begun = current(ring.store)
    if begun is None:
        raise NotReady("no migration was started: `quantumai crypto migrate start`")
    stands = _stands(ring, chosen, begun.target)
    if stands.following is None:
        with recorded(chosen, ring, "migrate.advance", f"to {begun.target}") as did:
            disabled = retire(ring, stands)
            did.detail = f"the target {begun.target} is reached; disabled: {', '.join(disabled) or 'nothing'}"
        ring.public().save(chosen.home / TRUST)
        gone = f"; disabled: {', '.join(disabled)}" if disabled else ""
        typer.echo(f"the target is reached: epoch {stands.epoch.number}, {stands.epoch.phase}{gone}")
        return
    with recorded(chosen, ring, "migrate.advance", f"to {stands.following}") as did:
        epoch = advance(ring, stands, expires)
        did.detail = described(epoch)
    _announced(ring, chosen, epoch, wait)


@app.command(name="rollback")
def rollback_(wait: Wait = 30.0, expires: Expires = None, home: Home = None) -> None:
    """Take the last step back by another epoch: post-quantum becomes dual again, a scheduled epoch is withdrawn.

    Never from dual to classical: logs and verifiers demand post-quantum signatures since.
    """
    chosen = settings(home)
    ring = _writer(chosen)
    with recorded(chosen, ring, "migrate.rollback", "a step back") as did:
        epoch = rollback(ring, expires)
        did.detail = described(epoch)
    _announced(ring, chosen, epoch, wait)


def when(time: datetime) -> str:
    """A time for people."""
    return "the beginning" if time == ALWAYS else f"{time:%Y-%m-%d %H:%M:%S}"


def described(epoch: Epoch) -> str:
    """What an epoch demands, for people."""
    return f"epoch {epoch.number}: {' and '.join(epoch.required)} must sign, from {when(epoch.begins)} on"


def wait_for(chosen: Settings, number: int, seconds: float) -> list[str]:
    """Waits until every log stands under an epoch; the logs that do not in time."""
    until = time.monotonic() + seconds
    with screen.console(stderr=True).status(f"waiting for every log to stand under epoch {number}"):
        while True:
            heads = heads_if_any(chosen.brokers)
            behind = ["every log"] if heads is None else [head.log_id for head in heads if standing_under(head) < number]
            if not behind or heads is None or time.monotonic() >= until:
                return behind
            time.sleep(0.3)


def _announced(ring: KeyRing, chosen: Settings, epoch: Epoch, wait: float) -> None:
    ring.public().save(chosen.home / TRUST)
    typer.echo(described(epoch))
    behind = wait_for(chosen, epoch.number, wait)
    if behind:
        raise NotReady(
            f"epoch {epoch.number} is announced, but not signed under yet: {', '.join(behind)}; signers take it up as soon as "
            "they run; `quantumai crypto migrate status` tells"
        )
    typer.echo("every log stands under it")


def _stands(ring: KeyRing, chosen: Settings, target: str) -> Standing:
    begun = current(ring.store)
    verifiers = begun.verifiers if begun else (str(beside(chosen.home / TRUST).resolve()),)
    return standing(ring, target, verifiers, heads_if_any(chosen.brokers))


def _show_checks(stands: Standing) -> None:
    out = screen.console()
    goal = f"for {stands.following}" if stands.following else "the target is reached"
    out.print(f"{goal}:", highlight=False)
    for check in stands.checks:
        out.print(f"  {'[green]yes[/]' if check.met else '[red]no [/]'} {escape(check.says)}", highlight=False)


def _deadlines(epoch: Epoch) -> list[str]:
    return [f"{name}: {found}" for name in epoch.required if (found := deadline(name).says)]


def _known(target: str) -> None:
    if target not in TARGETS:
        raise typer.BadParameter(f"{target!r} is no target: choose of {', '.join(TARGETS)}")


def _writer(chosen: Settings) -> KeyRing:
    return KeyRing.open(chosen.ring(), open_or_make(chosen)[0])
