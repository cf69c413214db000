"""Writes the JVM's archive of Kafka's loaded classes, which more than halves the broker's start. Run by `make setup`.

python -m streams.class_archive
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from streams.broker import LocalBroker, archive_of
from streams.errors import BrokerError, StreamsError


def write_archive(jars: Path | None = None, timeout: float = 120.0) -> Path:
    """Runs a broker once and lets it write the archive beside `jars` when it stops (JEP 350). A JVM that the archive does
    not fit ignores it.

    Raises:
        BrokerError: the broker does not start, or writes nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        broker = LocalBroker(Path(folder), jars=jars)
        archive = archive_of(broker.jars)
        archive.unlink(missing_ok=True)
        fresh = archive.with_suffix(".fresh")
        java, *arguments = broker.command()
        with subprocess.Popen(
            [java, f"-XX:ArchiveClassesAtExit={fresh}", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + timeout
            while not broker.ready() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            process.terminate()
        if not fresh.exists():
            raise BrokerError(f"the broker wrote no class archive with {' '.join([java, *arguments])}")
        fresh.replace(archive)
    return archive


if __name__ == "__main__":
    try:
        write_archive()
    except StreamsError as error:
        sys.exit(str(error))
