"""Room on the disk that a platform's folder is on."""

import shutil
from pathlib import Path

LEAST_FREE_BYTES = 256 * 1024 * 1024
"""What a broker is not started without: a new segment of each of its topics' logs, and time to act."""


def shortage(folder: Path) -> str | None:
    """What is wrong with the disk of `folder`, which need not be there yet, in a sentence; None where there is room."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free >= LEAST_FREE_BYTES:
        return None
    least = LEAST_FREE_BYTES // 2**20
    return f"the disk of {folder} is full: {free // 2**20} MiB are free, a broker needs {least} MiB; free some, or choose another"
