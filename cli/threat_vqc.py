"""`quantumai threat train | baseline`: makes the quantum classifier, and shows it beside its controls."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli import screen

if TYPE_CHECKING:
    from threat.vqc.learning import Line

SHARE = 0.2
"""Of the events, held out."""

GENERATED = 20_000

DATA = Path(__file__).parents[1] / "threat" / "vqc" / "data"
"""The model that the platform uses."""


def train(
    *,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="NSL-KDD files, or CSV with a column `label`.", show_default="the project's own generated events"),
    ] = None,
    test: Annotated[list[Path] | None, typer.Option(help="Files that are scored once, when all else is done.")] = None,
    qubits: Annotated[int, typer.Option(help="Of the circuit.", min=2, max=10)] = 4,
    epochs: Annotated[int, typer.Option(help="Passes over the events.", min=1)] = 60,
    batch: Annotated[int, typer.Option(help="Events per step.", min=1)] = 250,
    starts: Annotated[int, typer.Option(help="Random starts; the best after a tenth of the epochs goes on.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Of the held-out events, of weights and of batches.", min=0)] = 0,
    with_controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Train and measure the controls, too.")] = True,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path(".quantumai/vqc"),
) -> None:
    """Train the quantum classifier on labelled events; a fifth is held out, and its controls get the same events.

    Writes model.npz, model.json and card.md. The model that comes with the package: `quantumai threat train --out threat/vqc/data`.
    """
    from threat.vqc import labelled  # noqa: PLC0415 - Qiskit takes a second to import, help shall not wait for it
    from threat.vqc.card import card  # noqa: PLC0415
    from threat.vqc.circuit import Architecture  # noqa: PLC0415
    from threat.vqc.learning import controls, learn, measure  # noqa: PLC0415
    from threat.vqc.training import Settings  # noqa: PLC0415

    console = screen.console()
    events = labelled.read(data) if data else labelled.generated(GENERATED, seed + 1)
    kept, held = labelled.halves(events.labels, SHARE, seed)
    learned, sets = events.take(kept), {"hold-out": events.take(held)}
    about = {
        "data": ", ".join(path.name for path in data) if data else f"generated, seed {seed + 1}",
        "seed": seed,
        "events": len(kept),
        "held_out": len(held),
    }
    settings = Settings(epochs, batch, starts=starts, seed=seed)
    with _progress(console) as progress:
        task = progress.add_task(f"training {qubits} qubits on {len(kept):,} events", total=epochs)
        model = learn(learned, Architecture(qubits), settings, about, lambda done, _: progress.update(task, completed=done))
        seconds = progress.tasks[0].elapsed or 0.0
    if test:
        sets["test"] = labelled.read(test)
    lines = [measure(model.name, model.score, sets, seconds)]
    if with_controls:
        with console.status("controls"):
            lines += controls(learned, model, sets, settings)
    _show(lines, console)
    model.save(out)
    named = "".join(f" --data {path.name}" for path in data or ()) + "".join(f" --test {path.name}" for path in test or ())
    command = f"quantumai threat train{named} --qubits {qubits} --epochs {epochs} --batch {batch} --starts {starts} --seed {seed}"
    (out / "card.md").write_text(card(model, lines, command))
    console.print(f"model {model.name}, version {model.version}, and its card: {out}")


def baseline(
    *,
    model: Annotated[Path, typer.Option(help="Folder of the classifier.", show_default="the one in the package")] = DATA,
    samples: Annotated[Path, typer.Option(help="Folder of the samples.")] = Path("examples/threats"),
    write: Annotated[Path | None, typer.Option(help="Write the page to this file.")] = None,
) -> None:
    """Ask the NumPy baseline and the quantum classifier about the 20 sample threats."""
    from datetime import UTC, datetime  # noqa: PLC0415 - as above

    from threat.vqc.model import load  # noqa: PLC0415
    from threat.vqc.samples import compare, page  # noqa: PLC0415

    console, loaded = screen.console(), load(model)
    found = compare(loaded, samples)
    shown = screen.table("sample", "what it is", "truth", "baseline", "VQC", title=f"{loaded.name} {loaded.version}")
    for answer in found.answers:
        marks = ["" if right else " [red]wrong[/]" for right in answer.right]
        says = (f"{answer.baseline:.3f}{marks[0]}", f"{answer.vqc:.3f}{marks[1]}")
        shown.add_row(answer.name, answer.title, "threat" if answer.threat else "benign", *says)
    console.print(shown)
    for place, name in enumerate(("NumPy baseline", "VQC, exact")):
        console.print(f"{name}: {found.accuracy[place]:.0%} right, {1 / found.seconds[place]:,.0f} events / s")
    if write:
        write.write_text(page(loaded, found, f"{datetime.now(UTC):%Y-%m-%d}"))
        console.print(f"written: {write}")


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)


def _show(lines: "Sequence[Line]", console: Console) -> None:
    from threat.vqc.card import headings, row  # noqa: PLC0415

    names = headings(lines)
    shown = screen.table(*names, numbers=names[1:])
    for line in lines:
        shown.add_row(*row(line))
    console.print(shown)
