"""One process that is kept running: started again with growing pauses, stopped for certain, its log kept small."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from streams.broker import free_port, refusal
from streams.endings import how_it_ended
from streams.kafka_log import size, tail
from streams.platform_state import ProcessState

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
HEALTHY_SECONDS = 30.0
"""A process that ran for so long starts again without a long pause."""
LARGEST_LOG_BYTES = 10 * 1024 * 1024
_HOST = "127.0.0.1"


class Pauses:
    """How long to wait before the next start: doubling, and short again after a healthy run."""

    def __init__(self) -> None:
        self.failures = 0

    def next(self, ran_seconds: float) -> float:
        """The pause after a run of so many seconds."""
        self.failures = 1 if ran_seconds >= HEALTHY_SECONDS else self.failures + 1
        return min(SHORTEST_PAUSE * 2.0 ** (self.failures - 1), LONGEST_PAUSE)


class Supervised:
    """One worker process in a session of its own, so that it can be ended together with what it started.

    Args:
        port: where it shall serve its metrics, on 127.0.0.1.
        movable: nobody chose that port, so that another will do where somebody else has taken it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, port: int, *, movable: bool = False
    ) -> None:
        self._command, self._environment, self._log, self._port, self._movable = command, environment, log, port, movable
        self._process: subprocess.Popen[bytes] | None = None
        self._pauses = Pauses()
        self._started = self._due = time.monotonic()
        self._starts = 0
        self._since = ""
        self._last_exit: str | None = None

    def tend(self, may_start: bool = True) -> None:
        """Takes note of an end, and starts the process when its time has come."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process)
        if self._process is None and may_start and time.monotonic() >= self._due:
            self._start()
        self._rotate()

    def hasten(self) -> None:
        """Ends the pause: what it failed for is back."""
        self._due = time.monotonic()

    def terminate(self) -> None:
        """SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def end(self, deadline: float) -> None:
        """Waits for its end until `deadline` (of `time.monotonic`), then SIGKILLs it and all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        _kill_session(self._process)

    def state(self) -> ProcessState:
        """What others may know."""
        return ProcessState(
            pid=self._process.pid if self._process else None,
            port=self._port,
            restarts=max(0, self._starts - 1),
            since=self._since,
            last_exit=self._last_exit,
        )

    def _start(self) -> None:
        if self._movable and refusal(_HOST, self._port) is not None:
            self._port = free_port()
        environment = {**self._environment, "QUANTUMAI_METRICS_HOST": _HOST, "QUANTUMAI_METRICS_PORT": str(self._port)}
        with self._log.open("ab") as log:  # appending, so that the log can be cut while it is written
            self._process = subprocess.Popen(
                self._command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started = time.monotonic()
        self._starts += 1
        self._since = now()

    def _ended(self, process: "subprocess.Popen[bytes]") -> None:
        _kill_session(process)
        said = "" if process.returncode == -signal.SIGKILL else _last_line(self._log)  # who is killed so says no last word
        self._last_exit = f"{now()} {how_it_ended(process.returncode)}{said}"
        self._process = None
        self._due = time.monotonic() + self._pauses.next(time.monotonic() - self._started)

    def _rotate(self) -> None:
        if size(self._log) > LARGEST_LOG_BYTES:
            shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
            os.truncate(self._log, 0)


def now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in tail(log, most=4096).splitlines() if line.strip()]
    return f": {lines[-1][:300]}" if lines else ""


def _kill_session(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
