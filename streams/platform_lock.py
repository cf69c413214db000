"""One supervisor per folder: an advisory lock that ends with its process, however that ends."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from streams.errors import PlatformError

_FILE = "platform.lock"
_PROBE_SECONDS = 1.0  # a `status` that looks holds a shared lock for a moment


def take(folder: Path) -> IO[str]:
    """Takes the lock for as long as the file that is returned stays open.

    Raises:
        PlatformError: another supervisor holds it.
    """
    file = (folder / _FILE).open("a")
    deadline = time.monotonic() + _PROBE_SECONDS
    while not _locked(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.close()
            raise PlatformError(f"a platform runs already in {folder}")
        time.sleep(0.05)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def holder(folder: Path) -> int | None:
    """The supervisor's pid; None where none runs."""
    try:
        with (folder / _FILE).open() as file:
            while not _locked(file, fcntl.LOCK_SH):
                pid = file.read()
                if pid.endswith("\n"):
                    return int(pid)
                file.seek(0)  # it has just taken the lock and is about to write
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
