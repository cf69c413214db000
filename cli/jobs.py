"""`quantumai submit`, `jobs`, `result`, `cancel`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cli import screen
from cli.options import AsJson, Home, Since, settings
from cli.watching import see_through
from streams.client import Client
from streams.jobfile import load_job
from streams.progress import Job, JobFailedError

JobId = Annotated[str, typer.Argument(help="The id that `submit` printed.", show_default=False)]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait.")]


def submit(
    files: Annotated[list[Path], typer.Argument(help="Job files: .json, or .qasm for counts.", show_default=False)],
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the jobs until all are over; exit status 1 unless all are DONE.")
    ] = False,
    timeout: Timeout = 600.0,
    home: Home = None,
) -> None:
    """Submit jobs; prints their ids. A file that is wrong or too large is refused before any job is sent."""
    requests = [load_job(file) for file in files]

    async def run() -> bool:
        async with _client(home) as client:
            ids = [await client.submit(request) for request in requests]
            for job_id in ids:
                typer.echo(job_id)
            if not watch:
                return True
            jobs = await see_through(client, ids, timeout, console := screen.console())
            for job in jobs:
                _print(console, job)
            return all(job.state == "DONE" for job in jobs)

    if not asyncio.run(run()):
        raise typer.Exit(1)


def list_jobs(since: Since = None, as_json: AsJson = False, home: Home = None) -> None:
    """List jobs, oldest first."""

    async def run() -> list[Job]:
        async with _client(home) as client:
            return await client.jobs(since)

    jobs = asyncio.run(run())
    if as_json:
        for job in jobs:
            typer.echo(_json(job))
    else:
        screen.console().print(screen.job_table(jobs))


def result(job: JobId, timeout: Timeout = 60.0, as_json: AsJson = False, home: Home = None) -> None:
    """Show a job's result, waiting for it if need be; exit status 1 and all reasons when there is none."""

    async def run() -> Job:
        async with _client(home) as client:
            return await _over(client, job, timeout)

    found = asyncio.run(run())
    if as_json:
        typer.echo(_json(found))
    else:
        _print(screen.console(), found)
    if found.state != "DONE":
        raise typer.Exit(1)


def cancel(
    job: JobId, reason: Annotated[str, typer.Option(help="Why, for the record.")] = "cancelled by its user", home: Home = None
) -> None:
    """Ask for a job to be cancelled; one that is over stays as it is."""

    async def run() -> None:
        async with _client(home) as client:
            await client.cancel(job, reason)

    asyncio.run(run())
    typer.echo(f"asked for {job} to be cancelled")


@asynccontextmanager
async def _client(home: Path | None) -> AsyncIterator[Client]:
    async with Client(settings(home), source="/clients/cli") as client:
        yield client


async def _over(client: Client, job_id: str, timeout: float) -> Job:
    """The job, once it is over."""
    try:
        await client.result(job_id, timeout)
    except JobFailedError as error:
        return error.job
    return await client.status(job_id)


def _print(console: Console, job: Job) -> None:
    console.print(f"\n[bold]{job.job_id}[/] {screen.coloured(job.state)} {job.backend} {job.method}".rstrip())
    for reason in screen.all_reasons(job):
        console.print(f"  {escape(reason)}")
    done = job.completed
    if done is None:
        return
    if done.expectations:
        table = screen.table("circuit", "observable", "estimate", "± error", "unmitigated")
        for estimate in done.expectations:
            raw = "" if estimate.raw_value is None else f"{estimate.raw_value:.5f}"
            numbers = (f"{estimate.value:.5f}", f"{estimate.standard_error:.5f}", raw)
            table.add_row(str(estimate.circuit), estimate.observable, *numbers)
        console.print(table)
    if done.parameters.get("notes"):
        console.print(f"  note: {escape(str(done.parameters['notes']))}")
    for counted in done.counts:
        table = screen.table("bits", "counts", title=f"circuit {counted.circuit}")
        for bits, count in sorted(counted.counts.items(), key=lambda item: -item[1])[:16]:
            table.add_row(bits, str(count))
        console.print(table)
    console.print(
        f"  {done.shots:,} shots, queued {done.queue_seconds:.2f} s, ran {done.execution_seconds:.2f} s, ${done.cost_usd:.4f}, "
        f"calibration {done.calibration_id[:12]}"
    )


def _json(job: Job) -> str:
    def record(value: Any) -> Any:
        return value.model_dump(mode="json") if value is not None else None

    return json.dumps(
        {
            "job_id": job.job_id,
            "state": job.state,
            "backend": job.backend or None,
            "method": job.method or None,
            "reasons": job.reasons,
            "requested": record(job.request),
            "scores": [record(score) for score in job.routed.scores] if job.routed else [],
            "result": record(job.completed),
        }
    )
