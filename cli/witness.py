"""`quantumai witness`: watch the logs with a memory of one's own, and cosign what continues them."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli import screen
from cli.options import Home, settings
from cli.token import TRUST, open_or_make
from kms.cosignature import KINDS, WitnessKey
from kms.errors import VerificationError
from kms.keyring import KeyRing
from kms.keys import Key
from kms.trust import TrustRoot
from kms.witness import Witness, WitnessMemory, alone
from schemas.codec import decode
from schemas.errors import InputError
from schemas.manifests import LogCheckpoint
from streams.connection import connected, reader
from streams.ranges import Span, spans
from streams.records import fetch
from streams.settings import Settings

WITNESS_USE = "witness"
Offsets = dict[tuple[str, int], int]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Watch the logs with a memory of your own, and cosign what continues them. Run it where the platform's operator is not.",
)

MemoryFile = Annotated[
    Path | None, typer.Option("--memory", help="What the witness has seen; public.", show_default="witness.json in its folder")
]


@app.command()
def run(
    trust: Annotated[Path, typer.Option("--trust", help="Trust root of the logs: a copy of yours.", show_default=False)],
    *,
    memory: MemoryFile = None,
    name: Annotated[str, typer.Option(help="The witness's name, a URL without its scheme.")] = "witness.local",
    algorithm: Annotated[str, typer.Option(help=f"What it cosigns with: {' or '.join(KINDS)}.")] = "ML-DSA-44",
    every: Annotated[int | None, typer.Option(min=1, help="Go on, and cosign every so many seconds.", show_default="once")] = None,
    home: Home = None,
) -> None:
    """Check every checkpoint since the last run against the memory, and cosign each log at its newest one.

    Exit status 1, and what is wrong with which log by name, where a log is not what was seen before; it is not cosigned then.
    """
    if algorithm not in KINDS:
        raise typer.BadParameter(f"{algorithm!r} is none; a witness cosigns with {' or '.join(KINDS)}")
    chosen = settings(home)
    place, root, out = memory or chosen.home / "witness.json", TrustRoot.load(trust), screen.console()
    with alone(place):
        witness, key = _key(chosen, name, algorithm)
        found: list[VerificationError] = []
        said = WitnessMemory.load(place) if place.exists() else WitnessMemory(witness.vkey, {})
        watching, offsets = Witness(said, root, found.append), Offsets()
        while True:
            _look(chosen.brokers, watching, offsets, out)
            said = watching.cosigned(witness, key)
            said.save(place)
            _say(out, said, found)
            if every is None:
                break
            time.sleep(every)
    if found:
        raise typer.Exit(1)


@app.command()
def show(
    memory: MemoryFile = None,
    key: Annotated[bool, typer.Option("--key", help="Print the verifier key only, for `verify --witnesses`.")] = False,
    home: Home = None,
) -> None:
    """Show what a witness has seen, as its cosigned checkpoints say it."""
    said = WitnessMemory.load(memory or settings(home).home / "witness.json")
    if key:
        typer.echo(said.vkey)
        return
    _say(screen.console(), said, [])
    typer.echo(said.vkey if len(said.vkey) < 200 else f"{said.vkey[:100]}… (--key prints all of it)")


def _key(chosen: Settings, name: str, algorithm: str) -> tuple[WitnessKey, Key]:
    """The witness's own key, in the token of its own folder."""
    ring = KeyRing.open(chosen.ring(), open_or_make(chosen)[0])
    [key] = ring.ensure(WITNESS_USE, (algorithm,))
    if not (chosen.home / TRUST).exists():
        ring.public().save(chosen.home / TRUST)
    return WitnessKey.of(name, key), key


def _look(brokers: str, witness: Witness, offsets: Offsets, out: Console) -> None:
    """Shows the witness what came since the last look."""

    def take(value: bytes, place: str) -> None:
        try:
            witness.checkpoint(decode(LogCheckpoint, value))
        except InputError as error:
            out.print(f"[red]{escape(place)} cannot be read:[/] {escape(str(error))}", highlight=False)

    asyncio.run(_read(brokers, offsets, take))


async def _read(brokers: str, offsets: Offsets, take: Callable[[bytes, str], None]) -> None:
    async with connected(reader(brokers, [LogCheckpoint.topic]), brokers) as consumer:
        ranges = await spans(consumer, brokers, "beginning", "end")
        ahead = {place: Span(max(span.start, offsets.get(place, 0)), span.stop) for place, span in ranges.items()}
        async with aclosing(fetch(consumer, brokers, ahead)) as batches:
            async for batch in batches:
                for message in batch:
                    take(message.value or b"", message.place)
        offsets.update({place: span.stop or 0 for place, span in ranges.items()})


def _say(out: Console, said: WitnessMemory, found: list[VerificationError]) -> None:
    table = screen.table("log", "leaves", "root", "checkpoint of", "cosigned at", numbers=("leaves",))
    witness = WitnessKey.read(said.vkey)
    for log_id in sorted(said.notes):
        note = said.note(log_id)
        seen, at = note.checkpoint, witness.verify(note)
        when = "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
        table.add_row(log_id, f"{seen.size:,}", seen.root.hex()[:16], f"{seen.signed_at:%Y-%m-%d %H:%M:%S}", when)
    out.print(table)
    for error in found:
        out.print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", highlight=False)
