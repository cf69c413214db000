"""A measured child process: stopped while its input is laid out, then let go, with its CPU time read from /proc."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run cost: user and system CPU seconds of the process, and seconds on the clock."""

    cpu_seconds: float
    wall_seconds: float


class Child:
    """`python -m MODULE ARGUMENTS…` in a process of its own."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env={**os.environ, **environment}, stdout=log.open("wb"), stderr=subprocess.STDOUT
        )
        self._log = log

    def cpu_seconds(self) -> float:
        """User and system time so far.

        Raises:
            RuntimeError: the process has left; its log says why.
        """
        if self._process.poll() is not None:
            raise RuntimeError(f"the process left with {self._process.returncode}: {self._log.read_text()[-2000:]}")
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def pause(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL."""
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def measured(children: Sequence[Child], lay_out: Callable[[], None], count: Callable[[], int], expected: int) -> Spent:
    """Pauses the children, lays out their input, lets them go, and waits until `count` reaches `expected`.

    Raises:
        TimeoutError: nothing more came out for 60 s.
    """
    for child in children:
        child.pause()
    lay_out()
    before = sum(child.cpu_seconds() for child in children)
    started = moved = time.monotonic()
    for child in children:
        child.resume()
    last = 0
    while last < expected:
        time.sleep(0.02)
        now = count()
        if now != last:
            last, moved = now, time.monotonic()
        elif time.monotonic() - moved > 60:
            raise TimeoutError(f"{last} of {expected} came out")
    return Spent(sum(child.cpu_seconds() for child in children) - before, moved - started)
