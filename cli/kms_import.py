"""`quantumai kms import`: refused, unless it is named and a reason is given."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli import screen
from cli.key_ring import Kind, changer, done
from cli.kms_audit import recorded
from cli.options import Home, settings
from kms.errors import ImportRefused
from kms.importing import MOST_BYTES, read_private_key
from streams.errors import SettingsError


def import_key(
    kind: Kind,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The private key: PKCS#8, PEM or DER; - is standard input.", show_default="none")
    ] = "",
    reason: Annotated[
        str, typer.Option(help="Why a key that was made elsewhere is let in; without it none is.", show_default=False)
    ] = "",
    home: Home = None,
) -> None:
    """Refuse, and record, a private key that was made elsewhere; with --reason take it in, and say for ever that it was.

    It then has the next version, as `create` makes one. The token gives it out no more, but nobody can say where else it is.
    """
    chosen, (use, name) = settings(home), kind
    if reason and not file:
        raise typer.BadParameter("name the FILE that holds the private key")
    ring = changer(chosen)
    with recorded(chosen, ring, "import", f"{use}/{name}", refused=ImportRefused) as did:
        if not reason:
            raise ImportRefused(
                "keys are made in the token and not imported: nobody can say where else one from outside is. `quantumai kms create "
                f"{use}/{name}` makes one. Where an old key must come in, name its file and say why: --reason TEXT"
            )
        did.detail = f"{use}/{name}, made elsewhere: {reason}"
        did.key = ring.adopt(use, read_private_key(name, _content(file), _passphrase), reason)
    done(ring, chosen, did.key)
    left = f"[yellow]the private key still stands in {escape(file)}: delete every copy[/]"
    screen.console(stderr=True).print(left, highlight=False)


def _content(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(MOST_BYTES + 1)
        with Path(file).open("rb") as content:
            return content.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error


def _passphrase() -> str:
    return str(typer.prompt("Passphrase of the private key", hide_input=True, err=True))
