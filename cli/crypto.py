"""`quantumai crypto`: what is used for what, which signatures are required when, and how to get from one to the next."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from cli import screen
from cli.crypto_drill import drill
from cli.crypto_migrate import Expires, described, when
from cli.crypto_migrate import app as migrate
from cli.key_ring import existing_ring
from cli.kms_audit import recorded
from cli.kms_certificate import CA_FILE
from cli.log_heads import heads_if_any
from cli.options import AsJson, Home, settings
from cli.token import TRUST, open_or_make
from kms.epoch_ring import read_policy
from kms.epochs import PHASES, Epoch, Policy
from kms.errors import MalformedPolicy
from kms.inventory import cbom, inventory
from kms.keyring import KeyRing
from kms.migration import announce, begin
from kms.tls.authority import read_roots
from schemas.record import now

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Algorithms in use, the policy that demands them, moving to post-quantum signatures, and what to do when one breaks.",
)
policy = typer.Typer(no_args_is_help=True, add_completion=False, help="Which suites must sign, by epoch; it never goes backwards.")
app.add_typer(policy, name="policy")
app.add_typer(migrate, name="migrate")
app.command()(drill)

_FILE_FIELDS = ("required", "allowed", "broken")


@app.command(name="inventory")
def inventory_(
    out: Annotated[Path | None, typer.Option(help="Write a CycloneDX 1.6 CBOM (JSON) there.", show_default="a table")] = None,
    home: Home = None,
) -> None:
    """List live keys, certificates, algorithms and protocols, what depends on them, and until when NIST lets them be used."""
    chosen = settings(home)
    ring, ca = existing_ring(chosen), chosen.home / CA_FILE
    assets = inventory(ring.entries(), read_roots(ca) if ca.exists() else [], read_policy(ring.store))
    if out is not None:
        out.write_text(json.dumps(cbom(assets, now(), version("quantumai")), indent=2) + "\n")
        typer.echo(f"{len(assets)} assets in {out}")
        return
    table = screen.table("kind", "name", "state", "quantum computer", "until", "for")
    for asset in assets:
        found = asset.deadline
        until = f"{found.disallowed}" + (f" (deprecated after {found.deprecated})" if found.deprecated else "")
        breaks = "[red]breaks it[/]" if found.vulnerable else "[green]stands[/]"
        kind = {"related-crypto-material": "key", "application": "use"}.get(asset.kind, asset.kind)
        table.add_row(kind, escape(asset.name), asset.state, breaks, until if found.disallowed else "", escape(asset.says))
    screen.console().print(table)
    screen.console().print(
        "until: NIST IR 8547 (initial public draft); logs and manifests stand as long as one of their suites does", highlight=False
    )


@policy.command()
def show(as_json: AsJson = False, home: Home = None) -> None:
    """List the epochs of the policy."""
    known = read_policy(existing_ring(settings(home)).store)
    if as_json:
        typer.echo(json.dumps([epoch.document for epoch in known.epochs], indent=2))
        return
    screen.console().print(_table(known))


@policy.command()
def apply(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PHASE|FILE", help=f"{', '.join(PHASES)}, or a JSON file with `required` and perhaps `allowed` and `broken`."
        ),
    ],
    expires: Expires = None,
    home: Home = None,
) -> None:
    """Add an epoch that takes over in two seconds, in running signers too; on a system that has signed nothing, set the first one.

    What demands just what is in force adds nothing. With --expires, renew in time: nothing is signed under an expired policy.
    """
    chosen, wanted = settings(home), _read(what)
    ring = KeyRing.open(chosen.ring(), open_or_make(chosen)[0])
    heads, known = heads_if_any(chosen.brokers), read_policy(ring.store)
    fresh = known == Policy() and not heads and not any(entry.uses for entry in ring.entries())
    with recorded(chosen, ring, "policy.apply", what) as did:
        if fresh:
            made = begin(ring, wanted["required"], heads, expires)
        else:
            made = announce(ring, wanted.pop("required"), **wanted, expires=expires)
        did.detail = described(made)
    ring.public().save(chosen.home / TRUST)
    typer.echo(described(made))


def _read(what: str) -> dict[str, Any]:
    if what in PHASES:
        return {"required": PHASES[what]}
    try:
        document = json.loads(Path(what).read_text())
    except FileNotFoundError:
        raise MalformedPolicy(f"{what!r} is neither a phase ({', '.join(PHASES)}) nor a file") from None
    except ValueError as error:
        raise MalformedPolicy(f"the policy {what} is no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("required"), list):
        raise MalformedPolicy(f"the policy {what} is no JSON object with a list `required` of algorithms")
    if unknown := sorted(set(document) - set(_FILE_FIELDS)):
        known = ", ".join(_FILE_FIELDS)
        raise MalformedPolicy(f"the policy {what} has unknown fields {', '.join(unknown)}; known: {known}: correct them")
    return document


def _table(known: Policy) -> Any:
    table = screen.table("epoch", "phase", "must sign", "from (UTC)", "until", "broken", numbers=("epoch",))
    in_force = known.at(now()).number
    for epoch in known.epochs:
        state = " (in force)" if epoch.number == in_force else " (to come)" if epoch.number > in_force else ""
        table.add_row(str(epoch.number), epoch.phase + state, *_row(epoch))
    return table


def _row(epoch: Epoch) -> tuple[str, ...]:
    until = "" if epoch.expires is None else f"expires {when(epoch.expires)}"
    return " and ".join(epoch.required), when(epoch.begins), until, ", ".join(epoch.broken)
