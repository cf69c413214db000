"""`quantumai kms audit show|verify|export`: who used which key; and the trail that commands themselves write."""

import asyncio
import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.markup import escape

from cli import screen
from cli.options import Home, settings
from cli.token import TRUST
from kms.algorithms import LOG_SUITES
from kms.audit import chain
from kms.audit.chain import Placed, Verified
from kms.audit.entry import Mark, read_mark, write_mark
from kms.audit.forwarding import forward
from kms.audit.logins import local_user
from kms.audit.siem import FORMATS
from kms.audit.trail import AUDIT_USE, FILE, HEAD, Trail
from kms.errors import KmsError, VerificationError
from kms.keyring import KeyRing
from kms.keys import Key, PublicKey
from kms.tls.handshake import ACTION as HANDSHAKE
from kms.trust import TrustRoot
from schemas.manifests import KmsAudit, Outcome
from streams.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who used which key: show, verify, export for a SIEM.")

_COLOURS = {"SUCCESS": "green", "FAILURE": "yellow", "DENIED": "red"}

File = Annotated[
    Path | None, typer.Argument(help="An audit file; that of the platform's folder when not given.", show_default=False)
]
Topic = Annotated[bool, typer.Option("--topic", help="Read the topic kms.audit instead of a file.")]


@app.command()
def show(
    file: File = None,
    *,
    topic: Topic = False,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 50,
    denied: Annotated[bool, typer.Option("--denied", help="Only what was denied or failed.")] = False,
    home: Home = None,
) -> None:
    """Show the newest entries. Nothing is verified: `audit verify` does that."""
    found = deque((entry for entry in _entries(settings(home), file, topic) if not denied or entry.outcome != "SUCCESS"), last)
    table = screen.table("entry", "at (UTC)", "who", "from", "did", "key", "outcome", "detail", numbers=("entry",))
    for entry in found:
        outcome = f"[{_COLOURS[entry.outcome]}]{entry.outcome}[/]"
        key = entry.kid[:16] + (f" {entry.algorithm}" if entry.algorithm else "")
        when = f"{entry.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(f"{entry.sequence}", when, entry.actor, entry.source, entry.action, key, outcome, escape(_said(entry)))
    screen.console().print(table)


def _said(entry: KmsAudit) -> str:
    """An entry's detail for people: of a handshake what to think of it, which stands among much else."""
    if entry.action != HANDSHAKE:
        return entry.detail
    try:
        return str(json.loads(entry.detail)["finding"])
    except (ValueError, KeyError, TypeError):
        return entry.detail


@app.command()
def verify(
    file: File = None,
    *,
    topic: Topic = False,
    remember: Annotated[
        Path | None,
        typer.Option(help="A file of yours: what was seen last time must still stand, and what is seen now is written into it."),
    ] = None,
    trust: Annotated[
        Path | None, typer.Option(help="Trust root: the keys that you believe.", show_default="that of the platform's folder")
    ] = None,
    home: Home = None,
) -> None:
    """Verify the whole chain: an entry that was dropped, edited, reordered, doubled or cut off is named.

    Exit status 1 when anything does not hold. Who can write the file and its head can cut off its end unseen; --remember with a
    file elsewhere, or --topic, finds that, too.
    """
    chosen = settings(home)
    keys = TrustRoot.load(trust or chosen.home / TRUST).keys
    known = [mark for mark in (read_mark(remember) if remember else None,) if mark is not None]
    console = screen.console()
    if topic:
        verified = _verify_topic(chosen, keys, known)
    else:
        place = file or chosen.home / FILE
        head = read_mark(place.with_name(HEAD)) if file is None else None
        verified = [chain.verify(chain.lines(place), keys, [*known, *([head] if head else [])])]
    for one in verified:
        left = f", {one.unsealed} newer ones not sealed yet" if one.unsealed else ""
        console.print(f"[green]whole:[/] {escape(one.mark.chain)}, {one.entries:,} entries, {one.seals:,} seals{left}")
        if remember and (not known or known[0].chain == one.mark.chain):
            write_mark(remember, one.mark)


@app.command()
def export(
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")],
    file: File = None,
    *,
    topic: Topic = False,
    after: Annotated[int, typer.Option(min=0, help="Only entries behind this one: for what comes after the last time.")] = 0,
    home: Home = None,
) -> None:
    """Print the audit for a SIEM, a line an entry: OCSF API Activity (6003), syslog (RFC 5424), or the JSON that is chained."""
    if form not in FORMATS:
        raise typer.BadParameter(f"no format {form!r}; known: {', '.join(FORMATS)}", param_hint="--format")
    write = FORMATS[form]
    for entry in _entries(settings(home), file, topic):
        if entry.sequence > after:
            sys.stdout.write(write(entry) + "\n")


@app.command()
def publish(home: Home = None) -> None:
    """Send what the topic kms.audit does not have yet; the key service does so by itself, each second."""
    from streams.sync_client import SyncClient  # noqa: PLC0415 - most commands need no broker

    chosen = settings(home)
    with SyncClient(chosen, source="/kms") as client:
        sent = forward(chosen.home, lambda entries: client.publish_audit(*entries))
    typer.echo(f"{sent:,} entries sent")


def trail_of(chosen: Settings, ring: KeyRing) -> Trail:
    """The platform's audit, to be written by this command's user and sealed by keys of the ring, which has its token."""
    return Trail(chosen.home, chosen.origin, _user(), lambda: _sealing_keys(chosen, ring))


def record(
    chosen: Settings, ring: KeyRing, action: str, *, key: PublicKey | None, detail: str, outcome: Outcome = "SUCCESS"
) -> None:
    """Writes what a command did into the audit, and seals it where the ring was opened with its token.

    Raises:
        AuditUnwritable: it cannot be recorded.
        TokenError: it is recorded, but cannot be sealed.
    """
    user, about = _user(), (key.kid, key.algorithm) if key is not None else ("none", "")
    trail = trail_of(chosen, ring)
    trail.append(KmsAudit(kid=about[0], actor=user, action=action, outcome=outcome, algorithm=about[1], detail=detail))
    trail.seal()


def _sealing_keys(chosen: Settings, ring: KeyRing) -> list[Key]:
    """The keys that seal; those that had to be made are in the trust root at once, or nobody could verify the seal."""
    before = ring.revision()
    keys = ring.ensure(AUDIT_USE, LOG_SUITES)
    if ring.revision() != before:
        ring.public().save(chosen.home / TRUST)
    return keys


def _user() -> str:
    return f"cli:{local_user()}"[:128]


def _entries(chosen: Settings, file: Path | None, topic: bool) -> Iterator[KmsAudit]:
    if topic and file is not None:
        raise typer.BadParameter("either a file or --topic")
    if topic:
        yield from asyncio.run(_topic(chosen))
        return
    for entry, _ in chain.lines(file or chosen.home / FILE):
        yield entry


async def _topic(chosen: Settings) -> list[KmsAudit]:
    from streams.client import Client  # noqa: PLC0415 - most commands need no broker

    async with Client(chosen) as client, aclosing(client.records(KmsAudit)) as events:
        found = [event.record async for event in events]
    return sorted(found, key=lambda entry: (entry.chain, entry.sequence, entry.at))


def _verify_topic(chosen: Settings, keys: tuple[PublicKey, ...], known: list[Mark]) -> list[Verified]:
    chains = chain.records(asyncio.run(_topic(chosen)))
    for mark in known:
        chains.setdefault(mark.chain, [])
    return [_verify_chain(placed, keys, [mark for mark in known if mark.chain == name]) for name, placed in chains.items()]


def _verify_chain(placed: list[Placed], keys: tuple[PublicKey, ...], known: list[Mark]) -> Verified:
    try:
        return chain.verify(placed, keys, known)
    except VerificationError as error:
        name = placed[0][0].chain if placed else known[0].chain
        raise type(error)(f"chain {name}: {error}") from None


class recorded:  # noqa: N801 - reads as what it does: `with recorded(…) as did:`
    """For `with`: what is done inside becomes an entry, failed attempts, too.

    Set `key` to the key that it was about, and `detail` where more is known afterwards.

    Args:
        chosen: the settings.
        ring: opened with its token.
        action: what is done.
        detail: to what.
        refused: the errors that mean that it was denied.
    """

    def __init__(
        self, chosen: Settings, ring: KeyRing, action: str, detail: str, *, refused: type[BaseException] | tuple[()] = ()
    ) -> None:
        self._chosen, self._ring, self._action, self._refused = chosen, ring, action, refused
        self.detail = detail
        self.key: PublicKey | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        outcome: Outcome = "SUCCESS" if error is None else "DENIED" if isinstance(error, self._refused) else "FAILURE"
        detail = self.detail if error is None else f"{self.detail}: {error}"[:300]
        try:
            record(self._chosen, self._ring, self._action, key=self.key, detail=detail, outcome=outcome)
        except KmsError:
            if error is None:
                raise
