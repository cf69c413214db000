"""`quantumai threat train | baseline | benchmark`: makes the quantum classifier, shows it beside its controls, times its jobs."""

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

BACKENDS = "aer_ideal,aer_noisy,fake_manila,fake_jakarta,fake_guadalupe"

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


def benchmark(
    *,
    backends: Annotated[str, typer.Option(help="With commas; ibm:DEVICE, too, with IBM_QUANTUM_TOKEN.")] = BACKENDS,
    jobs: Annotated[int, typer.Option(help="Events in a burst, of the 20 samples.", min=1, max=20)] = 3,
    shots: Annotated[int, typer.Option(help="Of each, before mitigation.", min=1)] = 1024,
    levels: Annotated[str, typer.Option(help="Transpile levels, with commas.")] = "0,1,2,3",
    model: Annotated[Path, typer.Option(help="Folder of the classifier.", show_default="the one in the package")] = DATA,
    samples: Annotated[Path, typer.Option(help="Folder of the samples.")] = Path("examples/threats"),
    out: Annotated[Path, typer.Option(help="Folder of latency.parquet and latency.png.")] = Path(".quantumai/latency"),
) -> None:
    """Measure submit, queue, execution and result of the classifier's jobs: backends x transpile levels x T-REx and ZNE.

    Jobs come in a burst and run one after another. The NumPy engine is the control.
    """
    from backends.local import LocalBackend  # noqa: PLC0415 - as above
    from backends.registry import load as connect  # noqa: PLC0415
    from threat.vqc import latency  # noqa: PLC0415
    from threat.vqc.model import load  # noqa: PLC0415
    from threat.vqc.samples import features_of  # noqa: PLC0415

    console, loaded, events = screen.console(), load(model), features_of(samples)[:jobs]
    chosen = _levels(levels)
    fleet = connect([name.strip() for name in backends.split(",")], workers=1)
    found = list(latency.exact(loaded, events))
    try:
        with _progress(console) as progress:
            task = progress.add_task("starting", total=len(fleet) * len(chosen) * len(latency.TREATMENTS))
            fleet.warm()
            for backend in fleet.values():
                for level in chosen:
                    for method in latency.TREATMENTS:
                        progress.update(task, description=f"{backend.name}, level {level}, {method}")
                        local = isinstance(backend, LocalBackend)
                        found += latency.burst(loaded, events, backend, level=level, method=method, shots=shots, simulated=local)
                        progress.advance(task)
    finally:
        fleet.close()
        if found:
            out.mkdir(parents=True, exist_ok=True)
            latency.write(found, out / "latency.parquet")
    lines = latency.medians(found)
    names = ("compile", "submit", "queue", "execute", "total", "device")
    shown = screen.table(
        *("backend", "level", "mitigation", "2q gates", "shots", *(f"{name}, ms" for name in names), "mean |error|"),
        title=f"{loaded.name}, medians of {jobs} jobs; error of the probability of a threat",
        numbers=("level", "2q gates", "shots", *(f"{name}, ms" for name in names), "mean |error|"),
    )
    for line in lines:
        times = [f"{getattr(line, f'{name}_seconds') * 1000:.2f}" for name in names]
        said = (str(line.level) if line.level >= 0 else "", latency.TREATMENTS.get(line.method, line.method))
        shown.add_row(line.backend, *said, str(line.two_qubit_gates), str(line.shots), *times, f"{line.error:.3f}")
    console.print(shown)
    latency.plot(lines, out / "latency.png")
    console.print(f"every job: {out / 'latency.parquet'}; plot: {out / 'latency.png'}")


def _levels(text: str) -> list[int]:
    if not text or set(text.split(",")) - set("0123"):
        raise typer.BadParameter(f"{text!r} are no transpile levels; write for example 0,3")
    return [int(level) for level in text.split(",")]


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console)


def _show(lines: "Sequence[Line]", console: Console) -> None:
    from threat.vqc.card import headings, row  # noqa: PLC0415

    names = headings(lines)
    shown = screen.table(*names, numbers=names[1:])
    for line in lines:
        shown.add_row(*row(line))
    console.print(shown)
