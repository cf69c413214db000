"""A backend that computes nothing: counts drawn from a hash of what was asked, and faults on demand, for CI and drills.

Its name says how it misbehaves: `mock`, or `mock:` and faults by `/`, each a row of `FAULTS` and a number: `mock:fails-2/slow-3`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType

import numpy as np

from backends.adapter import Result, Run, Work
from backends.aer import snapshot
from backends.calibration import content_hash
from backends.device import Device
from backends.errors import BackendBusyError, BackendError
from backends.pool import SimulationPool
from backends.preparation import Prepared, prepare
from backends.sampling import spelled
from backends.terms import cost, terms_of
from schemas.calibration import CalibrationUpdated, Price
from schemas.record import now

PROVIDER = "mock"

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "fails": "the first N submissions fail",
        "busy": "the first N submissions, not counting those, are told to come back in a second",
        "breaks": "the first N jobs fail while they run",
        "loses": "the first N jobs are unknown once they are asked for",
        "slow": "a job's result is there at the question after the N-th",
        "queued": "the first N jobs stay queued for ever",
    }
)
_FAULT = re.compile(r"([a-z]+)-(\d+)")
_OUTCOMES = 4  # different bit strings per run, at most


class Mock:
    """Implements `backends.adapter.Backend`: the same work gives the same counts, and the same questions the same faults."""

    def __init__(self, name: str, faults: Mapping[str, int]) -> None:
        self.name = name
        self._faults = faults
        self._calibration = _snapshot(name)
        self._device = Device(self._calibration)
        self._seen = dict.fromkeys(FAULTS, 0)
        self._jobs: dict[str, Work] = {}
        self._asked: dict[str, int] = {}
        self._broken: dict[str, str] = {}
        self._queued: set[str] = set()

    def calibration(self) -> CalibrationUpdated:
        """See `Backend`."""
        return self._calibration.model_copy(update={"published_at": now()})

    def price(self) -> Price:
        """See `Backend`."""
        return self._calibration.price

    def submit(self, work: Work, tag: str) -> str:
        """See `Backend`; the tag is the vendor's job id."""
        if tag not in self._jobs:
            if self._happens("fails"):
                raise BackendError(f"{self.name} was told to fail")
            if self._happens("busy"):
                raise BackendBusyError(f"{self.name} was told to be busy", seconds=1.0)
            for run in work.runs:
                prepare(self._device, work, run)
            self._jobs[tag], self._asked[tag] = work, 0
            for fault, sentence in (("breaks", "was told to break this job"), ("loses", "has no such job")):
                if tag not in self._broken and self._happens(fault):
                    self._broken[tag] = f"{self.name} {sentence}: {tag}"
            if self._happens("queued"):
                self._queued.add(tag)
        return tag

    def attach(self, tag: str) -> str | None:
        """See `Backend`."""
        return tag if tag in self._jobs else None

    def result(self, vendor_job_id: str) -> Result | None:
        """See `Backend`."""
        if vendor_job_id in self._broken or vendor_job_id not in self._jobs:
            self.cancel(vendor_job_id)
            raise BackendError(self._broken.pop(vendor_job_id, f"{self.name} has no job {vendor_job_id}"))
        self._asked[vendor_job_id] += 1
        if vendor_job_id in self._queued or self._asked[vendor_job_id] <= self._faults.get("slow", 0):
            return None
        work = self._jobs[vendor_job_id]
        prepared = [prepare(self._device, work, run) for run in work.runs]
        seconds = sum(run.shots * each.shot_seconds for run, each in zip(work.runs, prepared, strict=True))
        return Result(
            counts=tuple(_counts(work, run, each) for run, each in zip(work.runs, prepared, strict=True)),
            execution_seconds=seconds,
            cost_usd=cost(self.price(), sum(run.shots for run in work.runs), seconds),
            calibration_id=self._calibration.calibration_id,
            weights=tuple(each.weight for each in prepared),
            forecasts=tuple(each.forecast for each in prepared),
        )

    def cancel(self, vendor_job_id: str) -> None:
        """See `Backend`."""
        self._jobs.pop(vendor_job_id, None)
        self._queued.discard(vendor_job_id)

    def _happens(self, fault: str) -> bool:
        """Whether the fault is due, and counts it."""
        self._seen[fault] += 1
        return self._seen[fault] <= self._faults.get(fault, 0)


def connect(name: str, pool: SimulationPool) -> Mock:
    """The mock with the faults that its name asks for.

    Raises:
        BackendError: a fault that there is not.
    """
    _, _, asked = name.partition(":")
    faults = {}
    for fault in filter(None, asked.split("/")):
        found = _FAULT.fullmatch(fault)
        if found is None or found[1] not in FAULTS:
            raise BackendError(f"the mock knows no fault {fault!r}; it knows {', '.join(f'{known}-N' for known in FAULTS)}")
        faults[found[1]] = int(found[2])
    return Mock(name, faults)


def _snapshot(name: str) -> CalibrationUpdated:
    """The noisy Aer device under another name."""
    likeness = snapshot("aer_noisy")
    identity = content_hash(likeness.qubits, likeness.gates, likeness.taken_at)
    return likeness.model_copy(update={"backend": name, "provider": PROVIDER, "calibration_id": identity, **dict(terms_of(name))})


def _counts(work: Work, run: Run, prepared: Prepared) -> dict[str, int]:
    """A few bit strings of the run's width, drawn from the hash of the seed, the circuit and the run.

    Scale 0 is read as it was prepared, so that methods that calibrate the readout find a perfect one.
    """
    if run.scale == 0:
        prepared_bits = np.array([[qubit in run.flips for qubit in prepared.read]])
        return {spelled(prepared_bits, prepared.columns)[0]: run.shots}
    said = {each.name: getattr(run, each.name) for each in fields(run) if getattr(run, each.name) != each.default}
    asked = json.dumps([work.seed, work.bodies[run.body], said], sort_keys=True)
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(asked.encode()).digest()))
    bits = draw.integers(2, size=(_OUTCOMES, len(prepared.read))).astype(bool)
    texts = sorted(set(spelled(bits, prepared.columns)))
    times = draw.multinomial(run.shots, draw.dirichlet(np.ones(len(texts))))
    return {text: int(count) for text, count in zip(texts, times, strict=True) if count}
