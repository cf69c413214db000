"""`quantumai tls server | client | demo`: hybrid TLS by policy, and what each end negotiated."""

import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli import screen
from cli.key_ring import has_ring
from cli.kms_certificate import CA_FILE, authority, ca_ring
from cli.options import Home, settings
from cli.tls_records import recording
from kms.tls import matrix
from kms.tls.authority import read_roots
from kms.tls.channel import connect
from kms.tls.contexts import client_context
from kms.tls.errors import TlsError
from kms.tls.handshake import Handshake
from kms.tls.policies import DEFAULT, POLICIES, policy
from kms.tls.relaying import relay
from kms.tls.serving import Listener, Renewing, say
from schemas.record import now

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Hybrid TLS by policy, with a CA whose key stays in the token.")

_POLICIES = ", ".join(POLICIES)
PolicyName = Annotated[str, typer.Option("--policy", help=f"One of {_POLICIES}.")]
Publish = Annotated[bool, typer.Option("--publish", help="Send every handshake to the topic kms.audit, before it is served.")]


@app.command()
def server(
    *,
    policy_name: PolicyName = DEFAULT,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8443,
    name: Annotated[
        list[str] | None, typer.Option(help="What clients call it; may be given again.", show_default="localhost and the address")
    ] = None,
    hours: Annotated[float, typer.Option(help="Lifetime of its certificates; new ones come in time.", min=0.01, max=168)] = 24.0,
    forward: Annotated[
        str,
        typer.Option(help="host:port of a plain TCP service that serves the clients.", show_default="tells what was negotiated"),
    ] = "",
    publish: Publish = False,
    home: Home = None,
) -> None:
    """Listen, serve each client, and print each handshake; until Ctrl-C or SIGTERM.

    Its keys are made here, live in memory and are never written down. Each handshake is an entry of the audit, before it is served.
    """
    chosen, rules, behind = settings(home), policy(policy_name), _address(forward) if forward else None
    service = (lambda channel, _: relay(channel, behind)) if behind else say
    ring = ca_ring(chosen)
    context = Renewing(authority(chosen, ring), rules, name or ["localhost", host], timedelta(hours=hours))
    with recording(chosen, ring, publish) as record:

        def report(handshake: Handshake) -> None:
            found = f"{handshake.negotiated}: " if handshake.negotiated else ""
            typer.echo(f"{now():%H:%M:%S} {handshake.outcome} {handshake.peer[0]} {found}{handshake.finding}")
            record(handshake)

        with Listener(rules.name, context, report, service=service, host=host, port=port) as listener:
            at = f"[{host}]" if ":" in host else listener.address[0]
            typer.echo(f"policy {rules.name} at {at}:{listener.address[1]}; clients need {chosen.home / CA_FILE}")
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                typer.echo("stopped")


@app.command()
def client(
    address: Annotated[str, typer.Argument(help="host:port of the server.", show_default=False)],
    *,
    policy_name: PolicyName = DEFAULT,
    ca: Annotated[
        Path | None, typer.Option(help="CA certificates to trust, PEM.", show_default=f"{CA_FILE} in the platform's folder")
    ] = None,
    name: Annotated[str, typer.Option(help="What the server must be called.", show_default="its host")] = "",
    publish: Publish = False,
    home: Home = None,
) -> None:
    """Connect once, verify the server, and print what was negotiated.

    Where the folder is a platform's, the handshake is an entry of its audit, also one that was refused. Exit status 1 when there is
    no connection, and why.
    """
    chosen, rules, there = settings(home), policy(policy_name), _address(address)
    context = client_context(rules, read_roots(ca or chosen.home / CA_FILE))
    with recording(chosen, ca_ring(chosen) if has_ring(chosen) else None, publish) as record:
        channel, handshake = connect(context, *there, rules.name, name=name, report=record)
        channel.close()
    typer.echo(f"{handshake.negotiated}: {handshake.finding}")


@app.command()
def demo(publish: Publish = False, home: Home = None) -> None:
    """Try every kind of client against every policy, downgrade attacks too, and print what each pair negotiated.

    Exit status 1 when an attack goes through or a policy is not kept.
    """
    chosen = settings(home)
    ring = ca_ring(chosen)
    with recording(chosen, ring, publish) as record:
        cells = matrix.run(authority(chosen, ring)(), record)
    console = screen.console()
    console.print(_table(cells))
    console.print(
        "plain-list is no policy: it shows what the usual group list X25519MLKEM768:X25519 does in the key-share trap.",
        markup=False,
    )
    wrong = matrix.broken(cells)
    if wrong:
        raise TlsError("; ".join(wrong))
    console.print("[green]no attack went through, and every policy was kept[/]")


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{text!r} is no host:port")
    return host.strip("[]"), int(port)


def _table(cells: dict[tuple[str, str], matrix.Cell]) -> Table:
    servers = list(dict.fromkeys(server for _, server in cells))
    table = screen.table("client", *(f"server: {server}" for server in servers))
    table.show_lines = True
    for name in dict.fromkeys(client for client, _ in cells):
        table.add_row(name, *(_coloured(cells[name, server]) for server in servers))
    return table


def _coloured(cell: matrix.Cell) -> str:
    found = cell.server.negotiated if cell.server is not None else None
    if not cell.connected or found is None:
        return f"[red]{escape(str(cell))}[/]"
    downgraded = cell.server is not None and cell.server.finding.startswith("downgrade")
    return f"[{'yellow' if downgraded else 'green' if found.post_quantum else 'cyan'}]{escape(str(cell))}[/]"
