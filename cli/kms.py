"""`quantumai kms`: the token, its keys, and what becomes of them."""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from cli import kms_audit, kms_import, kms_serve, kms_unlock, screen
from cli.key_ring import KIND, Kind, changer, done, existing_ring, kind_of, time_text, writer
from cli.kms_audit import recorded
from cli.options import AsJson, Home, settings
from cli.token import open_or_make, token_folder
from kms.algorithms import ALGORITHMS
from kms.anchor import anchor_times, ask_for_anchor
from kms.export import FORMS, export
from kms.keyring import KeyRing
from kms.keys import Place
from kms.ring_rows import Entry
from kms.rotation import Policy, due, policies, set_policy
from streams.errors import SettingsError
from streams.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="The token and its keys: what is there, make, rotate, retire, export. Private keys stay in the token.",
)

app.add_typer(kms_audit.app, name="audit")
app.command("serve")(kms_serve.serve)
app.command("import")(kms_import.import_key)
app.command("unlock")(kms_unlock.unlock)

_STATES = {"active": "green", "pre-active": "cyan", "revoked": "red", "destroyed": "dim"}
_SPAN = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def length_of_time(text: str) -> timedelta:
    """30s, 15m, 12h or 90d."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no length of time: write 30s, 15m, 12h or 90d")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def _to_come(text: str) -> datetime:
    if _SPAN.fullmatch(text):
        return datetime.now(UTC) + length_of_time(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 2026-11-21T08:30 (UTC), or 2h (from now: s, m, h, d)") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


KeyName = Annotated[str, typer.Argument(metavar="KEY", help="kid (8 characters of it are enough) or use/algorithm/version.")]
At = Annotated[Any, typer.Option("--at", parser=_to_come, metavar="TIME", help="2026-11-21T08:30 (UTC), or 2h from now.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

PLACES: Mapping[Place | None, str] = {
    "inside": "[green]inside[/]: made and used in the token, not extractable",
    "sealed": "[yellow]sealed[/]: the token's AES key seals it; in this process's memory while it is used",
    None: "[red]none[/]: this token can neither hold nor seal it",
}


@app.command()
def doctor(home: Home = None) -> None:
    """Say which kind of token this is, where each algorithm's keys live, and what that means."""
    chosen = settings(home)
    folder = token_folder(chosen)
    if chosen.pkcs11_module is None and not folder.is_dir():
        raise SettingsError(
            f"there is no token in {folder} yet: `quantumai up` makes one, or set QUANTUMAI_PKCS11_MODULE to a vendor's"
        )
    token, _ = open_or_make(chosen)
    device, out = token.device(), screen.console()
    places = {name: token.place(name) for name in ALGORITHMS}
    facts = screen.table("token", device.label)
    facts.add_row("module", f"{device.module} ({device.library})")
    facts.add_row("made by", f"{device.manufacturer} {device.model}".strip())
    facts.add_row("interface", f"PKCS#11 {device.interface}")
    facts.add_row("key ring", KeyRing.open(chosen.ring()).store.where)
    out.print(facts)
    algorithms = screen.table("algorithm", "bits", "standard", "private keys", numbers=("bits",))
    for name, row in ALGORITHMS.items():
        algorithms.add_row(name, str(row.bits), row.standard, PLACES[places[name]])
    out.print(algorithms)
    out.print(_meaning(places))


def _meaning(places: Mapping[str, Place | None]) -> str:
    if "sealed" not in places.values():
        return (
            "[green]Every private key is made and used inside this token[/]: whoever reads this machine's memory gets none of them."
        )
    return (
        "[yellow]This token does not know the post-quantum algorithms[/]: it seals their secrets, and a process that signs has the "
        "secret in its memory while it does. Whoever can read that memory can copy the key. A token that speaks PKCS#11 3.2 "
        "(`make setup` builds one) keeps them inside."
    )


@app.command()
def keys(
    everything: Annotated[bool, typer.Option("--all", help="Destroyed keys, too.")] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """List keys: versions, states, times, uses and the parts of logs that they signed."""
    entries = [entry for entry in existing_ring(settings(home)).entries() if everything or entry.public.state != "destroyed"]
    if as_json:
        typer.echo(json.dumps([_as_json(entry) for entry in entries], indent=2))
        return
    table = screen.table("key", "kid", "state", "from", "until", "uses", "private half", "logs", numbers=("uses",))
    for entry in entries:
        key, life = entry.public, entry.public.life
        state = f"[{_STATES.get(key.state, 'yellow')}]{key.state}[/]"
        logs = ", ".join(f"{part.log_id} {part.first}-{'' if part.last is None else part.last}" for part in key.ranges)
        place = "gone" if key.state == "destroyed" else "sealed" if entry.inside.sealed else "inside"
        place += ", imported" if entry.imported else ""
        table.add_row(
            key.label, key.kid[:16], state, time_text(life.activates), time_text(life.ends), f"{entry.uses:,}", place, logs
        )
    screen.console().print(table)


def _as_json(entry: Entry) -> dict[str, Any]:
    key = entry.public
    about = {"kid": key.kid, "use": key.use, "algorithm": key.algorithm, "version": key.version, "state": key.state}
    times = {name: time.isoformat() for name, time in asdict(key.life).items() if time is not None}
    logs = [asdict(part) for part in key.ranges]
    return {**about, **times, "uses": entry.uses, "token": entry.token, "imported": entry.imported or None, "logs": logs}


@app.command()
def create(kind: Kind, home: Home = None) -> None:
    """Make a new version: active where there is no active one, otherwise pre-active until it is scheduled."""
    chosen, (use, name) = settings(home), kind
    ring = writer(chosen)
    with recorded(chosen, ring, "create", f"{use}/{name}") as did:
        did.key = ring.create(use, name)
    done(ring, chosen, did.key)


@app.command()
def rotate(
    kind: Annotated[
        Any, typer.Argument(parser=kind_of, metavar=KIND, help="What to rotate; not given with --due.", show_default=False)
    ] = None,
    at: At = None,
    only_due: Annotated[bool, typer.Option("--due", help="Rotate what its policy says is due: for cron.")] = False,
    home: Home = None,
) -> None:
    """Make a new version that takes over; the old one then only verifies. Running signers notice by themselves."""
    if (kind is None) != only_due or (only_due and at is not None):
        raise typer.BadParameter("say either what to rotate (and --at when), or --due")
    chosen = settings(home)
    if only_due:
        _rotate_due(chosen)
        return
    ring, (use, name) = writer(chosen), kind
    with recorded(chosen, ring, "rotate", f"{use}/{name}") as did:
        did.key = ring.rotate(use, name, at)
    done(ring, chosen, did.key)


def _rotate_due(chosen: Settings) -> None:
    found = due(existing_ring(chosen))
    if not found:
        typer.echo("nothing is due")
        return
    ring = writer(chosen)
    for key, why in found:
        typer.echo(f"{key.label}: {why}")
        with recorded(chosen, ring, "rotate", f"{key.use}/{key.algorithm}, due: {why}") as did:
            did.key = ring.rotate(key.use, key.algorithm)
        done(ring, chosen, did.key)


@app.command()
def schedule(
    key: KeyName,
    at: Annotated[Any, typer.Option("--at", parser=_to_come, metavar="TIME", help="When it takes over.")],
    home: Home = None,
) -> None:
    """Let a pre-active version take over at a time."""
    chosen = settings(home)
    ring = changer(chosen)
    with recorded(chosen, ring, "schedule", f"{key} at {at}") as did:
        did.key = ring.schedule(key, at)
    done(ring, chosen, did.key)


@app.command()
def disable(key: KeyName, yes: Yes = False, home: Home = None) -> None:
    """Let an active key sign no more; what it signed still verifies. A signer that needs one makes the next version."""
    _change(key, "disable", yes, home, "signs no more, for ever")


@app.command()
def deprecate(key: KeyName, yes: Yes = False, home: Home = None) -> None:
    """Mark a key whose signatures should be replaced; they still verify, and it makes no new ones."""
    _change(key, "deprecate", yes, home, "signs no more, for ever")


@app.command()
def revoke(key: KeyName, yes: Yes = False, home: Home = None) -> None:
    """Let nothing count that a key ever signed, and let it decapsulate no more: for a key that somebody else has."""
    _change(key, "revoke", yes, home, "loses all that it ever signed")


@app.command()
def destroy(key: KeyName, yes: Yes = False, home: Home = None) -> None:
    """Delete a key's private half; what it signed still verifies, what was encapsulated for it is lost."""
    _change(key, "destroy", yes, home, "is deleted from the token: there is no way back")


@app.command()
def public(
    key: KeyName,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMS)}.")] = "pem",
    home: Home = None,
) -> None:
    """Print a public key: PEM or DER (SubjectPublicKeyInfo), raw bytes, or JWK."""
    sys.stdout.buffer.write(export(existing_ring(settings(home)).key(key), form))


@app.command()
def policy(
    kind: Annotated[
        Any, typer.Argument(parser=kind_of, metavar=KIND, help="Whose policy to set; none: list all.", show_default=False)
    ] = None,
    max_age: Annotated[
        Any, typer.Option(parser=length_of_time, metavar="TIME", help="How long a version may be active: 90d.")
    ] = None,
    max_uses: Annotated[int | None, typer.Option(min=1, help="How often a version may be used.", show_default=False)] = None,
    home: Home = None,
) -> None:
    """Say when keys are due for rotation; `kms rotate --due`, from cron for example, then rotates them."""
    chosen = settings(home)
    ring = existing_ring(chosen) if kind is None else changer(chosen)
    if kind is not None:
        use, name = kind
        with recorded(chosen, ring, "policy", f"{use}/{name}: at most {max_age or 'any age'}, {max_uses or 'any number of'} uses"):
            set_policy(ring, Policy(use, name, max_age, max_uses))
    elif max_age is not None or max_uses is not None:
        raise typer.BadParameter(f"say whose policy this is: {KIND}")
    table = screen.table("keys", "longest", "most uses", numbers=("most uses",))
    for one in policies(ring):
        table.add_row(f"{one.use}/{one.algorithm}", str(one.max_age or ""), "" if one.max_uses is None else f"{one.max_uses:,}")
    screen.console().print(table)


@app.command()
def anchor(home: Home = None) -> None:
    """Have each log signed by SLH-DSA, too, within some seconds; by itself that is done once a day.

    `quantumai verify` says how far each log is anchored.
    """
    chosen = settings(home)
    ring = changer(chosen)
    with recorded(chosen, ring, "anchor", "every log is to be anchored"):
        ask_for_anchor(ring)
    table = screen.table("log", "last anchored (UTC)")
    for name, at in sorted(anchor_times(ring).items()):
        if name.startswith("anchored "):
            table.add_row(name.removeprefix("anchored "), time_text(datetime.fromtimestamp(at, UTC)))
    screen.console().print(table)
    typer.echo("asked: running signers anchor their logs now")


def _change(name: str, transition: str, yes: bool, home: Any, what: str) -> None:
    chosen = settings(home)
    ring = changer(chosen)
    key = ring.key(name)
    if not yes:
        typer.confirm(f"{key.label} ({key.kid[:16]}), {key.state}, {what}. Go on?", abort=True)
    with recorded(chosen, ring, transition, key.label) as did:
        did.key = key
        key = ring.change(key.kid, transition)
    done(ring, chosen, key)
