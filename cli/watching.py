"""Jobs on the screen while they move, until all are over."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.live import Live

from cli import screen
from streams.client import Client
from streams.progress import Job, JobTimeoutError


async def see_through(
    client: Client, job_ids: Sequence[str], timeout: float, console: Console, since: datetime | None = None
) -> list[Job]:
    """The jobs as they ended, in the order of `job_ids`.

    Raises:
        JobTimeoutError: some were not over after `timeout` seconds.
        UnknownJobError: one was never requested.
    """
    jobs = {job_id: Job(job_id) for job_id in job_ids}
    live = Live(screen.job_table(jobs.values()), console=console, refresh_per_second=10)

    async def follow(job_id: str) -> None:
        async for job in client.watch(job_id, since):
            jobs[job_id] = job
            live.update(screen.job_table(jobs.values()))

    try:
        with live:
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(follow(job_id) for job_id in job_ids))
    except TimeoutError:
        waiting = ", ".join(f"{job.job_id} ({job.state})" for job in jobs.values() if not job.over)
        raise JobTimeoutError(f"not over after {timeout:g} s: {waiting}; they go on") from None
    finally:
        if not console.is_terminal:
            console.print()  # where there is no terminal, the last table ends without a line break
    return list(jobs.values())
