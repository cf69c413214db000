"""What the supervisor of a local platform tells others, in one file that is replaced whole."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from streams.settings import STATE_FILE

BROKER = "kafka"
"""The broker's name among the processes."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """One supervised process.

    Attributes:
        pid: None while it waits to be started again.
        port: of the broker's listener, or of a worker's /metrics and /healthz.
        restarts: how often it was started again.
        since: when it was last started, ISO 8601 in UTC.
        last_exit: why it last ended, in a sentence; None where it never did.
    """

    pid: int | None
    port: int
    restarts: int
    since: str
    last_exit: str | None = None


@dataclass(frozen=True, slots=True)
class PlatformState:
    """The whole platform.

    Attributes:
        supervisor: pid of the supervisor.
        brokers: bootstrap address.
        topics: the topics have been created.
        warnings: topics with other settings than ours.
    """

    supervisor: int
    brokers: str
    since: str
    topics: bool = False
    warnings: tuple[str, ...] = ()
    processes: Mapping[str, ProcessState] = field(default_factory=dict)


def write_state(folder: Path, state: PlatformState) -> None:
    """Replaces the file in one step: a reader sees the old state or the new one."""
    fresh = folder / f"{STATE_FILE}.fresh"
    fresh.write_text(json.dumps(asdict(state), indent=2))
    fresh.replace(folder / STATE_FILE)


def read_state(folder: Path) -> PlatformState | None:
    """The state last written; None where there is none that can be read."""
    try:
        fields = json.loads((folder / STATE_FILE).read_text())
        processes = {name: ProcessState(**process) for name, process in fields.pop("processes").items()}
        return PlatformState(**{**fields, "warnings": tuple(fields["warnings"])}, processes=processes)
    except (OSError, ValueError, KeyError, TypeError):
        return None
