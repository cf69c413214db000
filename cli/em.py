"""`quantumai em run | show | report | nightly`: error mitigation measured."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from cli import screen
from cli.em_train import train
from em.errors import EmError
from em.harness import night
from em.harness.devices import Devices, connected
from em.harness.documents import write
from em.harness.events import events
from em.harness.hardware import MAX_USD, WAIT_SECONDS, Hardware
from em.harness.lineage import git_commit
from em.harness.plan import Scope
from em.harness.regression import compare
from em.harness.report import report
from em.harness.run import Ran, run
from em.harness.store import Store
from em.harness.summary import Line, alike, lines, said
from em.harness.terminal import chart
from streams.sync_client import SyncClient

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure error mitigation: families x methods x budgets x backends."
)

HOME = Path(".quantumai/em")
_FAMILIES, _METHODS, _MORE, _COPIES, _BACKENDS = map(
    ",".join, (night.FAMILIES, night.METHODS, night.MORE, night.COPIES, night.BACKENDS)
)
_BUDGETS = ",".join(map(str, night.BUDGETS))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in _names(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no whole numbers of shots; write for example 1024,4096") from None


Families = Annotated[str, typer.Option(help="Circuit families, with commas.")]
Methods = Annotated[str, typer.Option(help="Mitigation methods, with commas.")]
_BUDGETS_HELP = "Shots per circuit and group of observables, with commas."
_CIRCUITS_HELP = "Circuits of each family."
Budgets = Annotated[str, typer.Option(help=_BUDGETS_HELP)]
Backends = Annotated[str, typer.Option(help="Devices, with commas.")]
Workers = Annotated[int, typer.Option(help="Processes.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the results; a run goes on where the last one there stopped.")]


@app.command("run")
def run_command(
    *,
    families: Families = _FAMILIES,
    methods: Methods = _METHODS,
    budgets: Annotated[str | None, typer.Option(help=_BUDGETS_HELP, show_default="1024,4096,16384; 4096 with --quick")] = None,
    backends: Backends = "aer_noisy,fake_jakarta",
    circuits: Annotated[int | None, typer.Option(help=_CIRCUITS_HELP, show_default="20; 2 with --quick")] = None,
    qubits: Annotated[int | None, typer.Option(help="Of all circuits.", show_default="drawn from the family's sizes")] = None,
    depth: Annotated[int | None, typer.Option(help="Of all circuits.", show_default="drawn from the family's depths")] = None,
    seed: Annotated[int, typer.Option(help="Of circuits, twirls and shots.")] = 0,
    out: Folder = HOME / "runs",
    workers: Workers = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Two circuits of each family and one budget, unless said.")] = False,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulate ibm:DEVICE and mock, too, and send them nothing.")] = False,
    max_usd: Annotated[
        float, typer.Option(help="What all jobs on ibm:DEVICE and mock may cost; no more are sent.", min=0)
    ] = MAX_USD,
    wait: Annotated[float, typer.Option(help="Seconds to wait for those jobs; the next run asks again.", min=0)] = WAIT_SECONDS,
) -> None:
    """Measure what is not measured yet, and show all of the folder's results.

    On ibm:DEVICE and mock each task is a job that they run; all other backends are simulated here.
    Exit status 1 when a task failed; the next run tries it again.
    """
    shots = _numbers(budgets or ("4096" if quick else "1024,4096,16384"))
    number = (2 if quick else 20) if circuits is None else circuits
    scope = Scope(_names(families), number, _names(methods), shots, _names(backends), seed, seed, qubits, depth)
    store = Store(out)
    devices = connected(scope.backends, simulate)
    ran = measured(scope, store, workers, devices, Hardware(devices.hardware, max_usd, wait))
    display(store, screen.console())
    if ran.failed or ran.problems:
        raise EmError("; ".join([*ran.problems, *_failures(ran)]))


app.command()(train)


@app.command("report")
def report_command(out: Folder = HOME / "runs") -> None:
    """Write report.html and report.pdf into the folder of results."""
    there = night.Night(datetime.now(UTC).date(), out.name, out)
    if not len(there.rows):
        raise EmError(f"there are no results in {out}; make some with `quantumai em run`")
    _say_written(write(report(there, None), out))


@app.command()
def nightly(
    *,
    families: Families = _FAMILIES,
    methods: Methods = _METHODS,
    more: Annotated[str, typer.Option(help="Methods on a tenth of the circuits, on two devices with two budgets.")] = _MORE,
    copies: Annotated[
        str, typer.Option(help="Methods that run two copies: the same, on circuits of four qubits and devices of eight and more.")
    ] = _COPIES,
    budgets: Budgets = _BUDGETS,
    backends: Backends = _BACKENDS,
    circuits: Annotated[int, typer.Option(help=_CIRCUITS_HELP)] = night.CIRCUITS,
    seed: Annotated[int | None, typer.Option(help="Of twirls and shots.", show_default="another each night")] = None,
    history: Annotated[int, typer.Option(help="Earlier nights to compare with.")] = 14,
    out: Annotated[Path, typer.Option(help="Folder of the nights, each a folder of its own.")] = HOME / "nights",
    workers: Workers = 2,
    publish: Annotated[bool, typer.Option("--publish", help="Send the results as em.measured events.")] = False,
) -> None:
    """Measure the same circuits as every night, compare with the nights before, write a report; all of it simulated.

    Exit status 1 when results moved although no version did, or a task failed; sentences say what, and since which commit.
    """
    day, commit = datetime.now(UTC).date(), git_commit()
    given = (_names(families), circuits, _names(methods), _numbers(budgets), _names(backends))
    scope = Scope(*given, seed=night.seed_of(day, commit) if seed is None else seed)
    devices = connected(scope.backends, simulate=True)
    scope = replace(scope, backends=devices.there(scope.backends))
    qubits = {name: len(found.qubits) for name, found in devices.simulated.items()}
    scopes = night.scopes(scope, _names(more), _names(copies), qubits)
    tonight = night.tonight(out, day, commit, scopes)
    runs = [measured(each, tonight.store, workers, devices) for each in scopes]
    runs += [measured(each, tonight.replay, workers, devices) for each in night.replayed(scopes)]
    earlier = night.history(out, tonight, history)
    compared = compare(tonight, earlier)
    display(tonight.store, screen.console())
    _say_written(write(report(tonight, compared, earlier), tonight.folder))
    if publish:
        with SyncClient(source="/clients/nightly") as client:
            typer.echo(f"{client.publish_measured(events(tonight.rows))} em.measured events sent")
    moved = [move.sentence for move in compared.regressions]
    failed = [sentence for ran in runs for sentence in _failures(ran)]
    problems = dict.fromkeys(problem for ran in runs for problem in ran.problems)
    if moved or problems or failed:
        raise EmError("; ".join([*moved, *problems, *failed]))
    if compared.deaf:
        names = ", ".join(compared.deaf)
        typer.echo(f"warning: too few circuits, devices and nights for any change to raise an alarm in {names}", err=True)
    if not earlier:
        typer.echo("the first night: there is nothing to compare it with yet")
    else:
        typer.echo(f"nothing moved since the {len(earlier)} nights before ({compared.tested} tests)")


@app.command()
def show(out: Folder = HOME / "runs") -> None:
    """Show results: accuracy and price of each method, and what failed."""
    display(Store(out), screen.console())


def measured(scope: Scope, store: Store, workers: int, devices: Devices, hardware: Hardware | None = None) -> Ran:
    """Runs with a progress bar; backends that cannot be reached are left out, and said."""
    console = screen.console(stderr=True)
    scope = replace(scope, backends=devices.there(scope.backends))
    for name in scope.backends:
        console.print(devices.said(name), end="")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("tasks", total=scope.size)

        def progress(ran: Ran) -> None:
            bar.update(task, completed=ran.measured + ran.failed + ran.skipped + ran.repeated)

        def waiting() -> None:
            console.print(f"another run is writing to {store.root}; waiting for its end")

        with terminated_as_interrupted():
            ran = run(scope, store, devices.simulated, hardware=hardware, workers=workers, progress=progress, waiting=waiting)
    ran.problems += [f"{name} took no part: {why}" for name, why in devices.absent.items()]
    twice = f", {ran.repeated} repeat others (small families draw a circuit again)" if ran.repeated else ""
    there = f"{ran.skipped} were there already{twice}, {ran.failed} failed; in {store.root}"
    console.print(f"{ran.measured} tasks measured in {ran.seconds:.1f} s, {there}")
    return ran


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends what stands inside as Ctrl-C does, so that its processes and semaphores are put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failures(ran: Ran) -> Iterator[str]:
    """What failed, and what to do."""
    if ran.failed - ran.refused:
        yield f"{ran.failed - ran.refused} tasks failed: run the same again"
    if ran.refused:
        yield f"{ran.refused} tasks cannot be done as they are asked for: see why above, and ask otherwise"


def display(store: Store, console: Console) -> None:
    """The table and the chart of a store's results; its failures, and files that were set aside.

    Raises:
        EmError: there are no results.
    """
    rows = store.read()
    failures = store.failures()
    for sentence in store.problems():
        console.print(f"[yellow]{escape(sentence)}[/]")
    if not len(rows) and not len(failures):
        raise EmError(f"there are no results in {store.root}; make some with `quantumai em run`")
    found = lines(rows)
    if found:
        console.print(_table(found), _bars(found, alike(rows)), sep="\n")
    reasons = Counter(zip(*(failures[name].to_pylist() for name in ("family", "method", "error")), strict=True))
    for (family, method, error), count in sorted(reasons.items()):
        console.print(f"[red]failed[/] {count} x {family}/{method}: {escape(error)}")


def _say_written(places: tuple[Path, Path]) -> None:
    typer.echo(f"report: {places[0]} and {places[1].name}")


def _table(found: list[Line]) -> Table:
    numbers = ("estimates", "mean |error|", "raw", "gain", "RMSE", "within 2 s.e.", "shots", "USD", "abstained")
    table = screen.table("family", "method", *numbers, title="errors in units of the observable's bound", numbers=numbers)
    for line in found:
        control = said(line.raw_error, ".4f"), f"{line.gain:.2f}x" if said(line.gain, "") else ""
        cells = (f"{line.error:.4f}", *control, f"{line.rmse:.4f}", f"{line.covered:.0%}")
        cost = (f"{line.shots:,.0f}", f"{line.cost_usd:.2f}", str(line.abstained or ""))
        table.add_row(*map(str, line.key), str(line.values), *(cells if line.values else [""] * 5), *cost)
    return table


def _bars(found: list[Line], groups: list[tuple[str, list[str]]]) -> str:
    """A chart for each group of methods that were measured on the same circuits, devices and budgets."""
    drawn, several = [], Counter(family for family, _ in groups)
    for family, methods in groups:
        if several[family] > 1 and len(methods) == 1:
            continue  # nothing to compare it with
        same = f", of {len(methods)} methods measured on the same circuits, devices and budgets" if several[family] > 1 else ""
        drawn.append(f"[bold]{family}[/]: mean |error|, the best first{same}")
        members = [line for line in found if line.key[0] == family and line.key[1] in methods]
        drawn += [f"  {name:<30}[cyan]{length:<40}[/] {error}" for name, length, error in chart(members)]
    return "\n".join(drawn)
