"""What a file says, read again whenever it has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def watched(file: Path, read: Callable[[Path], T], absent: Callable[[], T]) -> Callable[[], T]:
    """A function that returns `read(file)`, from memory while the file is the same; `absent()` where there is none.

    What `read` raises is raised each time: who may do what is not guessed from what a file said before.
    """
    seen: tuple[int, int, int] | None = None
    last: T

    def current() -> T:
        nonlocal seen, last
        try:
            status = file.stat()
        except FileNotFoundError:
            seen = None
            return absent()
        found = (status.st_mtime_ns, status.st_size, status.st_ino)
        if found != seen:
            last = read(file)
            seen = found
        return last

    return current
