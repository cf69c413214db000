"""`quantumai manifest`: manifests of runs outside Kafka, and single ones out of the logs; made, signed, verified, shown."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import typer
from rich.markup import escape

from cli import screen
from cli.kms_audit import recorded
from cli.one_manifest import find
from cli.options import Home, settings
from cli.second_opinion import CrossCheck, doubly
from cli.token import TRUST, open_or_make
from cli.vouching import Witnesses
from kms import documents
from kms.bundle import bundle, read_bundle, verify_bundle
from kms.cosignature import WitnessKey
from kms.dsse import Envelope, read_envelope
from kms.envelope import Link, manifest_in, verify_envelope
from kms.epoch_memory import Memory, beside
from kms.errors import NotWitnessed, Unsigned, VerificationError
from kms.hook import signing
from kms.keyring import KeyRing
from kms.statement import Method, Statement, about_its_job, file_artifact, predicate, read_statement, statement
from kms.suites import suites
from kms.trust import TrustRoot
from kms.vouched import read_witnesses
from schemas.manifests import LogCheckpoint, ManifestSigned
from streams.errors import SettingsError
from streams.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Manifests of single runs: make, sign, verify, show. JSON and YAML; files, or - for standard input.",
)

NAME = "LOG/INDEX, the id of the event that the manifest is about, or its subject, such as a job's id."
File = Annotated[
    Path | None, typer.Option("--file", help="A file of `quantumai export`.", show_default="the topics", dir_okay=False)
]
Source = Annotated[str, typer.Argument(metavar="FILE", help="JSON or YAML; - is standard input.")]
Form = Annotated[Literal["json", "yaml"], typer.Option("--format", help="How to write it.")]
Target = Annotated[
    Path | None, typer.Option("--out", "-o", help="Where to write it.", show_default="standard output", dir_okay=False)
]
TrustFile = Annotated[
    Path | None,
    typer.Option("--trust", help="Trust root: the public keys that you believe.", show_default="that of the platform's folder"),
]


@app.command()
def generate(
    job_id: Annotated[str, typer.Option("--job-id", help="The run's name.", show_default=False)],
    *,
    backend: Annotated[str | None, typer.Option(help="Where it ran, or is to run.", show_default=False)] = None,
    pqc_suite: Annotated[
        str, typer.Option(help="KEM:SIGNATURE, families or parameter sets. A classical signature always comes beside.")
    ] = "ML-KEM:ML-DSA",
    em_method: Annotated[str | None, typer.Option(help="Error mitigation: zne, ml-qem, …", show_default=False)] = None,
    shots: Annotated[int | None, typer.Option(min=0, help="All shots together.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="The run's seed.", show_default=False)] = None,
    inputs: Annotated[list[Path] | None, typer.Option("--input", help="A file that went in; may be given again.")] = None,
    outputs: Annotated[list[Path] | None, typer.Option("--output", help="A file that came out; may be given again.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Only the manifest, to look at or edit; sign it later.")] = False,
    form: Form = "json",
    out: Target = None,
    home: Home = None,
) -> None:
    """Make the manifest of a run and sign it, classically and post-quantum, by keys of the token."""
    facts = {
        "backend": backend,
        "method": None if em_method is None else Method(name=em_method),
        "shots": shots,
        "seeds": {} if seed is None else {"run": str(seed)},
        "inputs": [file_artifact(path) for path in inputs or ()],
    }
    made = statement(predicate(job_id, suites(pqc_suite), **facts), [file_artifact(path) for path in outputs or ()])
    _write(made.document() if unsigned else _signed(made, settings(home)).document(), form, out)


@app.command()
def sign(source: Source, form: Form = "json", out: Target = None, home: Home = None) -> None:
    """Sign a manifest, by every suite that it names itself; what is signed already is signed anew."""
    document = _read(source)
    made = manifest_in(read_envelope(document)) if "payloadType" in document else read_statement(document)
    _write(_signed(about_its_job(made), settings(home)).document(), form, out)


@app.command()
def export(
    named: Annotated[str, typer.Argument(metavar="NAME", help=NAME)],
    file: File = None,
    form: Form = "json",
    out: Target = None,
    home: Home = None,
) -> None:
    """Write one manifest of the logs as a bundle, complete: `manifest verify` needs the trust root beside it and nothing else."""
    chosen = settings(home)
    trust = chosen.home / TRUST
    manifest, head = _one(named, chosen, file)
    _write(bundle(manifest, head, TrustRoot.load(trust) if trust.exists() else None), form, out)


@app.command()
def verify(
    source: Source,
    *,
    trust: TrustFile = None,
    cross_check: CrossCheck = False,
    witnesses: Witnesses = None,
    quorum: Annotated[int, typer.Option(min=0, help="How many witnesses must have cosigned a bundle's checkpoint.")] = 0,
    home: Home = None,
) -> None:
    """Verify a manifest or a bundle offline, link by link.

    Exit status 1, and the link that broke, when it does not hold.
    """
    place, out = trust or settings(home).home / TRUST, screen.console()
    root = TrustRoot.load(place)
    Memory.load(beside(place)).check(root.policy)
    root = doubly(root, out) if cross_check else root
    believed = read_witnesses(witnesses.read_text().splitlines()) if witnesses else ()
    try:
        for link in _links(_read(source), root, believed, quorum):
            out.print(f"[green]holds[/]  {escape(link.name)}: {escape(link.says)}", highlight=False)
    except VerificationError as error:
        out.print(f"[red]broken[/] {type(error).__name__}: {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error
    out.print("[green]all of it holds[/]")


def _links(document: dict[str, Any], trust: TrustRoot, witnesses: Sequence[WitnessKey], quorum: int) -> Iterator[Link]:
    if "mediaType" in document:
        return verify_bundle(read_bundle(document), trust, witnesses, quorum)
    if "_type" in document:
        raise Unsigned("nobody has signed this manifest: `quantumai manifest sign` does")
    if quorum:
        raise NotWitnessed("a manifest outside of the logs has no witnesses: leave out --quorum")
    return verify_envelope(read_envelope(document), trust)


@app.command()
def show(
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSON or YAML; - is standard input.")] = "",
    *,
    from_log: Annotated[str | None, typer.Option("--from-log", metavar="NAME", help=f"Instead of FILE: {NAME}")] = None,
    file: File = None,
    form: Form = "yaml",
    out: Target = None,
    home: Home = None,
) -> None:
    """Show what a manifest says, and which keys its signatures name. Nothing is verified."""
    if (from_log is None) != bool(source):
        raise typer.BadParameter("say either which FILE to show, or by --from-log which manifest of the logs")
    document = bundle(*_one(from_log, settings(home), file)) if from_log else _read(source)
    if "_type" in document:
        _write(read_statement(document).document(), form, out)
    elif "mediaType" in document:
        found = read_bundle(document)
        place = {"log": found.entry.log_id, "index": found.entry.index, "event": found.entry.event.model_dump()}
        _write({"manifest": documents.read_json(found.envelope.payload), **place, "checkpoint": found.entry.checkpoint}, form, out)
    else:
        envelope = read_envelope(document)
        said = documents.read_json(envelope.payload)
        _write({"manifest": said, "signatures": [one.keyid for one in envelope.signatures]}, form, out)


def _one(named: str, chosen: Settings, file: Path | None) -> tuple[ManifestSigned, LogCheckpoint]:
    found = find(named, chosen.brokers, file)
    if len(found) > 1:
        names = ", ".join(f"{manifest.log_id}/{manifest.index} ({manifest.event_topic})" for manifest, _ in found[:20])
        raise typer.BadParameter(f"{len(found)} manifests are about {named}; name one of them: {names}")
    return found[0]


def _signed(made: Statement, chosen: Settings) -> Envelope:
    """Signed by the platform's token, which is recorded; its trust root then has the keys."""
    ring = KeyRing.open(chosen.ring(), open_or_make(chosen)[0])
    with recorded(chosen, ring, "sign", f"the manifest of job {made.predicate.job.job_id}") as did:
        signed = signing(ring)(made)
        did.key = ring.key(signed.signatures[0].keyid)
    ring.public().save(chosen.home / TRUST)
    return signed


def _read(source: str) -> dict[str, Any]:
    try:
        opened: Any = nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise SettingsError(f"{source} cannot be read: {error.strerror}") from error
    with opened as content:
        stream: IO[bytes] = content
        document = documents.read(stream)
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{source} holds no manifest: it is a {type(document).__name__}, not an object with fields")
    return document


def _write(document: Any, form: str, out: Path | None) -> None:
    text = documents.write(document, form)
    if out is None:
        sys.stdout.write(text)
        return
    draft = out.with_name(out.name + ".part")
    draft.write_text(text)
    draft.replace(out)
