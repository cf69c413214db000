"""`quantumai crypto drill`: an algorithm is taken as broken. What is forgeable, what stands, what to do; and doing it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli import screen
from cli.audit import verify_file, verify_topics
from cli.crypto_migrate import wait_for
from cli.kms_audit import recorded
from cli.log_heads import heads as heads_of
from cli.options import Home, settings
from cli.token import TRUST, open_or_make
from kms.algorithms import SIGNATURES, signature_algorithm
from kms.drill import Attempt, Forgery, attempts, forgeries, replacement, respond, stands
from kms.epoch_memory import Memory, beside
from kms.epoch_ring import read_policy
from kms.keyring import KeyRing
from kms.tls.authority import CA_USE
from kms.trust import TrustRoot
from kms.vouched import VouchedReport
from schemas.codec import decode
from schemas.manifests import LogCheckpoint
from streams.errors import PlatformError
from streams.export import Bundle
from streams.settings import Settings


def drill(
    file: Annotated[Path | None, typer.Argument(help="An exported file.", show_default="the topics")] = None,
    *,
    broken: Annotated[
        str, typer.Option(help="The algorithm that is taken as broken: ecdsa-p384, ml-dsa-65, …", show_default=False)
    ],
    act: Annotated[
        bool, typer.Option("--respond", help="Not a drill: call it broken for good, revoke its keys, have every log signed anew.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: Home = None,
) -> None:
    """Forge with the broken algorithm's own key, and show whether verifiers notice; say what still stands and what to do.

    Forgeries never leave this process. Without --respond nothing is changed. Exit status 1 when a forgery was accepted.
    """
    chosen, name = settings(home), _named(broken)
    if act and file is not None:
        raise typer.BadParameter("a file cannot be signed anew: respond on the system that wrote it, and export again")
    ring = KeyRing.open(chosen.ring(), open_or_make(chosen)[0])
    heads, report = _evidence(file, chosen)
    with recorded(chosen, ring, "drill", f"{name}, forged for a test and never published") as did:
        made = [forged for head in heads[:1] for forged in forgeries(ring, name, head)]
        did.detail += f": {', '.join(one.how for one in made) or 'nothing'}"[:200]
    out = screen.console()
    accepted = _show_attempts(out, made, chosen, f"Forged with the key of {name}, log {heads[0].log_id if heads else ''}")
    _show_stands(out, heads, report, name)
    _show_what_to_do(out, ring, name)
    if act:
        if not yes:
            typer.confirm(f"Call {name} broken for ever, revoke its keys and have every log signed anew?", abort=True)
        _respond(out, ring, name, chosen)
        accepted = _show_attempts(out, made, chosen, "The same forgeries after the response")
        report, _ = asyncio.run(verify_topics(chosen.brokers, TrustRoot.load(chosen.home / TRUST)))
        out.print(f"the real logs: {report.manifests:,} manifests, {len(report.errors)} broken links", highlight=False)
    if accepted:
        raise typer.Exit(1)


def _named(broken: str) -> str:
    found = next((name for name in SIGNATURES if name.lower() == broken.lower()), broken)
    signature_algorithm(found)
    return found


def _evidence(file: Path | None, chosen: Settings) -> tuple[Sequence[LogCheckpoint], VouchedReport]:
    """The newest checkpoint of each log, the largest log first, and what verification says before anything is done."""
    trust = TrustRoot.load(chosen.home / TRUST)
    if file is None:
        heads, (report, _) = heads_of(chosen.brokers), asyncio.run(verify_topics(chosen.brokers, trust))
    else:
        found = [decode(LogCheckpoint, message.value) for message in Bundle(file) if message.topic == LogCheckpoint.topic]
        heads, (report, _) = list({head.log_id: head for head in found}.values()), verify_file(file, trust)
    return sorted(heads, key=lambda head: -head.tree_size), report


def _show_attempts(out: Console, made: Sequence[Forgery], chosen: Settings, title: str) -> list[Attempt]:
    """Prints what the verifier says to each forgery; those that it accepts."""
    if not made:
        out.print("no key of this algorithm has signed a log here: there is nothing to forge with", highlight=False)
        return []
    place = chosen.home / TRUST
    tried = attempts(made, TrustRoot.load(place), Memory.load(beside(place)))
    table = screen.table("forgery", "what it is", "verifier", "says", title=title)
    for one in tried:
        verdict = f"[green]refused: {one.refused}[/]" if one.refused else "[red]ACCEPTED[/]"
        table.add_row(one.how, escape(one.says), verdict, escape(one.why))
    out.print(table)
    return [one for one in tried if not one.refused]


def _show_stands(out: Console, heads: Sequence[LogCheckpoint], report: VouchedReport, broken: str) -> None:
    table = screen.table("log", "leaves", "stands by", "anchored up to", numbers=("leaves", "anchored up to"), title="What stands")
    for one in stands(heads, broken):
        found = report.vouched.get(one.log_id)
        anchor = f"{found.anchor.size:,}" if found is not None and found.anchor is not None else ""
        by = " and ".join(one.by) if one.by else "[red]nothing: sign it anew, and compare with what verifiers saw before[/]"
        table.add_row(one.log_id, f"{one.leaves:,}", by, anchor)
    out.print(table)


def _show_what_to_do(out: Console, ring: KeyRing, broken: str) -> None:
    policy = read_policy(ring.store)
    uses = sorted({entry.public.use for entry in ring.entries() if entry.public.algorithm == broken})
    steps = [f"another policy epoch, by which {broken} counts nowhere any more"]
    if broken not in policy.broken:
        steps[0] += f"; {' and '.join(replacement(policy.newest, broken, policy.newest.broken))} must sign"
    steps += [
        "its keys revoked" + (f" (used for: {', '.join(uses)})" if uses else ""),
        "every log signed anew, over the tree it has",
    ]
    steps += ["the new trust.json to all verifiers; whoever has only the old one still believes what is forged"]
    if CA_USE in uses:
        steps += ["TLS: servers and clients under `--policy pqc-required`" if SIGNATURES[broken].classical else "TLS: a new CA key"]
    out.print("What to do (--respond does the first three):")
    for number, step in enumerate(steps, 1):
        out.print(f"  {number}. {step}", highlight=False)


def _respond(out: Console, ring: KeyRing, broken: str, chosen: Settings) -> None:
    with recorded(chosen, ring, "drill.respond", f"{broken} is broken") as did:
        epoch, revoked = respond(ring, broken)
        did.detail = f"{broken} is broken, from epoch {epoch.number} on; revoked: {', '.join(revoked) or 'nothing'}"[:300]
    ring.public().save(chosen.home / TRUST)
    done = f"epoch {epoch.number}: {' and '.join(epoch.required)} must sign; {broken} counts no more"
    out.print(f"{done}; revoked: {', '.join(revoked) or 'nothing'}", highlight=False)
    behind = wait_for(chosen, epoch.number, 30.0)
    if behind:
        raise PlatformError(
            f"{', '.join(behind)} not signed anew yet: the signer does it when it runs (`quantumai up`); then ask for this again"
        )
