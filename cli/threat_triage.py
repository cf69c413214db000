"""`quantumai threat triage`: how many attacks of a labelled data set the stages miss, each stage's part shown."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli import screen

if TYPE_CHECKING:
    from threat.triage.measure import Line

SHOWN = 8


def triage(
    *,
    train: Annotated[Path, typer.Option(help="NSL-KDD file to learn from; all thresholds come from it.")],
    test: Annotated[Path, typer.Option(help="NSL-KDD file that is scored once, when all else is fixed.")],
    seed: Annotated[int, typer.Option(help="Of forests, folds, weights and clusters.", min=0)] = 0,
) -> None:
    """Fit boosting, novelty and the quantum classifier on one file, fix all thresholds there, and score another once.

    An event counts as caught by its final level. A few minutes on two cores.
    """
    from threat.triage.measure import measure  # noqa: PLC0415 - scikit-learn and Qiskit take seconds, help shall not wait for them
    from threat.triage.nslkdd import read  # noqa: PLC0415

    console = screen.console()
    with console.status("reading") as shown:
        found = measure(read(train), read(test), seed, shown.update)
    console.print(_table("stage", found.stages, found.attacks), _table("control", found.controls, found.attacks), sep="\n")
    rest = ", ".join(f"{kind} {count} of {all_}" for kind, count, all_ in found.missed[:SHOWN])
    console.print(f"missed most: {rest}")


def _table(what: str, lines: "Iterable[Line]", attacks: int) -> Table:
    numbers = (f"missed of {attacks:,}", "added", "false positives", "accuracy")
    made = screen.table(what, *numbers, numbers=numbers)
    for line in lines:
        added = "" if line.added is None else f"{line.added:,}"
        made.add_row(line.name, f"{line.missed:,}", added, f"{line.false_positives:.2%}", f"{line.accuracy:.4f}")
    return made
