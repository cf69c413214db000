"""The process behind `quantumai up`: one broker and one worker per agent, kept running until SIGTERM.

python -m streams.supervisor PLAN      # PLAN: the JSON of `Plan`
"""

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Self

from streams import platform_lock
from streams.admin import ensure_topics
from streams.broker import LocalBroker
from streams.errors import BrokerUnavailableError, StreamsError
from streams.orphans import MARK, end_orphans
from streams.platform_state import BROKER, PlatformState, write_state
from streams.supervised import LARGEST_LOG_BYTES, Supervised, now
from streams.supervised_broker import SupervisedBroker

logger = logging.getLogger(__name__)

WORKERS_END_SECONDS = 12.0
"""From SIGTERM to SIGKILL. Faust without a broker never ends by itself."""
_TURN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. It holds no secret: those are in the supervisor's environment, which the workers inherit.

    Attributes:
        command: what a worker runs, before the agent's name.
        ports: agent -> port of its /metrics and /healthz.
        ports_chosen: by the user, so that these it must be.
    """

    folder: str
    port: int
    command: tuple[str, ...]
    ports: Mapping[str, int]
    ports_chosen: bool
    partitions: int
    retention_days: int
    kafka_libs: str
    java: str | None

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From the command line."""
        return cls(**json.loads(text))


class Supervisor:
    """Broker first, then the workers, which wait for the topics by themselves."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._folder = plan, Path(plan.folder)
        logs = self._folder / "logs"
        broker = LocalBroker(
            self._folder / BROKER, plan.port, logs=logs, jars=Path(plan.kafka_libs), java=Path(plan.java) if plan.java else None
        )
        self._bootstrap = broker.bootstrap
        self._broker = SupervisedBroker(broker)
        environment = self._environment()
        self._workers = {
            agent: Supervised([*plan.command, agent], environment, logs / f"{agent}.log", port, movable=not plan.ports_chosen)
            for agent, port in plan.ports.items()
        }
        self._state = PlatformState(supervisor=os.getpid(), brokers=self._bootstrap, since=now())
        self._told: PlatformState | None = None
        self._stop = False

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT.

        Raises:
            StreamsError: the broker cannot be started at all, or its topics cannot be created.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._tell()
        try:
            self._broker.launch()
            while not self._stop:
                self._turn()
                time.sleep(_TURN_SECONDS)
        finally:
            self._end()

    def _turn(self) -> None:
        if self._broker.tend():
            self._make_topics()
            for worker in self._workers.values():
                worker.hasten()
        for worker in self._workers.values():
            worker.tend(may_start=self._broker.alive)
        self._tell()

    def _make_topics(self) -> None:
        try:
            differences = asyncio.run(ensure_topics(self._bootstrap, self._plan.partitions, self._plan.retention_days))
        except BrokerUnavailableError as error:
            logger.warning("%s", error)  # it has just left again: the next turn starts it
            return
        self._state = dataclasses.replace(self._state, topics=True, warnings=tuple(map(str, differences)))

    def _end(self) -> None:
        """All workers at once, the broker last: a worker's last transaction needs it."""
        for worker in self._workers.values():
            worker.terminate()
        deadline = time.monotonic() + WORKERS_END_SECONDS
        for worker in self._workers.values():
            worker.end(deadline)
        self._broker.end()
        self._state = dataclasses.replace(self._state, processes={})
        self._write()

    def _tell(self) -> None:
        processes = {BROKER: self._broker.state(), **{agent: worker.state() for agent, worker in self._workers.items()}}
        self._state = dataclasses.replace(self._state, processes=processes)
        if self._state != self._told:
            self._write()

    def _write(self) -> None:
        """Tells `status`; on a full disk the processes go on untold, and it is tried again at the next turn."""
        try:
            write_state(self._folder, self._state)
            self._told = self._state
        except OSError as error:
            logger.warning("the platform's state cannot be written: %s", error)

    def _on_signal(self, *_: object) -> None:
        self._stop = True

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "QUANTUMAI_BROKERS": self._bootstrap,
            "QUANTUMAI_HOME": str(self._folder),
            "QUANTUMAI_PARTITIONS": str(self._plan.partitions),
        }


def main(plan: Plan) -> None:
    """Takes the folder's lock, ends what an earlier supervisor left behind, and supervises.

    Raises:
        StreamsError: another supervisor runs, or see `Supervisor.run`.
    """
    folder = Path(plan.folder)
    os.environ[MARK] = str(folder)
    with platform_lock.take(folder):
        (folder / "logs").mkdir(exist_ok=True)
        logs = RotatingFileHandler(folder / "logs" / "supervisor.log", maxBytes=LARGEST_LOG_BYTES, backupCount=1)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[logs])
        left = end_orphans(folder)
        if left:
            logger.warning("ended %d processes that an earlier supervisor had left behind", left)
        try:
            Supervisor(plan).run()
        except Exception as error:
            logger.error("the supervisor leaves: %s", error, exc_info=None if isinstance(error, StreamsError) else error)
            raise


if __name__ == "__main__":
    try:
        main(Plan.from_json(sys.argv[1]))
    except StreamsError as error:
        sys.exit(str(error))
