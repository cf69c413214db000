"""A platform as `quantumai up` starts it: real broker, real workers, real token; and what the tests ask of it."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from agents import AGENTS
from cli.audit import verify_topics
from cli.token import prepare
from kms.trust import TrustRoot
from kms.verification import Report
from schemas.record import Record
from streams import platform
from streams.client import Client
from streams.messages import Received
from streams.platform_status import ProcessStatus, status
from streams.progress import Job, JobFailedError
from streams.records import read
from streams.settings import Settings

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "jobs").glob("*.json"))


class LocalPlatform:
    """One platform in a folder, on a free port."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"

    def up(self, environment: Mapping[str, str] | None = None, command: Sequence[str] = platform.WORKER) -> None:
        chosen = Settings.load(home=self.home)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:  # a PKCS#11 module knows one folder a process
            keys = apart.submit(prepare, chosen).result()
        ready = platform.up(chosen, AGENTS, port=0, environment={**keys, **(environment or {})}, command=command, timeout=120)
        self.brokers = str(ready.brokers)

    def down(self) -> None:
        platform.down(self.home)

    def process(self, name: str) -> ProcessStatus:
        return next(process for process in status(self.home).processes if process.name == name)

    def kill(self, name: str) -> int:
        """SIGKILL to one of its processes, whose pid is returned."""
        pid = self.process(name).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")

    async def verify(self) -> Report:
        """What `quantumai verify` finds in the topics; nothing in them may be unreadable."""
        report, unreadable = await verify_topics(self.brokers, TrustRoot.load(self.home / "trust.json"))
        assert unreadable == []
        return report

    async def records(self, kind: type[Record]) -> list[Received]:
        return [event async for event in read(self.brokers, kind) if isinstance(event, Received)]


async def over(client: Client, job_id: str, timeout: float = 90.0) -> Job:
    """The job, once it is over, whatever became of it."""
    try:
        await client.result(job_id, timeout)
    except JobFailedError as error:
        return error.job
    return await client.status(job_id)


async def until_state(client: Client, job_id: str, *states: str) -> Job:
    async with asyncio.timeout(60):
        async for job in client.watch(job_id):
            if job.state in states:
                return job
    raise AssertionError(f"{job_id} was never {' or '.join(states)}")


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.1)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        await asyncio.sleep(0.2)
