"""`quantumai em train`: makes the learned method's model, and measures it on what it has not seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import screen
from em.learned.card import HEADINGS, card, row
from em.learned.cases import OUTSIDE, SETTINGS, cases
from em.learned.devices import UNSEEN
from em.learned.drift import days
from em.learned.evaluation import Line, lines, scores
from em.learned.model import DATA, shipped

SHOTS = 10_000
"""Of every run of the evaluation, as in Liao et al."""


def train(
    *,
    seed: Annotated[int, typer.Option(help="Of circuits, calibrations, shots and forests.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the model.", show_default="the one that methods use")] = DATA,
    circuits: Annotated[int, typer.Option(help="Circuits of each setting to measure on.")] = 30,
    fit: Annotated[bool, typer.Option("--fit/--no-fit", help="Make a model, or measure the one that is there.")] = True,
    drift: Annotated[
        Path | None, typer.Option(help="Folder of a real ibm_perth's daily properties: measured on these, too.")
    ] = None,
) -> None:
    """Fit the learned method to simulated devices, and compare it with its controls on devices that it has not seen."""
    console = screen.console()
    if fit:
        from em.learned.training import Sizes  # noqa: PLC0415 - scikit-learn takes seconds, other commands shall not wait for it
        from em.learned.training import train as learn  # noqa: PLC0415

        learn(seed, out, Sizes(), console.print)
    model, numbers = shipped(out), range(circuits)
    other = int(model.about["seed"]) + 2
    console.print("measuring on devices, calibrations and circuits that the model has not seen")
    inside = lines(scores(cases(SETTINGS, numbers, UNSEEN, other, shots=(SHOTS,)), out))
    real = lines(scores(days(drift, numbers, other, SHOTS), out)) if drift else []
    outside = lines(scores(cases(OUTSIDE, range(circuits // 2), UNSEEN, other, shots=(SHOTS,)), out))
    _show([*inside, *real], "in range: mean |error| in units of the observable's bound", console)
    _show(outside, "out of range: the physical estimate stands in where it abstains", console)
    command = f"quantumai em train --seed {model.about['seed']} --circuits {circuits}{' --drift FOLDER' if drift else ''}"
    (out / "card.md").write_text(card(model, [*inside, *real], outside, command))
    console.print(f"model and card: {out}")


def _show(found: Sequence[Line], title: str, console: Console) -> None:
    table = screen.table(*HEADINGS, title=title, numbers=HEADINGS[1:10])
    for line in found:
        table.add_row(*row(line))
    console.print(table)
