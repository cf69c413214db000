"""A backend that is simulated in this machine's own processes."""

import threading
import uuid
from collections import OrderedDict
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from backends.adapter import Result, Work
from backends.errors import BackendError
from backends.pool import SimulationPool
from backends.simulation import Outcome
from backends.terms import cost
from schemas.calibration import CalibrationUpdated, Price
from schemas.record import now

_READ_RESULTS = 64  # results kept after they were read, for a reader whose transaction failed


@dataclass(slots=True)
class _Job:
    tag: str
    shots: int
    future: "Future[Outcome]"


class LocalBackend:
    """Implements `backends.adapter.Backend`. Its jobs die with the process; the same work and seed give the same counts again.

    A running simulation cannot be stopped: `cancel` drops its result.
    """

    def __init__(self, calibration: CalibrationUpdated, pool: SimulationPool) -> None:
        self._calibration = calibration
        self._pool = pool
        self._jobs: dict[str, _Job] = {}
        self._ids: dict[str, str] = {}
        self._read: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """See `Backend`."""
        return self._calibration.backend

    def calibration(self) -> CalibrationUpdated:
        """See `Backend`."""
        return self._calibration.model_copy(update={"published_at": now()})

    def price(self) -> Price:
        """See `Backend`."""
        return self._calibration.price

    def submit(self, work: Work, tag: str) -> str:
        """See `Backend`."""
        with self._lock:
            if tag in self._ids:
                return self._ids[tag]
            vendor_job_id = f"{self.name}-{uuid.uuid4()}"
            self._jobs[vendor_job_id] = _Job(tag, sum(run.shots for run in work.runs), self._pool.submit(self._calibration, work))
            self._ids[tag] = vendor_job_id
            return vendor_job_id

    def attach(self, tag: str) -> str | None:
        """See `Backend`."""
        return self._ids.get(tag)

    def result(self, vendor_job_id: str) -> Result | None:
        """See `Backend`."""
        job = self._jobs.get(vendor_job_id)
        if job is None:
            raise BackendError(f"{self.name} has no job {vendor_job_id}: simulations end with the process that ran them")
        if not job.future.done():
            return None
        try:
            outcome = job.future.result()
        except (BrokenProcessPool, CancelledError) as error:
            self._forget(vendor_job_id)
            raise BackendError(f"a simulation process of {self.name} died; the job can be submitted again") from error
        except Exception:
            self._forget(vendor_job_id)
            raise
        self._keep_for_a_while(vendor_job_id)
        return Result(
            counts=outcome.counts,
            execution_seconds=outcome.execution_seconds,
            cost_usd=cost(self.price(), job.shots, outcome.execution_seconds),
            calibration_id=self._calibration.calibration_id,
            weights=outcome.weights,
            forecasts=outcome.forecasts,
        )

    def cancel(self, vendor_job_id: str) -> None:
        """See `Backend`."""
        job = self._jobs.get(vendor_job_id)
        if job is not None:
            job.future.cancel()
            self._forget(vendor_job_id)

    def _keep_for_a_while(self, vendor_job_id: str) -> None:
        with self._lock:
            self._read[vendor_job_id] = None
            oldest = next(iter(self._read)) if len(self._read) > _READ_RESULTS else None
        if oldest is not None:
            self._forget(oldest)

    def _forget(self, vendor_job_id: str) -> None:
        with self._lock:
            self._read.pop(vendor_job_id, None)
            job = self._jobs.pop(vendor_job_id, None)
            if job is not None:
                self._ids.pop(job.tag, None)
