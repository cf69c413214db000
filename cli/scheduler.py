"""`quantumai scheduler simulate | explain`: scoring policies on a fleet that drifts, and a decision term by term."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli import screen
from cli.options import Home, settings
from cli.policy_options import store
from cli.scheduler_plot import plot
from cli.scheduler_world import Drifting, Fleet, Recorded, World
from policy.store import Asked
from scheduler.errors import WorkloadError
from scheduler.outcome import Line, line, table
from scheduler.scorings import SCORINGS, scoring
from scheduler.simulation import Simulation
from scheduler.workload import Capacity, drawn, recorded
from schemas.jobs import BackendScore, JobRequested, JobRouted
from streams.client import Client
from streams.export import Bundle
from streams.messages import Received, typed

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Try scoring policies on a simulated fleet; explain a decision.")

HOME = Path(".quantumai/scheduler")
START = datetime(2023, 1, 1, tzinfo=UTC)
SYNTHETIC = "synthetic"
_HEADINGS = ("completion", "95 %", "fidelity", "USD", "fairness", "SLA hits", "moved", "rejected")


@app.command()
def simulate(
    workload: Annotated[str, typer.Argument(help="`synthetic`, or a file of `quantumai export` whose jobs are played again.")],
    *,
    policies: Annotated[str, typer.Option(help="Scoring policies, with commas.")] = "score-v1,fcfs,fastest",
    loads: Annotated[str, typer.Option(help="Parts of the fleet's time that the jobs take, in percent, with commas.")] = "30,70,95",
    days: Annotated[float, typer.Option(help="Days of a synthetic workload.", min=0.01)] = 1.0,
    seed: Annotated[int, typer.Option(help="Of arrivals, tenants, durations.")] = 0,
    calibrations: Annotated[
        Path | None,
        typer.Option(
            help="A tar file of one device's daily properties, dealt to six devices.", show_default="shipped snapshots that drift"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results; what is there already is not simulated again.")] = HOME,
    home: Home = None,
) -> None:
    """Play a workload against scoring policies, and print completion time, fidelity, cost, fairness and SLA hits.

    The fidelity is what the methods achieve on the day's noisy device, simulated; not what the policy predicted.
    """
    names = [scoring(name).name for name in _listed(policies)]
    percents = _percents(loads)
    fleet: Fleet = Drifting() if calibrations is None else Recorded(calibrations)
    out.mkdir(parents=True, exist_ok=True)
    chosen = settings(home)
    asked = Asked(store(None, chosen), chosen.policy, chosen.policy_threshold)
    world = World(fleet, out / "achieved.jsonl", asked)
    jobs = world.kinds() if workload == SYNTHETIC else _jobs_of(Path(workload))
    capacity = _capacity(world, jobs)
    about = {"workload": workload, "seed": str(seed), "days": str(days), "fleet": fleet.name, "policy": chosen.policy}
    found: dict[tuple[int, str], Line] = {}
    try:
        with Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()) as progress:
            for percent in percents:
                arrivals = (
                    drawn(jobs, capacity, percent / 100, days=days, seed=seed, start=START)
                    if workload == SYNTHETIC
                    else recorded(jobs, capacity, percent / 100, START)
                )
                for name in names:
                    file = out / f"{Path(workload).stem}-{fleet.label}-{days:g}d-seed{seed}-{percent}-{name}.parquet"
                    task = progress.add_task(f"{name} at {percent} %", total=len(arrivals))
                    simulation = Simulation(arrivals, world, name, start=START, seed=seed)
                    found[percent, name] = line(_played(file, simulation, about, partial(progress.advance, task)))
                    progress.update(task, completed=len(arrivals))
    except KeyboardInterrupt:
        typer.echo(f"stopped; what is done is in {out}, and the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    _print(found)
    typer.echo(f"seed {seed}, {days:g} days, {fleet.name}; jobs: {out}/*.parquet; plot: {plot(found, out / 'simulated.png')}")


@app.command()
def explain(
    job: Annotated[str, typer.Argument(help="The id that `submit` printed.")],
    home: Home = None,
) -> None:
    """Print a decision term by term: each backend's score, what it is made of, and why the blocked ones are blocked."""

    async def run() -> JobRouted | None:
        async with Client(settings(home), source="/clients/cli") as client:
            return (await client.status(job)).routed

    routed = asyncio.run(run())
    if routed is None:
        raise WorkloadError(f"job {job} is not decided yet: wait a moment, or see `quantumai result {job}`")
    _explain(routed)


def _played(file: Path, simulation: Simulation, about: dict[str, str], advance: Callable[[], object]) -> pa.Table:
    """The jobs of one policy at one load, from its file if it is there; the file is there whole or not at all."""
    if file.exists():
        return pq.read_table(file)
    ran = []
    for each in simulation.run():
        ran.append(each)
        advance()
    jobs = table(ran).replace_schema_metadata(about)
    draft = file.with_suffix(".part")
    pq.write_table(jobs, draft)
    draft.replace(file)
    return jobs


def _capacity(world: World, jobs: Sequence[JobRequested]) -> Capacity:
    """What the fleet can do of these jobs on day 0."""
    advised = [world.advice(job, job.name, 0) for job in jobs]
    seconds = [each.execution_seconds for advice in advised for each in advice.candidates]
    if not seconds:
        raise WorkloadError("no backend of the fleet can run any of the jobs: " + "; ".join(advised[0].problems if advised else ()))
    return Capacity(len(world.calibrations(0)), sum(seconds) / len(seconds))


def _jobs_of(path: Path) -> list[JobRequested]:
    """The jobs that an export's decisions are about; those without observables have no fidelity and are left out."""
    found: dict[str, JobRequested] = {}
    for message in Bundle(path):
        event = typed(JobRouted, message) if message.topic == JobRouted.topic else None
        if isinstance(event, Received) and event.record.job.observables:
            found.setdefault(event.record.job_id, event.record.job)
    if not found:
        raise WorkloadError(f"{path} holds no decision about a job with observables")
    return [job.model_copy(update={"name": job.circuit_hash}) for job in found.values()]


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] or list(SCORINGS)


def _percents(text: str) -> list[int]:
    try:
        found = [int(each) for each in _listed(text)]
    except ValueError:
        raise typer.BadParameter(f"{text!r} are no whole percents; write for example 30,70,95") from None
    if not all(0 < each <= 200 for each in found):
        raise typer.BadParameter("a load is between 1 and 200 percent")
    return found


def _print(found: dict[tuple[int, str], Line]) -> None:
    shown = screen.table("load", "policy", "jobs", *_HEADINGS, numbers=("load", "jobs", *_HEADINGS))
    for (percent, name), each in found.items():
        shown.add_row(
            f"{percent} %",
            name,
            f"{each.jobs:,}",
            f"{each.completion_seconds:,.0f} s",
            f"{each.slow_seconds:,.0f} s",
            f"{each.fidelity:.4f}",
            f"{each.cost_usd:.2f}",
            f"{each.fairness:.3f}",
            f"{each.hits:.1%}",
            f"{each.moved:.1%}",
            str(each.rejected),
        )
    screen.console().print(shown)


_TERMS = ("score", "fidelity", "USD", "of it price", "availability", "freshness", "crypto", "wait s", "run s", "ahead", "path")


def _explain(routed: JobRouted) -> None:
    console = screen.console()
    console.print(f"[bold]{routed.job_id}[/] {routed.decision} {routed.backend or ''} by {routed.scoring_policy}")
    for reason in routed.reasons if routed.backend else ():
        console.print(f"  {escape(reason)}")
    shown = screen.table("backend", "method", *_TERMS, numbers=_TERMS[:-1])
    for each in routed.scores:
        shown.add_row(each.backend, each.method, *_cells(each))
    console.print(shown)
    for each in routed.scores:
        for sentence in (*each.blocked, *each.fallbacks):
            console.print(f"  {each.backend}: {escape(sentence)}")
    console.print("score = fidelity / USD x (availability x freshness) x crypto; blocked backends have 0", style="dim")


def _cells(score: BackendScore) -> tuple[str, ...]:
    return (
        f"{score.score:.4g}",
        f"{score.expected_fidelity:.4f}",
        f"{score.cost_usd:.4g}",
        f"{score.price_usd:.4g}",
        f"{score.availability:.3f}",
        f"{score.freshness:.3f}",
        f"{score.crypto_compatibility:.0f}",
        f"{score.wait_seconds:.4g}",
        f"{score.execution_seconds:.4g}",
        str(score.jobs_ahead),
        " > ".join(score.path),
    )
