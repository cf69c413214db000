"""`quantumai demo`: the whole platform once round, from nothing to verified manifests, and everything stopped again."""

import asyncio
import signal
import time
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import screen
from cli.audit import show_report, verify_topics
from cli.demo_threats import FEEDS, ask_for_few, feed_samples, show_threats
from cli.options import settings
from cli.platform import start
from cli.watching import see_through
from em.ideal import ideal
from kms.trust import TrustRoot
from schemas.calibration import CalibrationUpdated
from streams import platform
from streams.client import Client
from streams.errors import StreamsError
from streams.jobfile import load_job
from streams.platform_status import status
from streams.progress import Job

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "jobs"
DEVICES = 6
"""Calibrations of so many devices are waited for."""

MUST_BE_REJECTED = "impossible"
"""What the name of a job begins with that no backend may run."""


class DemoError(StreamsError):
    """The demonstration did not show what it should."""


def demo(
    home: Annotated[Path, typer.Option(help="Folder of the demonstration's platform.")] = Path(".quantumai/demo"),
    jobs: Annotated[Path, typer.Option(help="Folder with job files.", show_default="examples/jobs")] = EXAMPLES,
    timeout: Annotated[float, typer.Option(help="Seconds for all jobs together.")] = 300.0,
) -> None:
    """Start a platform, run all example jobs, score the sample feeds, verify every manifest from the topics alone, stop again.

    Exit status 1 when a job does not end as it should, or anything does not verify.
    """
    console = screen.console()
    chosen = settings(home)
    files = sorted(jobs.glob("*.json"))
    if not files:
        raise typer.BadParameter(f"there are no job files in {jobs}")
    if status(chosen.home).running:
        raise DemoError(f"a platform runs already in {chosen.home}: `quantumai down --home {chosen.home}` stops it")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is stopped then, too
    began = time.monotonic()
    ask_for_few()
    try:
        with console.status("starting") as shown:
            ready = start(chosen, 0, [], shown.update)
        console.print(
            f"[bold]1.[/] Kafka at {ready.brokers} and {len(ready.processes) - 1} agents: {time.monotonic() - began:.1f} s"
        )
        trust = TrustRoot.load(chosen.home / "trust.json")
        problems = asyncio.run(_show(console, ready.brokers or "", files, timeout, trust))
    finally:
        with console.status("stopping"):
            platform.down(chosen.home)
    if problems:
        raise DemoError("; ".join(problems))
    console.print(f"[green]all as it should be[/], {time.monotonic() - began:.1f} s in all; topics and keys stay in {chosen.home}")


async def _show(console: Console, brokers: str, files: list[Path], timeout: float, trust: TrustRoot) -> list[str]:
    """Runs the jobs and verifies; returns what went wrong."""
    async with Client(brokers, source="/clients/demo") as client:
        devices = await _devices(client)
        console.print(f"[bold]2.[/] Calibrations of {len(devices)} devices: {', '.join(sorted(devices))}")
        requests = [load_job(file) for file in files]
        console.print(f"[bold]3.[/] {len(requests)} jobs")
        ids = [await client.submit(request) for request in requests]
        await feed_samples(brokers)
        jobs = await see_through(client, ids, timeout, console)
        console.print("[bold]4.[/] What came out", _results(jobs), _rejections(jobs), sep="\n")
        threats, problems = await show_threats(client)
    console.print(f"[bold]5.[/] Threats in examples/{FEEDS.name}: the worst are escalated to a quantum backend", threats, sep="\n")
    console.print("[bold]6.[/] Every manifest, verified from the topics alone")
    report, unreadable = await verify_topics(brokers, trust)
    problems += [f"job {job.job_id} is {job.state}, not {_due(job)}" for job in jobs if job.state != _due(job)]
    if not show_report(console, report, unreadable):
        problems.append("not every manifest verifies")
    due = sum((job.routed is not None) + (job.completed is not None) for job in jobs)
    if report.matched < due:
        problems.append(f"{report.matched} of {due} events have a verified manifest")
    return problems


async def _devices(client: Client) -> set[str]:
    """The backends whose calibrations have been published, once there are enough."""
    found: set[str] = set()
    try:
        async with asyncio.timeout(60), aclosing(client.records(CalibrationUpdated, follow=True)) as calibrations:
            async for calibration in calibrations:
                found.add(calibration.record.backend)
                if len(found) >= DEVICES:
                    break
    except TimeoutError:
        raise DemoError(f"calibrations of {len(found)} devices came in a minute, {DEVICES} were awaited") from None
    return found


def _due(job: Job) -> str:
    named = job.request.name if job.request else ""
    return "REJECTED" if named.startswith(MUST_BE_REJECTED) else "DONE"


def _results(jobs: list[Job]) -> Table:
    numbers = ("ideal", "off by", "cost $", "score", "s")
    table = screen.table("job", "backend", "method", "observable", "estimate ± error", *numbers, numbers=numbers)
    for job in jobs:
        for row in _rows(job):
            table.add_row(*(escape(cell) for cell in row))
    return table


def _rows(job: Job) -> list[tuple[str, ...]]:
    """One row an estimate; one with the most frequent bits for a job that counts."""
    done, request = job.completed, job.request
    if done is None or request is None or job.routed is None:
        return []
    score = next((score.score for score in job.routed.scores if score.backend == job.backend), 0.0)
    seconds = (done.completed_at - request.requested_at).total_seconds()
    about = (request.name, done.backend, done.method)
    price = (f"{done.cost_usd:.4f}", f"{score:.3g}", f"{seconds:.2f}")
    rows: list[tuple[str, ...]] = []
    for found in done.expectations:
        exact = dict(
            zip([o.name for o in request.observables], ideal(request.circuits[found.circuit], request.observables), strict=True)
        )
        truth = exact[found.observable]
        estimate = f"{found.value:+.4f} ± {found.standard_error:.4f}"
        rows.append((*about, found.observable, estimate, f"{truth:+.4f}", f"{abs(found.value - truth):.4f}", *price))
    for counted in done.counts:
        bits, count = max(counted.counts.items(), key=lambda item: item[1])
        rows.append((*about, "counts", f"{bits}: {count / sum(counted.counts.values()):.1%}", "", "", *price))
    return rows


def _rejections(jobs: list[Job]) -> Table:
    table = screen.table("job", "state", "reasons")
    for job in jobs:
        if job.state != "DONE":
            name = job.request.name if job.request else job.job_id
            table.add_row(name, screen.coloured(job.state), escape("\n".join(screen.all_reasons(job))))
    return table
