"""What every REST service's command offers, and how it serves: over TLS by a certificate of the platform's CA, or by your own."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from streams.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

Host: TypeAlias = Annotated[str, typer.Option(help="Address to listen at.")]
Port: TypeAlias = Annotated[int, typer.Option(help="Port.", min=1, max=65535)]
Names: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--name", help="What clients call it; may be given again.", show_default="localhost and the address"),
]
TlsCert: TypeAlias = Annotated[
    Path | None, typer.Option(help="Your own certificate chain, PEM.", show_default="issued by the CA in the token")
]
TlsKey: TypeAlias = Annotated[Path | None, typer.Option(help="Its private key, PEM.", show_default=False)]
ClientCa: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="CA certificates, PEM: take client certificates of theirs.", show_default="none are asked for"),
]
Plain: TypeAlias = Annotated[bool, typer.Option("--no-tls", help="Plain HTTP, at the loopback address only.")]


def serve_over_tls(
    app: "FastAPI",
    chosen: Settings,
    host: str,
    port: int,
    *,
    names: list[str] | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    plain: bool,
) -> None:
    """Serves until Ctrl-C or SIGTERM, as the options say."""
    from api.serving import own_certificate, renewing, serve, take_clients  # noqa: PLC0415 - only a service needs these
    from cli.kms_certificate import LIFETIME, issuer  # noqa: PLC0415

    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key come together")
    if plain and (tls_cert or client_ca):
        raise typer.BadParameter("--no-tls leaves no place for certificates")
    if plain:
        serve(app, host, port, None)
        return
    if tls_cert is not None and tls_key is not None:
        context = own_certificate(tls_cert, tls_key)
        if client_ca is not None:
            take_clients(context, client_ca)
        serve(app, host, port, context)
        return
    called = names or ["localhost", *({host} - {"localhost", "0.0.0.0", "::"})]  # noqa: S104
    with renewing(issuer(chosen, called), LIFETIME / timedelta(seconds=1) * 2 / 3) as context:
        if client_ca is not None:
            take_clients(context, client_ca)
        serve(app, host, port, context)
