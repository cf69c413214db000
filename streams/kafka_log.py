"""Reads out of Kafka's log why it left."""

from pathlib import Path

_CAUSES = {
    "No space left on device": "the disk is full: free some space and start it again",
    "Failed to acquire lock on file .lock": "another broker uses the same folder: stop it or choose another folder",
    "Address already in use": "its port is in use: choose another one",
    "AccessDeniedException": "a file in its folder belongs to someone else: give the folder to this user",
    "OutOfMemoryError": "its heap is too small: give it more",
    "insufficient memory": "the machine has too little free memory: stop something else",
}


def meaning(said: str) -> str | None:
    """What to do about it, where the log names a cause that we know."""
    return next((meaning for sign, meaning in _CAUSES.items() if sign in said), None)


def size(path: Path) -> int:
    """Bytes; 0 where there is no file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def tail(path: Path, start: int = 0, most: int = 256 * 1024) -> str:
    """What was written behind `start`, at `most` so many bytes; the whole file where it was rotated since."""
    length = size(path)
    try:
        with path.open("rb") as file:
            file.seek(max(start if start <= length else 0, length - most))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
