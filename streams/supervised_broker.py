"""The platform's broker, kept running: it goes before the workers, which are nothing without it."""

import dataclasses
import logging
import time

from streams.broker import LocalBroker
from streams.errors import BrokerError
from streams.platform_state import ProcessState
from streams.supervised import Pauses, now

logger = logging.getLogger(__name__)


class SupervisedBroker:
    """A `LocalBroker` that is started again when it leaves."""

    def __init__(self, broker: LocalBroker) -> None:
        self._broker = broker
        self._pauses = Pauses()
        self._started = self._due = time.monotonic()
        self._ready = False
        self._state = ProcessState(pid=None, port=broker.port, restarts=0, since=now())

    @property
    def alive(self) -> bool:
        """The process runs."""
        return self._broker.alive

    def launch(self) -> None:
        """Starts it.

        Raises:
            BrokerError: it cannot be started.
        """
        self._started, self._ready = time.monotonic(), False
        self._broker.launch()
        process = self._broker.process
        self._state = dataclasses.replace(self._state, pid=process.pid if process else None, since=now())

    def tend(self) -> bool:
        """Starts it again when it has left and its pause is over. True once after each start: it has become ready."""
        if self._state.pid is not None and not self._broker.alive:
            self._left(self._broker.cause())
        if self._state.pid is None and time.monotonic() >= self._due:
            self._again()
        if self._ready or not self._broker.alive or not self._broker.ready():
            return False
        self._ready = True
        return True

    def end(self) -> None:
        """Stops it in order."""
        self._broker.stop()

    def state(self) -> ProcessState:
        """What others may know."""
        return self._state

    def _again(self) -> None:
        self._state = dataclasses.replace(self._state, restarts=self._state.restarts + 1)
        try:
            self.launch()
        except BrokerError as error:
            self._left(str(error))

    def _left(self, cause: str) -> None:
        logger.warning("%s", cause)
        self._state = dataclasses.replace(self._state, pid=None, last_exit=f"{now()} {cause}")
        self._due = time.monotonic() + self._pauses.next(time.monotonic() - self._started)
