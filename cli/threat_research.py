"""`quantumai threat research kernel | subgroups | walk`: open questions, each beside its classical control."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import screen

if TYPE_CHECKING:
    from threat.vqc.labelled import Labelled

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Quantum methods that are open research, each beside its classical control."
)

_EVENTS, _HELD = 4_000, 0.2

Data = Annotated[
    list[Path] | None,
    typer.Option(help="NSL-KDD files, or CSV with a column `label`.", show_default="the project's own generated events"),
]
Seed = Annotated[int, typer.Option(help="Of every random draw.", min=0)]


@app.command()
def kernel(
    *,
    data: Data = None,
    test: Annotated[list[Path] | None, typer.Option(help="Files that are scored once, when all else is done.")] = None,
    qubits: Annotated[int, typer.Option(help="Of the feature map.", min=2, max=10)] = 6,
    rows: Annotated[int, typer.Option(help="Events of the exact kernels.", min=50)] = 1_000,
    landmarks: Annotated[int, typer.Option(help="Of Nystrom's method, on all events.", min=2)] = 300,
    seed: Seed = 0,
) -> None:
    """Quantum kernel SVM against the RBF kernel: the same events, angles and tuning."""
    from threat.research.kernel import PUBLISHED, compare  # noqa: PLC0415 - Qiskit takes a second, help shall not wait
    from threat.vqc.labelled import halves, read  # noqa: PLC0415

    console, events = screen.console(), _events(data, seed)
    kept, held = halves(events.labels, _HELD, seed)
    sets = {"hold-out": events.take(held), **({"test": read(test)} if test else {})}
    names = [f"{of}, {figure}" for of in sets for figure in ("accuracy", "AUC")]
    shown = screen.table("kernel", "events", "bandwidth", "C", *names, "s", numbers=("events", "bandwidth", "C", *names, "s"))
    with console.status("kernels"):
        for line in compare(events.take(kept), sets, qubits=qubits, rows=rows, landmarks=landmarks, seed=seed):
            figures = _pairs(line.accuracy, line.auc)
            shown.add_row(line.kernel, f"{line.events:,}", f"{line.width:g}", f"{line.cost:g}", *figures, f"{line.seconds:.1f}")
    console.print(shown)
    said = screen.table("known before, NSL-KDD", "hold-out, accuracy", "hold-out, AUC", "test, accuracy", "test, AUC")
    for name, numbers in PUBLISHED.items():
        said.add_row(name, *("" if number is None else f"{number:.3f}" for number in numbers))
    console.print(said)


@app.command()
def subgroups(
    *,
    data: Data = None,
    selectors: Annotated[str, typer.Option(help="Numbers of conditions, with commas; a qubit each.")] = "10,15,18",
    shots: Annotated[int, typer.Option(help="Samples; the best of them counts.", min=1)] = 100,
    draws: Annotated[int, typer.Option(help="Repetitions of the sampling, for a mean.", min=1)] = 50,
    seed: Seed = 0,
) -> None:
    """QAOA for threat patterns against exact enumeration, beam search and random sampling."""
    from threat.research.subgroups import PUBLISHED, compare  # noqa: PLC0415 - as above

    console, events = screen.console(), _events(data, seed)
    headings = ("conditions", "best pattern", "its quality", "beam search", "QAOA p=1", "random", "known QAOA", "known random")
    shown = screen.table(
        *headings, title=f"quality / optimum, best of {shots} samples, mean of {draws} draws", numbers=headings[2:]
    )
    for size in _sizes(selectors):
        with console.status(f"{size} conditions"):
            line = compare(events, size, shots=shots, draws=draws, seed=seed)
        known = [f"{ratio:.3f}" for ratio in PUBLISHED.get(size, ())] or ["", ""]
        ratios = [f"{ratio:.3f}" for ratio in (line.beam, line.qaoa, line.random)]
        shown.add_row(str(line.selectors), line.best, f"{line.optimum:.4f}", *ratios, *known)
    console.print(shown)


@app.command()
def walk(
    *,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help='Files {"nodes": n, "snapshots": [[[i, j], ...], ...]}, or .json.gz.', show_default="a generated network"
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Trotter steps of the circuit.", min=1)] = 4,
    seed: Seed = 0,
) -> None:
    """Quantum walk for lateral movement, as link prediction, against the heat kernel; its circuit against expm."""
    from threat.research import walk as walks  # noqa: PLC0415 - as above

    console = screen.console()
    graphs = {path.name.split(".")[0]: walks.read(path) for path in data or ()} or {"generated": walks.generated(100, 8, seed)}
    headings = ("graph", *walks.SCORES, "Euler (published)")
    shown = screen.table(*headings, title=f"AUC of the links of the last {walks.TESTED} snapshots", numbers=headings[1:])
    for name, graph in graphs.items():
        line = walks.compare(name, graph, seed)
        euler = "" if line.euler is None else f"{line.euler:.4f}"
        shown.add_row(name, *(f"{line.auc[score]:.4f}" for score in walks.SCORES), euler)
    console.print(shown)
    small = walks.history(walks.generated(8, 4, seed).matrices)
    gates = walks.circuit(small, steps).count_ops()["cx"]
    distance = walks.distance(small, steps)
    console.print(f"circuit of 8 nodes, {steps} Trotter steps, {gates} CX: total variation distance to expm at most {distance:.1e}")


def _events(data: Sequence[Path] | None, seed: int) -> "Labelled":
    from threat.vqc import labelled  # noqa: PLC0415 - as above

    return labelled.read(data) if data else labelled.generated(_EVENTS, seed + 1)


def _pairs(first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    return [text for of in first for text in (f"{first[of]:.4f}", f"{second[of]:.4f}")]


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no numbers; write for example 10,15") from None
