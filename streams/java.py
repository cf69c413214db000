"""Finds a Java that can run the broker."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from streams.errors import BrokerError

OLDEST_JAVA = 17
"""Apache Kafka 4 brokers need Java 17."""

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


def find_java(java: Path | None = None) -> Path:
    """The Java to use: the one given, else JAVA_HOME's, else the first in PATH.

    Raises:
        BrokerError: there is none, it does not run, or it is older than `OLDEST_JAVA`.
    """
    install = f"install Java {OLDEST_JAVA} or newer (Debian: default-jre-headless) or point QUANTUMAI_JAVA at one"
    found = java or _of_java_home() or _in_path()
    if found is None:
        raise BrokerError(f"no Java found: {install}")
    try:
        asked = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BrokerError(f"{found} does not run as Java ({error}): {install}") from error
    version = _VERSION.search(asked.stderr)
    if version is None or int(version.group(1)) < OLDEST_JAVA:
        name = (asked.stderr.splitlines() or ["it names no version"])[0]
        raise BrokerError(f"{found} is too old for Kafka ({name}): {install}")
    return found


def _of_java_home() -> Path | None:
    java = Path(os.environ.get("JAVA_HOME", "")) / "bin" / "java"
    return java if os.environ.get("JAVA_HOME") and java.is_file() else None


def _in_path() -> Path | None:
    found = shutil.which("java")
    return Path(found) if found else None
