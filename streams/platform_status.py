"""How a local platform is: what its supervisor wrote, and what each process answers now."""

import contextlib
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from streams import platform_lock
from streams.broker import answers
from streams.disk import shortage
from streams.orphans import memory_bytes, orphans, runs
from streams.platform_state import BROKER, ProcessState, read_state


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of the platform.

    Attributes:
        pid: None while it waits to be started again.
        ready: the broker answers; a worker has joined its group.
        problem: why it is not ready; None when it is.
        memory_bytes: resident, with what it started.
    """

    name: str
    pid: int | None
    port: int
    ready: bool
    problem: str | None
    restarts: int
    since: str
    last_exit: str | None
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """The platform in one folder. Where it does not run, `processes` is empty.

    Attributes:
        warnings: topics with other settings than ours, a full disk.
        left: how many processes a killed supervisor has left behind, where none runs.
    """

    folder: Path
    running: bool
    supervisor: int | None = None
    brokers: str | None = None
    since: str | None = None
    warnings: tuple[str, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()
    left: int = 0

    @property
    def ready(self) -> bool:
        """Everything is."""
        return self.running and bool(self.processes) and all(process.ready for process in self.processes)


def status(folder: Path) -> PlatformStatus:
    """How the platform in `folder` is; asks each process."""
    folder = folder.resolve()
    supervisor = platform_lock.holder(folder)
    state = read_state(folder)
    if supervisor is None or state is None or state.supervisor != supervisor:
        left = len(orphans(folder)) if supervisor is None else 0
        return PlatformStatus(folder, running=supervisor is not None, supervisor=supervisor, left=left)
    with ThreadPoolExecutor(max(1, len(state.processes))) as pool:
        problems = pool.map(_problem, state.processes, state.processes.values(), [state.topics] * len(state.processes))
        processes = tuple(
            _process(name, process, problem) for (name, process), problem in zip(state.processes.items(), problems, strict=True)
        )
    warnings = (*state.warnings, *filter(None, [shortage(folder)]))
    return PlatformStatus(folder, True, state.supervisor, state.brokers, state.since, warnings, processes)


def _process(name: str, process: ProcessState, problem: str | None) -> ProcessStatus:
    return ProcessStatus(
        name=name,
        pid=process.pid,
        port=process.port,
        ready=problem is None,
        problem=problem,
        restarts=process.restarts,
        since=process.since,
        last_exit=process.last_exit,
        memory_bytes=memory_bytes(process.pid) if process.pid else 0,
    )


def _problem(name: str, process: ProcessState, topics: bool) -> str | None:
    if process.pid is None:
        return f"waits to be started again ({process.last_exit})" if process.last_exit else "not started yet"
    if not runs(process.pid):  # on a full disk the supervisor cannot say so
        return "has left"
    if name == BROKER:
        return None if topics and answers(process.port) else "starting"
    return _ask(process.port)


def _ask(port: int) -> str | None:
    """What a worker's /healthz says is wrong; None when nothing is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2.0):
            return None
    except urllib.error.HTTPError as error:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(error.read())["problem"])
        return f"/healthz answers {error.code}"
    except OSError:
        return "starting"
