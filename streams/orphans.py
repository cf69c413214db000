"""Processes of a platform: those that a killed supervisor left behind, found by a mark in their environment (Linux, /proc)."""

import contextlib
import os
import signal
import time
from pathlib import Path

MARK = "QUANTUMAI_SUPERVISED"
"""Environment variable that every supervised process and its children carry: the platform's folder."""


def orphans(folder: Path) -> list[int]:
    """Pids of all processes of the platform in `folder`, other than this one."""
    mark = f"{MARK}={folder.resolve()}".encode()
    return [pid for pid in _pids() if pid != os.getpid() and mark in _environment(pid)]


def end_orphans(folder: Path, patience: float = 10.0) -> int:
    """SIGTERM to all of them, SIGKILL to what is left after `patience` seconds. Returns how many there were."""
    found = orphans(folder)
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while (left := orphans(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(left, signal.SIGKILL)
    return len(found)


def runs(pid: int) -> bool:
    """The process is there and has not ended: what nobody has collected yet after its end is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def memory_bytes(session: int) -> int:
    """Resident memory of a process and all that it started, in bytes; shared pages count once per process."""
    pages = 0
    for pid in _pids():
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(pid) == session:
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
