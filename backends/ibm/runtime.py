"""IBM's devices through `QiskitRuntimeService`: works become jobs of the new Sampler, found again by their tags."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from types import MappingProxyType
from typing import Any

from qiskit_ibm_runtime import Batch, Session
from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError
from qiskit_ibm_runtime.executor_sampler import Sampler

from backends.adapter import Result, Work
from backends.calibration import from_properties
from backends.device import Device
from backends.errors import BackendError
from backends.ibm.circuits import Part, parts, read
from backends.ibm.connection import Connection
from backends.ibm.faults import UnknownJobError, failure
from backends.ibm.settings import IbmSettings, Mode
from backends.ibm.watch import Watch
from backends.terms import cost, terms_of
from schemas.calibration import CalibrationUpdated, Price
from schemas.record import now

PROVIDER = "ibm"
FRESH_SECONDS = 60.0
"""How long a calibration and a queue length are believed."""

MODES: Mapping[Mode, Callable[[Any], AbstractContextManager[Any]]] = MappingProxyType(
    {"job": nullcontext, "batch": Batch, "session": Session}
)
_LOST = frozenset({"ERROR", "CANCELLED"})


class IbmRuntime:
    """Implements `backends.adapter.Backend`; `submit`, `attach` and `cancel` take as long as IBM's answers do.

    A work is one job for each number of shots in it; `vendor_job_id` has their ids, by comma.
    """

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection = connection
        self._terms = terms_of(name)
        self._lock = threading.RLock()
        self._device: Device | None = None
        self._said: CalibrationUpdated | None = None
        self._asked_at = 0.0
        self._jobs: dict[str, Any] = {}
        self._local: dict[str, dict[str, str]] = {}
        self._watch = Watch(self._look, connection.settings.poll_seconds)

    def calibration(self) -> CalibrationUpdated:
        """See `Backend`; a device that does not answer is said to be unavailable, under its last calibration.

        Raises:
            BackendError: it never answered, or its values cannot be used.
        """
        with self._lock:
            if self._said is None or time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._said = self._refreshed()
                self._asked_at = time.monotonic()
            return self._said.model_copy(update={"published_at": now()})

    def price(self) -> Price:
        """See `Backend`."""
        return self._terms.price

    def submit(self, work: Work, tag: str) -> str:
        """See `Backend`; of a work that was half submitted, what is missing."""
        with self._lock:
            found = self._found(tag)
            wanted = parts(self._compiler(), work)
            missing = [part for part in wanted if part.label not in found]
            if missing:
                found |= self._connection.ask(lambda _, device: self._posted(device, missing, work.seed, tag))
            if self._connection.local:
                self._local[tag] = found
            return ",".join(found[part.label] for part in wanted)

    def attach(self, tag: str) -> str | None:
        """See `Backend`; None, too, where a part is missing or has failed: `submit` starts that one again."""
        with self._lock:
            found = self._found(tag)
            total = int(next(iter(found)).partition("of")[2]) if found else 0
            labels = [f"{number}of{total}" for number in range(1, total + 1)]
            return ",".join(found[label] for label in labels) if found and set(labels) == set(found) else None

    def result(self, vendor_job_id: str) -> Result | None:
        """See `Backend`."""
        return self._watch.result(vendor_job_id)

    def cancel(self, vendor_job_id: str) -> None:
        """See `Backend`."""
        self._watch.forget(vendor_job_id)
        for job_id in vendor_job_id.split(","):
            with suppress(UnknownJobError):
                self._connection.ask(partial(self._cancelled, job_id))
            self._jobs.pop(job_id, None)
        self._local = {tag: jobs for tag, jobs in self._local.items() if ",".join(jobs.values()) != vendor_job_id}

    def _refreshed(self) -> CalibrationUpdated:
        try:
            found = from_properties(self.name, PROVIDER, *self._connection.properties(), self._terms)
            running, waiting = self._connection.ask(lambda _, device: _status(device))
        except BackendError:
            if self._said is None:
                raise
            return self._said.model_copy(update={"availability": 0.0})
        if self._device is None or self._device.calibration.calibration_id != found.calibration_id:
            self._device = Device(found)
        queue = {"queue_length": waiting, "queue_seconds": waiting * self._terms.queue_seconds, "availability": float(running)}
        return found.model_copy(update=queue)

    def _compiler(self) -> Device:
        self.calibration()
        if self._device is None:
            raise BackendError(f"{self.name} has no calibration yet")
        return self._device

    def _found(self, tag: str) -> dict[str, str]:
        """Label -> IBM's job id, of the parts under this tag that run or have run."""
        if self._connection.local:
            return dict(self._local.get(tag, {}))

        def found(service: Any, _device: Any) -> dict[str, str]:
            jobs = service.jobs(job_tags=[tag], limit=None, descending=False)
            alive = [job for job in jobs if _state(job) not in _LOST]
            self._jobs |= {job.job_id(): job for job in alive}
            return {str(_label(job, tag)): str(job.job_id()) for job in alive}

        return self._connection.ask(found)

    def _posted(self, device: Any, missing: list[Part], seed: int, tag: str) -> dict[str, str]:
        found = {}
        with MODES[self._connection.settings.mode](device) as group:
            for part in missing:
                tags = {"environment": {"job_tags": [tag, f"{tag}.{part.label}"]}}
                simulator = {"simulator": {"seed_simulator": seed % 2**31}} if self._connection.local else {}
                job = Sampler(mode=group or device, options={**tags, **simulator}).run(part.circuits, shots=part.shots)
                self._jobs[job.job_id()] = job
                found[part.label] = str(job.job_id())
        return found

    def _look(self, vendor_job_id: str) -> Result | None:
        """The result from IBM, None while a part runs."""
        return self._connection.ask(lambda service, _: self._collected(service, vendor_job_id.split(",")))

    def _collected(self, service: Any, job_ids: list[str]) -> Result | None:
        jobs = [self._job(service, job_id) for job_id in job_ids]
        states = [_state(job) for job in jobs]
        for job, state in zip(jobs, states, strict=True):
            if state == "ERROR":
                raise failure(job.error_message() or "without a reason", self._connection.secret)
            if state == "CANCELLED":
                raise BackendError(f"the job {job.job_id()} was cancelled at IBM")
        if set(states) != {"DONE"}:
            return None
        answer = read([job.result() for job in jobs])
        charged = [_charged(job) for job in jobs]
        seconds = sum(charged) if all(charged) else answer.seconds
        for job_id in job_ids:
            self._jobs.pop(job_id, None)
        paid = cost(self.price(), answer.shots, seconds)
        return Result(answer.counts, seconds, paid, answer.calibration_id, answer.weights, answer.forecasts)

    def _cancelled(self, job_id: str, service: Any, _device: Any) -> None:
        with suppress(RuntimeInvalidStateError):  # it is over
            self._job(service, job_id).cancel()

    def _job(self, service: Any, job_id: str) -> Any:
        if job_id not in self._jobs:
            if self._connection.local:
                raise UnknownJobError(f"{self.name} has no job {job_id}: local simulations end with the process that ran them")
            self._jobs[job_id] = service.job(job_id)
        return self._jobs[job_id]


def connect(name: str) -> IbmRuntime:
    """The device behind `ibm:`; nothing is asked of IBM yet.

    Raises:
        BackendError: no token.
    """
    return IbmRuntime(name, Connection(name.partition(":")[2], IbmSettings.load()))


def _state(job: Any) -> str:
    state = job.status()
    return str(getattr(state, "name", state))


def _label(job: Any, tag: str) -> str:
    return next((str(each).removeprefix(f"{tag}.") for each in job.tags if each.startswith(f"{tag}.")), "1of1")


def _charged(job: Any) -> float:
    """Seconds that IBM charges for; 0 while it has not said so."""
    usage: Mapping[str, Any] = job.metrics().get("usage", {})
    return float(usage.get("qpu_charge_time_seconds") or 0.0)


def _status(device: Any) -> tuple[bool, int]:
    """Whether the device runs jobs, and how many wait."""
    if not hasattr(device, "status"):
        return True, 0
    status = device.status()
    return bool(status.operational) and status.status_msg == "active", int(status.pending_jobs)
