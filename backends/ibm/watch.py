"""Asks after running jobs in a thread of its own, so that whoever wants a result never waits for the network."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from backends.adapter import Result
from backends.errors import BackendBusyError, BackendError
from backends.ibm.faults import UnansweredError

log = logging.getLogger(__name__)

_KEPT = 256  # results and failures, for readers whose transaction failed


class Watch:
    """Thread-safe. Its thread lives while there is a job to ask after.

    Args:
        look: a job's result, None while it runs; a `BackendError` where there will be none.
        seconds: between two rounds.
    """

    def __init__(self, look: Callable[[str], Result | None], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._known: OrderedDict[str, Result | BackendError] = OrderedDict()
        self._thread: threading.Thread | None = None

    def result(self, job: str) -> Result | None:
        """What is known now; asks after the job from now on."""
        with self._lock:
            if job not in self._known:
                self._open.add(job)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="ibm-watch", daemon=True)
                    self._thread.start()
                return None
            known = self._known[job]
            if isinstance(known, Result):
                return known
            del self._known[job]  # a failure is told once: the job may be asked after again
            raise known

    def forget(self, job: str) -> None:
        """No longer asks after the job."""
        with self._lock:
            self._open.discard(job)
            self._known.pop(job, None)

    def _run(self) -> None:
        while True:
            pause = self._seconds
            for job in sorted(self._open):
                try:
                    self._tell(job, self._look(job))
                except BackendBusyError as busy:
                    pause = max(self._seconds, busy.seconds)
                    break
                except UnansweredError as error:  # says nothing of the job, which goes on and costs money
                    log.warning("asking after %s: %s", job, error)
                except BackendError as error:
                    self._tell(job, error)
            with self._lock:
                if not self._open:
                    self._thread = None
                    return
            time.sleep(pause)

    def _tell(self, job: str, outcome: Result | BackendError | None) -> None:
        with self._lock:
            if outcome is not None and job in self._open:
                self._open.discard(job)
                self._known[job] = outcome
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
