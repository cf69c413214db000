"""What every REST service's command offers, and how it serves: over TLS by a certificate of the platform's CA, or by your own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from kms.tls.policies import DEFAULT, POLICIES
from streams.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from OpenSSL import SSL

    from kms.tls.handshake import Handshake

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
TlsPolicy: TypeAlias = Annotated[str, typer.Option("--tls-policy", help=f"One of {', '.join(POLICIES)}.")]
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
    policy_name: str = DEFAULT,
    audited: bool = False,
) -> None:
    """Serves until Ctrl-C or SIGTERM, as the options say.

    Args:
        app: the service.
        chosen: the settings.
        host: to listen at.
        port: there.
        names: that clients call it by.
        tls_cert: a certificate of one's own, with `tls_key`; None: by the CA in the token.
        tls_key: its key.
        client_ca: whose certificates clients may show.
        plain: no TLS.
        policy_name: of TLS.
        audited: each handshake is an entry of the audit; otherwise it is logged.
    """
    from api.hybrid_tls import Terms  # noqa: PLC0415 - only a service needs these
    from api.serving import serve  # noqa: PLC0415
    from cli.kms_certificate import authority, ca_ring  # noqa: PLC0415
    from kms.tls.contexts import own_context, take_clients  # noqa: PLC0415
    from kms.tls.policies import policy, taking_rsa  # noqa: PLC0415
    from kms.tls.serving import Renewing  # noqa: PLC0415

    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key come together")
    if plain and (tls_cert or client_ca):
        raise typer.BadParameter("--no-tls leaves no place for certificates")
    rules = taking_rsa(policy(policy_name))
    if plain:
        serve(app, host, port, None)
        return

    def prepare(context: "SSL.Context") -> None:
        if client_ca is not None:
            take_clients(context, client_ca)

    with _reporting(chosen, audited) as report:
        if tls_cert is not None and tls_key is not None:
            own = own_context(rules.server, tls_cert, tls_key)
            prepare(own)
            serve(app, host, port, Terms(rules.name, lambda: own, report))
            return
        called = names or ["localhost", *({host} - {"localhost", "0.0.0.0", "::"})]  # noqa: S104
        renewing = Renewing(authority(chosen, ca_ring(chosen)), rules, called, prepare=prepare)
        serve(app, host, port, Terms(rules.name, renewing, report))


@contextmanager
def _reporting(chosen: Settings, audited: bool) -> "Iterator[Callable[[Handshake], None]]":
    """What is told of each handshake, beside the log."""
    from cli.kms_audit import trail_of  # noqa: PLC0415
    from cli.kms_certificate import ca_ring  # noqa: PLC0415
    from kms.audit.sealing import Sealer  # noqa: PLC0415

    if not audited:
        yield lambda _: None
        return
    trail = trail_of(chosen, ca_ring(chosen))

    def report(handshake: "Handshake") -> None:
        trail.append(handshake.audit())

    with Sealer(trail):
        yield report
