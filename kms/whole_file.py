"""A file that its readers see as it was or as it is, never half written."""

import os
import threading
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Replaces a file in one step; of several processes or threads that write at once, whoever comes last has the last word.

    Raises:
        OSError: it cannot be written.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.new")
    draft.write_bytes(content)
    draft.rename(file)
