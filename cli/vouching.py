"""What beside a log's own signatures `quantumai verify` asks for and reports: anchors and witnesses."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import screen
from kms.vouched import Demands, VouchedReport, read_witnesses
from kms.witness import WitnessMemory

Cosigned = Annotated[
    list[Path] | None,
    typer.Option("--cosigned", help="A witness's memory, as it gave it to you; may be given again.", show_default=False),
]
Witnesses = Annotated[
    Path | None,
    typer.Option("--witnesses", help="Verifier keys of the witnesses that you believe, one a line.", show_default=False),
]
Quorum = Annotated[
    int | None, typer.Option(min=1, help="How many witnesses must have cosigned each log.", show_default="as many as --cosigned")
]
Anchored = Annotated[
    int | None, typer.Option("--anchored-within", min=1, metavar="HOURS", help="Demand an anchor that is not older.")
]


def demands(cosigned: list[Path] | None, witnesses: Path | None, quorum: int | None, anchored: int | None) -> Demands:
    """What the options ask for.

    Raises:
        typer.BadParameter: cosignatures, or a number of them, without the witnesses to believe.
        TrustError, MalformedNote: a file cannot be used.
    """
    if witnesses is None and (cosigned or quorum):
        raise typer.BadParameter("say by --witnesses which witnesses you believe: a file of verifier keys (`witness show --key`)")
    believed = read_witnesses(witnesses.read_text().splitlines()) if witnesses else ()
    memories = tuple(WitnessMemory.load(path) for path in cosigned or ())
    since = None if anchored is None else datetime.now(UTC) - timedelta(hours=anchored)
    return Demands(believed, memories, (quorum or len(memories)) if witnesses else 0, since)


def show_vouched(console: Console, report: VouchedReport) -> None:
    """Prints who vouches for each log, and what that means; nothing where nobody does."""
    if not any(one.anchor or one.witnesses for one in report.vouched.values()):
        return
    table = screen.table(
        "log", "anchored up to", "anchor", "cosigned up to", "witnesses", numbers=("anchored up to", "cosigned up to")
    )
    for log_id, one in report.vouched.items():
        anchor = (
            ("", "") if one.anchor is None else (f"{one.anchor.size:,}", f"{one.anchor.signed_at:%Y-%m-%d %H:%M} {one.anchor.key}")
        )
        seen = f"{min(each.size for each in one.witnesses):,}" if one.witnesses else ""
        table.add_row(log_id, *anchor, seen, ", ".join(f"{each.witness} ({each.at:%Y-%m-%d %H:%M})" for each in one.witnesses))
    console.print(table)
    if any(one.anchor for one in report.vouched.values()):
        console.print("leaves below an anchor stand on SHA-2 alone: they outlast a break of lattices and of elliptic curves")
