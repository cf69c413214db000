"""The local platform: `up` starts it, `down` stops it, `streams.platform_status` says how it is. One platform per folder."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from streams import platform_lock
from streams.broker import free_port
from streams.endings import how_it_ended
from streams.errors import PlatformError
from streams.orphans import end_orphans
from streams.platform_state import read_state
from streams.platform_status import PlatformStatus, status
from streams.settings import Settings
from streams.supervisor import Plan

WORKER = (sys.executable, "-m", "cli.main", "worker")
"""What a worker process runs, before the agent's name."""

_HOPELESS_RESTARTS = 3
_DOWN_SECONDS = 45.0
_LOOPBACK = ("127.0.0.1", "localhost")


def up(
    settings: Settings,
    agents: Sequence[str],
    *,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = WORKER,
    timeout: float = 90.0,
    progress: Callable[[PlatformStatus], None] | None = None,
) -> PlatformStatus:
    """Starts the broker, creates the topics and starts a worker per agent; returns when all are ready.

    Args:
        settings: `home` is the platform's folder.
        agents: names of the agents.
        port: of the broker; 0 takes a free one, None that of `settings.brokers`.
        environment: more variables for the workers, such as where the PIN is.
        command: what a worker runs, before the agent's name.
        timeout: seconds until all must be ready.
        progress: called now and then while it waits.

    Raises:
        PlatformError: it runs already, a process cannot start, or not all were ready in time. In the last case it goes on.
    """
    folder = settings.home.resolve()
    if platform_lock.holder(folder) is not None:
        state = read_state(folder)
        raise PlatformError(f"the platform in {folder} runs already{f', its broker at {state.brokers}' if state else ''}")
    plan = _plan(settings, folder, agents, port, command)
    with tempfile.TemporaryFile() as said:
        supervisor = _start_supervisor(plan, environment or {}, said)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if supervisor.poll() is not None:
                raise PlatformError(_last_words(said, supervisor.returncode, folder))
            now = status(folder)
            if now.supervisor == supervisor.pid:
                if progress is not None:
                    progress(now)
                if now.ready:
                    return now
                _refuse_hopeless(now)
            time.sleep(0.1)
    late = "; ".join(f"{process.name}: {process.problem}" for process in now.processes if process.problem)
    raise PlatformError(
        f"not ready after {timeout:g} s ({late}); it goes on: `quantumai status` shows it, logs are in {folder / 'logs'}"
    )


def down(folder: Path, timeout: float = _DOWN_SECONDS) -> bool:
    """Stops the platform in `folder`, and whatever a killed supervisor has left behind. False where nothing ran."""
    folder = folder.resolve()
    supervisor = platform_lock.holder(folder)
    if supervisor is None:
        return end_orphans(folder) > 0
    os.kill(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while platform_lock.holder(folder) == supervisor:
        if time.monotonic() > deadline:
            os.kill(supervisor, signal.SIGKILL)
            deadline += timeout
        time.sleep(0.05)
    end_orphans(folder)
    return True


def _plan(settings: Settings, folder: Path, agents: Sequence[str], port: int | None, command: Sequence[str]) -> Plan:
    first = settings.metrics_port
    ports = {agent: first + place if first else free_port() for place, agent in enumerate(agents)}
    listener = _port(settings) if port is None else port or free_port()
    _refuse_impossible(listener, *ports.values())
    return Plan(
        folder=str(folder),
        port=listener,
        command=tuple(command),
        ports=ports,
        ports_chosen=first != 0,
        partitions=settings.partitions,
        retention_days=settings.retention_days,
        kafka_libs=str(settings.kafka_libs.resolve()),
        java=str(settings.java) if settings.java else None,
    )


def _refuse_impossible(*ports: int) -> None:
    """Before anything is written: other commands find the broker by its port."""
    for port in ports:
        if not 0 < port < 65536:
            raise PlatformError(f"there is no port {port}: choose from 1 to 65535, or 0 for a free one")


def _port(settings: Settings) -> int:
    host, _, port = settings.brokers.rpartition(":")
    if host not in _LOOPBACK:
        raise PlatformError(
            f"QUANTUMAI_BROKERS names {settings.brokers}, which is not this machine: unset it, or start no platform"
        )
    return int(port)


def _start_supervisor(plan: Plan, environment: Mapping[str, str], said: IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        Path(plan.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlatformError(f"the folder {plan.folder} cannot be used ({error}): choose another QUANTUMAI_HOME") from error
    return subprocess.Popen(
        [sys.executable, "-m", "streams.supervisor", plan.to_json()],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,
    )


def _last_words(said: IO[bytes], returncode: int, folder: Path) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    if lines:
        return lines[-1]
    if returncode == 0:
        return f"the platform in {folder} was stopped while it started"
    return f"the supervisor left ({how_it_ended(returncode)}), its processes go on: `quantumai down --home {folder}` ends them"


def _refuse_hopeless(now: PlatformStatus) -> None:
    for process in now.processes:
        if not process.ready and process.restarts >= _HOPELESS_RESTARTS:
            down(now.folder)
            raise PlatformError(
                f"{process.name} does not start ({process.last_exit}): see {now.folder / 'logs'}; all was stopped again"
            )
