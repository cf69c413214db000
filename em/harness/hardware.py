"""Tasks that backends run themselves: each is a job under the task's id, so that a killed run finds it again and sends none twice.

What a task costs is estimated before it is sent, from the circuits that will run; beyond the limit nothing is sent.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import pyarrow as pa

from backends.adapter import Backend, Result
from backends.device import Device
from backends.errors import BackendBusyError, BackendError
from backends.preparation import prepare
from backends.terms import cost
from em.errors import EmError
from em.harness.columns import SCHEMA
from em.harness.executions import Executed
from em.harness.measure import Measured, failed_row, result_rows, task_plan, told
from em.harness.task import Batch, Task
from em.planning import Plan
from schemas.errors import InputError

MAX_USD = 1.0
WAIT_SECONDS = 3600.0

_AT_ONCE = 3
"""Jobs of one backend that wait or run at the same time: no queue of a plan without charge takes many more."""
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5  # after the first failure; twice as long after each other
_POLL_SECONDS = 0.05


class TooDearError(EmError, InputError):
    """A job would cost more than is left of what the run may cost."""


@dataclass
class _Flight:
    """A task on its way.

    Attributes:
        job: the backend's own name for it, once it was sent.
        not_before: on `time.monotonic`, when to try again.
        usd: what it was expected to cost when it was sent.
    """

    task: Task
    job: str | None = None
    attempts: int = 0
    not_before: float = 0.0
    usd: float = 0.0
    plan: Plan | None = None

    def planned(self, job: Batch) -> Plan:
        """How it is run."""
        if self.plan is None:
            self.plan = task_plan(self.task, job.circuits[self.task.circuit_hash])
        return self.plan


class Hardware:
    """Sends batches and waits for their results, a thread for each backend. For `with`; to leave it cancels no job.

    Args:
        backends: by name.
        max_usd: what all jobs together may cost, by their backends' prices.
        wait_seconds: for all of them; a job that is not over by then is listed, and asked after by the next run.
    """

    def __init__(self, backends: Mapping[str, Backend], max_usd: float = MAX_USD, wait_seconds: float = WAIT_SECONDS) -> None:
        self.backends = backends
        self._threads = {name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in backends}
        self._devices: dict[str, Device] = {}
        self._max_usd, self._wait_seconds = max_usd, wait_seconds
        self._until: float | None = None
        self._spent, self._lock = 0.0, threading.Lock()
        self._left = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    def submit(self, job: Batch) -> "Future[Measured]":
        """Starts a batch of one backend's tasks."""
        return self._threads[job.tasks[0].backend].submit(self._run, job)

    def _run(self, job: Batch) -> Measured:
        begun, results, failures, refused = datetime.now(UTC), list[dict[str, Any]](), list[dict[str, Any]](), 0
        for flight, outcome in self._outcomes([_Flight(task) for task in job.tasks], job):
            about = told(job, flight.task, begun)
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                results += self._rows(job, flight, outcome, about)
            except Exception as error:  # the other tasks go on
                failures.append(failed_row(about, error))
                refused += isinstance(error, InputError)
        return Measured(pa.Table.from_pylist(results, SCHEMA), pa.Table.from_pylist(failures, SCHEMA), refused)

    def _rows(self, job: Batch, flight: _Flight, result: Result, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        ran = {**about, "calibration_id": result.calibration_id, "vendor_job_id": flight.job}
        executed = Executed(result, self._device(flight.task.backend).calibration.provider, approximate=False)
        return result_rows(ran, job.circuits[flight.task.circuit_hash], flight.planned(job), executed, time.perf_counter())

    def _outcomes(self, flights: Sequence[_Flight], job: Batch) -> Iterator[tuple[_Flight, Result | Exception]]:
        """Each task's result, or why there is none, as they come."""
        waiting, flying = deque(flights), list[_Flight]()
        while (waiting or flying) and not self._left.is_set():
            while waiting and len(flying) < _AT_ONCE:
                flying.append(waiting.popleft())
            over = [(flight, outcome) for flight in flying if (outcome := self._safely(flight, job)) is not None]
            flying = [flight for flight in flying if all(flight is not each for each, _ in over)]
            yield from over
            if not over:
                self._left.wait(_POLL_SECONDS)

    def _safely(self, flight: _Flight, job: Batch) -> Result | Exception | None:
        try:
            return self._step(flight, flight.planned(job))
        except Exception as error:  # said in the task's row
            return error

    def _step(self, flight: _Flight, plan: Plan) -> Result | None:
        """Sends the task, or asks after it; None while there is nothing to be had.

        Raises:
            BackendError: there will be no result in this run.
        """
        backend = self.backends[flight.task.backend]
        now = time.monotonic()
        self._until = self._until or now + self._wait_seconds  # from the first that is ready to be sent
        if now > self._until:
            raise BackendError(f"{backend.name} has not run it within {self._wait_seconds:g} s; the next run asks again")
        if now < flight.not_before:
            return None
        try:
            if flight.job is None:
                flight.job = backend.attach(flight.task.task_id) or self._sent(backend, flight, plan)
            result = backend.result(flight.job)
        except BackendBusyError as busy:
            flight.not_before = now + busy.seconds
        except BackendError as error:
            flight.job, flight.attempts = None, flight.attempts + 1
            flight.not_before = now + _PAUSE_SECONDS * 2 ** (flight.attempts - 1)
            if isinstance(error, InputError) or flight.attempts == _ATTEMPTS:
                raise
        else:
            if result is not None:
                self._corrected(result.cost_usd - flight.usd)
            return result
        return None

    def _sent(self, backend: Backend, flight: _Flight, plan: Plan) -> str:
        if not flight.usd:
            flight.usd = self._reserved(self._expected(backend, plan))
        return backend.submit(plan.work, flight.task.task_id)

    def _expected(self, backend: Backend, plan: Plan) -> float:
        """USD, of what will run."""
        work, device = plan.work, self._device(backend.name)
        seconds = sum(run.shots * prepare(device, work, run).shot_seconds for run in work.runs)
        return cost(backend.price(), sum(run.shots for run in work.runs), seconds)

    def _reserved(self, usd: float) -> float:
        with self._lock:
            if self._spent + usd > self._max_usd:
                left = max(0.0, self._max_usd - self._spent)
                raise TooDearError(
                    f"it would cost about {usd:.2f} USD, {left:.2f} of {self._max_usd:.2f} are left; raise --max-usd"
                )
            self._spent += usd
        return usd

    def _corrected(self, usd: float) -> None:
        with self._lock:
            self._spent += usd

    def _device(self, name: str) -> Device:
        if name not in self._devices:
            self._devices[name] = Device(self.backends[name].calibration())
        return self._devices[name]
