"""The local platform as a user meets it: how soon it is ready, how soon a small job is done, what it occupies.

python -m benchmarks.latency --jobs 40
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agents import AGENTS
from cli.token import prepare
from schemas.jobs import JobRequested, Observable, PauliTerm
from streams.client import Client
from streams.platform import down, up
from streams.platform_status import status
from streams.settings import Settings

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
FIRST = 5
"""Jobs before those that are measured: the first ones compile and fill caches."""
PARITY = Observable(name="zz", terms=(PauliTerm(pauli="ZZ", coefficient=1.0),))


def small_job(prefix: str, number: int) -> JobRequested:
    """Two qubits, one observable, 1,024 shots, raw."""
    return JobRequested(job_id=f"{prefix}-{number}", circuits=(BELL,), observables=(PARITY,), shots=1024, method="raw", seed=number)


async def run_jobs(settings: Settings, prefix: str, jobs: int) -> list[float]:
    """Seconds from submitting to holding the result, one job after the other."""
    seconds = []
    async with Client(settings) as client:
        for number in range(jobs):
            started = time.monotonic()
            await client.run(small_job(prefix, number), timeout=60)
            seconds.append(time.monotonic() - started)
    return seconds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(home=Path(folder), brokers="127.0.0.1:9092")
        ready = []
        try:
            for prefix in ("first", "warm"):
                started = time.monotonic()
                environment = prepare(settings)
                up(settings, AGENTS, port=0, environment=environment)
                ready.append(time.monotonic() - started)
                running = Settings.load(home=Path(folder))
                waits = asyncio.run(run_jobs(running, prefix, FIRST + arguments.jobs))
                memory = sum(process.memory_bytes for process in status(Path(folder)).processes) / 2**20
                down(Path(folder))
        finally:
            down(Path(folder))
    waits = sorted(waits[FIRST:])
    table = Table("figure", "value", title=f"{arguments.jobs} small jobs, one after the other")
    table.add_row("up, first time: token, keys, topics and all agents ready", f"{ready[0]:.1f} s")
    table.add_row("up, warm", f"{ready[1]:.1f} s")
    table.add_row("small job, request to result, p50", f"{statistics.median(waits) * 1000:.0f} ms")
    table.add_row("small job, request to result, p95", f"{waits[int(len(waits) * 0.95)] * 1000:.0f} ms")
    table.add_row("memory of broker, supervisor, agents and pool", f"{memory:,.0f} MiB")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
