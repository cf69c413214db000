"""`quantumai token issue`: bearer tokens for the REST services, signed in the token."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from api.bearer import LONGEST, TOKEN_USE, issue
from api.roles import Role
from cli.kms import length_of_time
from cli.kms_audit import recorded
from cli.options import Home, settings
from cli.token import TRUST, open_or_make
from kms.algorithms import SIGNATURES
from kms.keyring import KeyRing

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Bearer tokens for the REST services.")

SERVICES = ("kms", "policy", "threat")


@app.callback()
def main() -> None:
    """Bearer tokens for the REST services."""


@app.command("issue")
def issue_token(
    *,
    subject: Annotated[str, typer.Option(help="Who it is for: a name that audits show.", show_default=False)],
    role: Annotated[list[Role], typer.Option(help="What the subject may be; may be given again.", show_default=False)],
    audience: Annotated[
        list[str] | None,
        typer.Option(help=f"Service that takes it: {', '.join(SERVICES)}; may be given again.", show_default="kms"),
    ] = None,
    lifetime: Annotated[
        Any, typer.Option(parser=length_of_time, metavar="TIME", help=f"15m, 12h, 7d; at most {LONGEST.days}d.", show_default="1h")
    ] = None,
    algorithm: Annotated[str, typer.Option(help="Of the key that signs it; made when there is none.")] = "ECDSA-P384",
    home: Home = None,
) -> None:
    """Print a bearer token, signed by the active key of the use `api-token`; services find its public half in trust.json.

    A token cannot be taken back alone: `kms rotate` lets older ones run out, `kms revoke` ends all that the key has signed.
    """
    if algorithm not in SIGNATURES:
        raise typer.BadParameter(f"no signature algorithm {algorithm!r}; known: {', '.join(SIGNATURES)}")
    chosen = settings(home)
    token, _ = open_or_make(chosen)
    ring = KeyRing.open(chosen.ring(), token)
    [key] = ring.ensure(TOKEN_USE, [algorithm])
    services, span = audience or ["kms"], lifetime or timedelta(hours=1)
    given = f"a bearer token for {subject}: {', '.join(sorted(role))}, of {', '.join(services)}, for {span}"
    with recorded(chosen, ring, "token", given) as did:
        did.key = key.public
        made = issue(key, chosen.origin, subject=subject, roles=role, audience=services, lifetime=span)
    ring.count({key.public.kid: 1})
    ring.public().save(chosen.home / TRUST)
    typer.echo(made)
