"""`quantumai kms serve`: the key service over TLS."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Home, settings


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.", min=1, max=65535)] = 8444,
    name: Annotated[
        list[str] | None, typer.Option(help="What clients call it; may be given again.", show_default="localhost and the address")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Your own certificate chain, PEM.", show_default="issued by the CA in the token")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.", show_default=False)] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(help="CA certificates, PEM: take client certificates of theirs.", show_default="none are asked for"),
    ] = None,
    plain: Annotated[bool, typer.Option("--no-tls", help="Plain HTTP, at the loopback address only.")] = False,
    home: Home = None,
) -> None:
    """Serve keys by REST until Ctrl-C: sign, verify, encapsulate, decapsulate, rotate, read the audit.

    Clients need a bearer token (`quantumai token issue`) or, with --client-ca, a certificate that clients.json gives roles.
    """
    from api.kms_service import service  # noqa: PLC0415 - only a service needs these
    from api.serving import own_certificate, renewing, take_clients  # noqa: PLC0415
    from api.serving import serve as run  # noqa: PLC0415
    from cli.kms_certificate import LIFETIME, issuer  # noqa: PLC0415

    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key come together")
    if plain and (tls_cert or client_ca):
        raise typer.BadParameter("--no-tls leaves no place for certificates")
    chosen = settings(home)
    app = service(chosen)
    if plain:
        run(app, host, port, None)
        return
    if tls_cert is not None and tls_key is not None:
        context = own_certificate(tls_cert, tls_key)
        if client_ca is not None:
            take_clients(context, client_ca)
        run(app, host, port, context)
        return
    names = name or ["localhost", *({host} - {"localhost", "0.0.0.0", "::"})]  # noqa: S104
    with renewing(issuer(chosen, names), LIFETIME / timedelta(seconds=1) * 2 / 3) as context:
        if client_ca is not None:
            take_clients(context, client_ca)
        run(app, host, port, context)
