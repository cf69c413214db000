"""Fences a broker that was killed, before it starts again: without it, Kafka 4.0-4.4 can lose a transaction's end.

A restarted node first acts on its old leadership, then its own controller declares it dead. A coordinator that sends a
commit marker at that moment takes the leaderless partition for a deleted one, calls the transaction complete and writes no
marker: readers of committed records stand before it for ever (KAFKA-20734). So the controller runs alone first and
declares the old broker dead, which it would do anyhow after its session of 9 s.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from streams.errors import BrokerError
from streams.kafka_log import meaning, tail

SESSION_MS = 100
"""After which the controller of `fence` takes the old broker for dead."""


_ACTIVE = "Performing controller activation"
_FENCED = "Fencing broker 1"
_ALREADY_FENCED_SECONDS = 3.0
"""An active controller that fences nobody for so long has nobody to fence."""
_WRITE_SECONDS = 0.3
"""From the controller's word to its disk: a linger of 25 ms and a write."""


def fence(java: Sequence[str], properties: Path, log: Path, timeout: float = 60.0) -> None:
    """Runs the controller until it has fenced the broker.

    Args:
        java: the JVM with its options, without a main class.
        properties: of `controller_properties`.
        log: where its log goes; made anew.
        timeout: seconds until it must have become active.

    Raises:
        BrokerError: the controller left or did not become active.
    """
    log.unlink(missing_ok=True)
    command = [*java, f"-Dquantumai.log={log}", "-Dquantumai.controller=info", "kafka.Kafka", str(properties)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as controller:
        try:
            _wait_for(controller, log, _ACTIVE, timeout)
            if _wait_for(controller, log, _FENCED, _ALREADY_FENCED_SECONDS, needed=False):
                time.sleep(_WRITE_SECONDS)
        finally:
            controller.terminate()


def _wait_for(controller: "subprocess.Popen[bytes]", log: Path, sign: str, seconds: float, needed: bool = True) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if sign in tail(log):
            return True
        if controller.poll() is not None:
            known = meaning(tail(log))
            raise BrokerError(f"the controller left with exit status {controller.returncode}: {known or f'see {log}'}")
        time.sleep(0.03)
    if needed:
        raise BrokerError(f"the controller was not active after {seconds:g} s: see {log}")
    return False
