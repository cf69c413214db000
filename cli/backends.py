"""`quantumai backends`: which there are, and what the transpiler makes of a circuit on one of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from backends.calibration import FAULTY
from backends.device import Device
from backends.registry import BACKENDS, DEFAULT, FAMILIES, load
from backends.transpilation import figures
from cli import screen
from cli.options import AsJson
from schemas.calibration import CalibrationUpdated
from streams.jobfile import load_job

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="List backends; compare what each transpile level makes of a circuit.",
)


@app.command("list")
def list_backends(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these; all that are listed when not given.")
    ] = None,
) -> None:
    """List backends: size, errors, what does not work, queue and price; and how further ones are named."""
    made = screen.table(
        *_HEADINGS, numbers=[heading for heading in _HEADINGS if heading not in ("backend", "provider", "calibrated")]
    )
    for name in names or BACKENDS:
        made.add_row(*_row(load([name])[name].calibration(), name in DEFAULT))
    console = screen.console()
    console.print(made)
    if not names:
        further = ", ".join(written for written, _ in FAMILIES.values())
        console.print(f"* runs where QUANTUMAI_BACKENDS is not set. Further ones by name: {further}", markup=False)


@app.command()
def transpile(
    file: Annotated[Path, typer.Argument(help="A .qasm file, or a job file: its first circuit.")],
    backend: Annotated[str, typer.Option("--backend", "-b", help="On which backend.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the layout and routing search; jobs run with 0.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compile a circuit at levels 0 to 3 and compare: depth, gates, estimated fidelity, time.

    A job asks for a level by `optimization_level`.
    """
    calibration = load([backend])[backend].calibration()
    found = figures(Device(calibration), load_job(file).circuits[0], seed)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found]))
        return
    made = screen.table(
        *_FIGURES, title=f"{file.name} on {backend}, calibration {calibration.calibration_id[:12]}", numbers=_FIGURES
    )
    for each in found:
        made.add_row(
            str(each.level),
            str(each.depth),
            str(each.two_qubit_gates),
            str(each.one_qubit_gates),
            f"{each.estimated_fidelity:.4f}",
            f"{each.circuit_seconds * 1e6:.2f}",
            f"{each.compile_seconds * 1e3:.0f}",
        )
    screen.console().print(made)


_HEADINGS = ("backend", "provider", "qubits", "faulty", "median 2q error", "median readout error", "queue", "USD/s", "calibrated")
_FIGURES = ("level", "depth", "2q gates", "1q gates", "estimated fidelity", "circuit µs", "compiled in ms")


def _row(calibration: CalibrationUpdated, default: bool) -> list[str]:
    working = [gate for gate in calibration.gates if gate.error < FAULTY]
    faulty = len(calibration.gates) - len(working) + sum(not qubit.operational for qubit in calibration.qubits)
    readout = [(qubit.prob_meas0_prep1 + qubit.prob_meas1_prep0) / 2 for qubit in calibration.qubits]
    return [
        f"{calibration.backend}{' *' if default else ''}",
        calibration.provider,
        str(len(calibration.qubits)),
        str(faulty),
        _median(gate.error for gate in working if len(gate.qubits) == 2),
        _median(readout),
        str(calibration.queue_length),
        f"{calibration.price.per_second_usd:g}",
        f"{calibration.taken_at:%Y-%m-%d}",
    ]


def _median(values: Iterable[float]) -> str:
    found = list(values)
    return f"{median(found):.2e}" if found else ""
