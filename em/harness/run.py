"""A run: what the plan asks for and the store does not have, done by a few processes, written by this one alone.

Kill it at any time: what is written is whole, what was under way is done again by the next run.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from em.errors import EmError
from em.families import Instance
from em.harness.hardware import Hardware
from em.harness.measure import Measured, failed, measure
from em.harness.plan import Scope, batch, shares, tasks
from em.harness.store import FAILED, RESULTS, Store
from em.harness.task import LIVE, Batch
from em.harness.workers import Workers
from schemas.calibration import CalibrationUpdated
from schemas.codec import encode

_ATTEMPTS = 2  # a batch whose process died so often is given up: it needs more memory than there is
_DIED = "the process that ran it died; is there enough memory?"


@dataclass
class Ran:
    """What a run did.

    Attributes:
        asked: tasks in the scope.
        measured, skipped, failed: tasks that have results now, had them before, or failed now.
        repeated: tasks that are others of the same run: small families draw the same circuit again.
        refused: of those that failed, the tasks that can never be done as they are asked for.
        problems: circuits that could not be drawn, a sentence each.
        seconds: from start to end.
    """

    asked: int
    measured: int = 0
    skipped: int = 0
    failed: int = 0
    repeated: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


Progress = Callable[[Ran], None]


def run(
    scope: Scope,
    store: Store,
    calibrations: Mapping[str, CalibrationUpdated],
    *,
    hardware: Hardware | None = None,
    workers: int = 2,
    progress: Progress = lambda ran: None,
    waiting: Callable[[], None] = lambda: None,
) -> Ran:
    """Measures what is missing.

    Args:
        scope: what is asked for.
        store: where results are and come.
        calibrations: of the scope's backends that are simulated.
        hardware: the others, which run their tasks themselves.
        workers: processes.
        progress: called when something was done.
        waiting: called if another run writes to the store, before waiting for its end.

    Raises:
        StoreError: a result cannot be written.
    """
    began = time.monotonic()
    ran = Ran(scope.size)
    with store.writing(waiting), Workers(workers) as pool, hardware or Hardware({}) as sender:
        for job, found in _Run(scope, store.done(), calibrations, sender, ran).measured(pool):
            for kind, rows in ((RESULTS, found.results), (FAILED, found.failed)):
                if len(rows):
                    store.write(kind, job.family, job.name, rows)
            ran.failed += len(found.failed)
            ran.refused += found.refused
            ran.measured += len(job.tasks) - len(found.failed)
            progress(ran)
    ran.seconds = time.monotonic() - began
    return ran


class _Run:
    """What is still to be done. Few calls are in flight at a time, so that few are to blame when a process dies."""

    def __init__(
        self, scope: Scope, done: set[str], calibrations: Mapping[str, CalibrationUpdated], hardware: Hardware, ran: Ran
    ) -> None:
        self._scope, self._hardware = scope, hardware
        self._done, self._claimed = done, set(done)
        self._ids = {name: calibration.calibration_id for name, calibration in calibrations.items()}
        self._ids |= dict.fromkeys(hardware.backends, LIVE)
        self._snapshots = {name: encode(calibration) for name, calibration in calibrations.items()}
        self._ran = ran
        self._draws = deque(scope.draws())
        self._batches: deque[tuple[Batch, int]] = deque()
        self._drawing: set[Future[list[tuple[int, Instance]]]] = set()
        self._measuring: dict[Future[Measured], tuple[Batch, int]] = {}
        self._sent: dict[Future[Measured], tuple[Batch, int]] = {}

    def measured(self, pool: Workers) -> Iterator[tuple[Batch, Measured]]:
        """Batches as they are done."""
        while self._draws or self._batches or self._drawing or self._measuring or self._sent:
            self._start(pool)
            flying: set[Future[Any]] = {*self._drawing, *self._measuring, *self._sent}
            done = wait(flying, return_when=FIRST_COMPLETED).done
            for future in done & self._drawing:
                self._drawn(future)
            for future in done & self._measuring.keys():
                yield from self._over(future, *self._measuring.pop(future))
            for future in done & self._sent.keys():
                yield from self._over(future, *self._sent.pop(future))

    def _start(self, pool: Workers) -> None:
        while len(self._drawing) + len(self._measuring) <= pool.size and (self._draws or self._batches):
            if self._batches and (len(self._batches) > pool.size or not self._draws):
                job, attempt = self._batches.popleft()
                self._measuring[pool.submit(measure, job, self._snapshots)] = job, attempt
            else:
                self._drawing.add(pool.submit(self._scope.draw, *self._draws.popleft()))

    def _drawn(self, future: Future[list[tuple[int, Instance]]]) -> None:
        self._drawing.remove(future)
        try:
            drawn = future.result()
        except BrokenProcessPool:
            self._ran.problems.append(f"some circuits could not be drawn: {_DIED}; the next run tries again")
        except EmError as error:
            self._ran.problems.append(str(error))
        except Exception as error:  # the other circuits go on
            self._ran.problems.append(f"some circuits could not be drawn: {type(error).__name__}: {error}")
        else:
            new = batch(self._scope, drawn, self._ids, self._claimed)
            asked = len(drawn) * self._scope.size // (len(self._scope.families) * self._scope.circuits)
            there = {task.task_id for task in tasks(self._scope, drawn, self._ids)} & self._done
            self._ran.skipped += len(there)
            self._ran.repeated += asked - len(there) - (len(new.tasks) if new else 0)
            if new:
                self._claimed.update(task.task_id for task in new.tasks)
                self._queue(new)

    def _queue(self, new: Batch) -> None:
        for share in shares(new, self._hardware.backends):
            if share.tasks[0].backend in self._hardware.backends:
                self._sent[self._hardware.submit(share)] = share, 0
            else:
                self._batches.append((share, 0))

    def _over(self, future: Future[Measured], job: Batch, attempt: int) -> Iterator[tuple[Batch, Measured]]:
        try:
            yield job, future.result()
        except BrokenProcessPool:
            if attempt + 1 < _ATTEMPTS:
                self._batches.append((job, attempt + 1))
            else:
                yield job, failed(job, _DIED)
        except Exception as error:  # the other batches go on
            yield job, failed(job, f"{type(error).__name__}: {error}")
