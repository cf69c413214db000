"""`quantumai verify` and `export`: what an auditor does, with a broker or without."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cli import screen
from cli.options import From, Home, To, settings
from cli.second_opinion import CrossCheck, doubly
from cli.vouching import Anchored, Cosigned, Quorum, Witnesses, demands, show_vouched
from kms.epoch_memory import Memory, beside
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from kms.vouched import NOTHING, Demands, VouchedReport, VouchedVerifier
from schemas.codec import decode
from schemas.errors import InputError
from schemas.manifests import LogCheckpoint, ManifestSigned
from schemas.topics import TOPICS
from streams.evidence import AUDITED, Evidence, evidence
from streams.export import Bundle
from streams.export import export as write
from streams.messages import Message
from streams.ranges import Position

TrustFile = Annotated[
    Path | None,
    typer.Option(
        "--trust", help="Trust root: the public keys that you believe.", show_default="trust.json in the platform's folder"
    ),
]


def verify(
    file: Annotated[Path | None, typer.Argument(help="An exported file.", show_default="the topics")] = None,
    *,
    start: From = "beginning",
    stop: To = "end",
    trust: TrustFile = None,
    every_signature: Annotated[
        bool,
        typer.Option(
            "--every-signature",
            help="Check the signatures of every checkpoint; the newest of a log already vouch for all its leaves.",
        ),
    ] = False,
    past: Annotated[
        bool, typer.Option("--past", help="Take a log that ends under an older policy epoch than was seen: for an old export.")
    ] = False,
    cross_check: CrossCheck = False,
    cosigned: Cosigned = None,
    witnesses: Witnesses = None,
    quorum: Quorum = None,
    anchored: Anchored = None,
    home: Home = None,
) -> None:
    """Verify every manifest: signatures, logs, proofs, and that each event has its manifest and each manifest its event.

    Exit status 1, and every broken link by name, when anything does not hold. Beside the trust root the highest policy epoch that
    was seen is remembered: an older policy is refused from then on.
    """
    if file is not None and (start, stop) != ("beginning", "end"):
        raise typer.BadParameter("a file is verified whole: give --from and --to when it is exported")
    chosen = settings(home)
    place = trust or chosen.home / "trust.json"
    root, memory = TrustRoot.load(place), Memory.load(beside(place))
    memory.check(root.policy)
    root = doubly(root, screen.console()) if cross_check else root
    demanded = demands(cosigned, witnesses, quorum, anchored)
    if file:
        report, unreadable = verify_file(file, root, every_signature=every_signature, demanded=demanded)
    else:
        source = verify_topics(chosen.brokers, root, start, stop, every_signature=every_signature, demanded=demanded)
        report, unreadable = asyncio.run(source)
    held = show_report(screen.console(), report, unreadable)
    logs = {log: found.epoch for log, found in report.logs.items()}
    if not past and stop == "end":
        for log, number in logs.items():
            memory.check_log(log, number)
    if not held:
        raise typer.Exit(1)
    _remember(memory.seen(root.policy, logs), beside(place))


def _remember(memory: Memory, place: Path) -> None:
    try:
        memory.save(place)
    except OSError as error:
        screen.console(stderr=True).print(
            f"[yellow]{place} cannot be written ({error.strerror}): this policy epoch is not remembered[/]"
        )


def export(
    file: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)],
    start: From = "beginning",
    stop: To = "end",
    topic: Annotated[
        list[str] | None,
        typer.Option(help="A topic beside what `verify` needs; may be given again. --topic all takes all.", show_default=False),
    ] = None,
    home: Home = None,
) -> None:
    """Write events and their manifests to one file, which `quantumai verify FILE` checks without a broker.

    The file is an Avro Object Container File with the exact bytes of every message; any Avro tool reads it.
    """
    chosen = settings(home)
    trust = chosen.home / "trust.json"
    topics = list(TOPICS) if topic and "all" in topic else topic or []
    with screen.console(stderr=True).status("exporting") as shown:
        count = asyncio.run(
            write(
                chosen.brokers,
                file,
                start,
                stop,
                topics=topics,
                trust=trust if trust.exists() else None,
                progress=lambda written: shown.update(f"{written:,} messages"),
            )
        )
    typer.echo(f"{count:,} messages in {file}, {file.stat().st_size:,} bytes")


async def verify_topics(
    brokers: str,
    trust: TrustRoot,
    start: Position = "beginning",
    stop: Position = "end",
    *,
    every_signature: bool = False,
    demanded: Demands = NOTHING,
) -> tuple[VouchedReport, list[str]]:
    """Verifies what stands in the topics; the report, and messages that cannot be read.

    Raises:
        StreamsError: the topics cannot be read.
    """
    unreadable: list[str] = []
    async with aclosing(evidence(brokers, start, stop)) as source:
        found = await anext(source)
        assert isinstance(found, Evidence)  # noqa: S101 - it comes first
        verifier = _verifier(trust, found, every_signature, demanded)
        async for message in source:
            if not isinstance(message, Evidence):
                unreadable += _take(verifier, found, message)
    return verifier.finish(), unreadable


def verify_file(
    file: Path, trust: TrustRoot, *, every_signature: bool = False, demanded: Demands = NOTHING
) -> tuple[VouchedReport, list[str]]:
    """Verifies an exported file, without a broker.

    Raises:
        BundleError: it is no whole export.
    """
    bundle = Bundle(file)
    verifier = _verifier(trust, bundle.evidence, every_signature, demanded)
    unreadable = [reason for message in bundle for reason in _take(verifier, bundle.evidence, message)]
    return verifier.finish(), unreadable


def show_report(console: Console, report: VouchedReport, unreadable: list[str]) -> bool:
    """Prints the report; whether everything holds."""
    table = screen.table("log", "leaves", "root", "ends at", "epoch", numbers=("leaves", "epoch"))
    for log_id, log in report.logs.items():
        table.add_row(log_id, f"{log.size:,}", log.root.hex()[:16], f"{log.signed_at:%Y-%m-%d %H:%M:%S}", str(log.epoch))
    console.print(table)
    console.print(
        f"{report.manifests:,} manifests, {report.checkpoints:,} checkpoints ({report.signatures:,} with their signatures), "
        f"{report.matched:,} events matched with their manifests"
    )
    show_vouched(console, report)
    broken = [*unreadable, *(f"{type(error).__name__}: {error}" for error in report.errors)]
    for link in broken:
        console.print(f"[red]broken:[/] {escape(link)}")
    if not broken and not report.logs:
        console.print("[yellow]nothing stands in this range: there is nothing to verify[/]")
        return False
    console.print(f"[red]{len(broken)} broken link{'s' * (len(broken) != 1)}[/]" if broken else "[green]all of it holds[/]")
    return not broken


def _verifier(trust: TrustRoot, found: Evidence, every_signature: bool, demanded: Demands) -> VouchedVerifier:
    return VouchedVerifier(trust, demanded, audited=AUDITED, whole=found.whole, every_signature=every_signature, collect=True)


def _take(verifier: LogVerifier, found: Evidence, message: Message) -> Iterable[str]:
    """Hands the message to the verifier; says what cannot be read."""
    try:
        if message.topic == ManifestSigned.topic:
            verifier.manifest(decode(ManifestSigned, message.value))
        elif message.topic == LogCheckpoint.topic:
            verifier.checkpoint(decode(LogCheckpoint, message.value))
        elif message.topic in AUDITED:
            verifier.event(message.topic, message.event_id, message.digest, found.is_settled(message))
    except InputError as error:
        return [f"{message.place} cannot be read: {error}"]
    return []
