"""What `quantumai scheduler simulate` plays: devices that drift day by day, the policy's advice, and what runs on them achieve."""

import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from backends import ibm_fake
from backends.calibration import from_properties
from backends.device import Device
from backends.errors import BackendError
from backends.terms import terms_of
from em.errors import EmError
from em.families import FAMILIES
from em.harness.executions import Executions
from em.ideal import ideal
from em.learned.devices import drifted
from em.methods import METHODS, Workload
from em.observables import bound
from em.planning import planned
from policy.fallback import Fallback
from policy.learned import Learned
from policy.recommender import Recommender
from scheduler.errors import WorkloadError
from schemas.calibration import CalibrationUpdated, Hop, Price, Route
from schemas.jobs import EmRecommended, JobRequested
from schemas.mitigation import Recommendation

KINDS = (
    ("ghz", 4, None, 400_000),
    ("ising", 4, 2, 400_000),
    ("ising", 5, 4, 200_000),
    ("random", 4, 4, 200_000),
    ("qaoa", 4, 1, 400_000),
    ("mirror", 5, 4, 400_000),
)
"""(family, qubits, depth, shots): what a synthetic workload consists of, all within seven qubits."""

MODES = ("any", "any", "any", "any", "pqc", "qkd")
"""Crypto modes, kind by kind."""

_DEVICES = ("lagos", "nairobi", "oslo", "casablanca", "jakarta", "perth")
_FULL_QKD = 3  # every third device can be reached over quantum keys
_SEED = 0
_PRICE = Price(per_second_usd=0.4, source="assumed: the processor has no list price", as_of="2026-11-21")


class Fleet(Protocol):
    """Devices and their calibrations, day by day."""

    @property
    def days(self) -> int:
        """How many there are; afterwards they come again."""

    @property
    def name(self) -> str:
        """For the record."""

    @property
    def label(self) -> str:
        """For file names."""

    def properties(self, day: int) -> Sequence[CalibrationUpdated]:
        """Of each device on a day, without how it is reached."""


@dataclass(frozen=True)
class Recorded:
    """One device's recorded days, dealt to several devices: each has a stretch of its own, played side by side.

    Attributes:
        path: a tar file of daily backend properties, as IBM's service gives them.
        devices: how many.
    """

    path: Path
    devices: int = 6
    shape: str = "perth"

    @property
    def name(self) -> str:
        """For the record."""
        return f"{self.path.name}, {len(self._files)} days on {self.devices} devices"

    @property
    def label(self) -> str:
        """For file names."""
        return self.path.name.partition(".")[0]

    @property
    def days(self) -> int:
        """How many days each device has."""
        return len(self._files) // self.devices

    @cached_property
    def _files(self) -> Sequence[bytes]:
        try:
            with tarfile.open(self.path) as archive:
                members = sorted((each for each in archive if each.name.endswith(".json")), key=lambda each: each.name)
                files = [archive.extractfile(each) for each in members]
                found = [file.read() for file in files if file is not None]
        except (OSError, tarfile.TarError) as error:
            raise WorkloadError(f"{self.path} is no tar file of calibrations: {error}") from error
        if len(found) < self.devices:
            raise WorkloadError(f"{self.path} holds {len(found)} daily calibrations (*.json), too few for {self.devices} devices")
        return found

    def properties(self, day: int) -> Sequence[CalibrationUpdated]:
        """See `Fleet`."""
        configuration, terms = ibm_fake.shipped(self.shape, "conf"), terms_of("fake_jakarta")
        found = []
        for device in range(self.devices):
            properties: dict[str, Any] = json.loads(self._files[device * self.days + day % self.days])
            found.append(from_properties(f"{self.shape}-{device}", "ibm_fake", properties, configuration, terms))
        return found


@dataclass(frozen=True)
class Drifting:
    """Shipped snapshots of IBM's seven-qubit devices, each day changed a little by a seed."""

    days: int = 30
    seed: int = _SEED
    name: str = "shipped snapshots with random drift"
    label: str = "shipped"

    def properties(self, day: int) -> Sequence[CalibrationUpdated]:
        """See `Fleet`."""
        return [
            drifted(ibm_fake.snapshot(f"fake_{name}", terms_of("fake_jakarta")), (self.seed * 1000 + day) * 16 + place + 1)
            for place, name in enumerate(_DEVICES)
        ]


class World:
    """Implements `scheduler.simulation.World`.

    Args:
        fleet: the devices.
        kept: a file in which achieved fidelities are kept, so that they are simulated once.
        learned: gives the policy's model, as the policy agent has it.
    """

    def __init__(self, fleet: Fleet, kept: Path, learned: Callable[[], Learned | Fallback]) -> None:
        self.fleet, self._kept, self._learned = fleet, kept, learned
        self._days: dict[int, tuple[CalibrationUpdated, ...]] = {}
        self._advice: dict[tuple[str, int], EmRecommended] = {}
        self._executions: dict[str, Executions] = {}
        self._jobs: dict[str, JobRequested] = {}
        self._achieved = _read(kept)

    def kinds(self) -> list[JobRequested]:
        """The jobs of which a synthetic workload consists; their names are the kinds."""
        found = []
        for number, ((family, qubits, depth, shots), mode) in enumerate(zip(KINDS, MODES, strict=True)):
            instance = FAMILIES[family].instance(number, _SEED, qubits, depth)
            name = f"{family}-{qubits}-{depth or 1}"
            asked = {"circuits": (instance.source,), "observables": instance.observables, "shots": shots, "crypto_mode": mode}
            found.append(JobRequested(job_id=name, name=name, seed=number, **asked))
        return found

    def calibrations(self, day: int) -> Sequence[CalibrationUpdated]:
        """See `scheduler.simulation.World`."""
        if day not in self._days:
            self._days[day] = tuple(
                _reached(each, place) for place, each in enumerate(self.fleet.properties(day % self.fleet.days))
            )
        return self._days[day]

    def advice(self, job: JobRequested, kind: str, day: int) -> EmRecommended:
        """See `scheduler.simulation.World`; a kind's advice is the same all day."""
        self._jobs.setdefault(kind, job)
        if (kind, day) not in self._advice:
            calibrations = {each.backend: each for each in self.calibrations(day)}
            self._advice[kind, day] = Recommender(calibrations, self._learned).recommend(job)
        return self._advice[kind, day].model_copy(update={"job_id": job.job_id, "job": job})

    def achieved(self, kind: str, day: int, advice: Recommendation) -> float:
        """See `scheduler.simulation.World`: the method's estimates from a noisy simulation, against the exact values."""
        calibration = next(each for each in self.calibrations(day) if each.backend == advice.backend)
        job = self._jobs[kind]
        key = f"{job.circuit_hash[:16]}/{job.shots}/{calibration.calibration_id[:16]}/{advice.method}-{advice.method_version}"
        if key not in self._achieved:
            self._achieved[key] = self._simulated(job, calibration, advice)
            with self._kept.open("a") as file:
                file.write(json.dumps({"run": key, "fidelity": self._achieved[key]}) + "\n")
        return self._achieved[key]

    def _simulated(self, job: JobRequested, calibration: CalibrationUpdated, advice: Recommendation) -> float:
        """1 - |estimate - exact| / bound / 2, the mean over observables; 0 where the method gives nothing or the device cannot."""
        if calibration.calibration_id not in self._executions:
            self._executions = {calibration.calibration_id: Executions(Device(calibration)), **_last(self._executions)}
        executions = self._executions[calibration.calibration_id]
        try:
            plan = planned(METHODS[advice.method], Workload.of(job), advice.parameters, job.seed)
            executions.prepare([plan.work])
            estimates = plan.combine(executions.run(plan.work).result)
        except (EmError, BackendError):  # what would end as ERROR is worth nothing
            return 0.0
        errors = [
            min(abs(estimate.value - exact) / bound(observable), 2.0)
            for source, found in zip(job.circuits, estimates, strict=True)
            for observable, exact, estimate in zip(job.observables, ideal(source, job.observables), found, strict=True)
        ]
        return 1.0 - sum(errors) / len(errors) / 2 if errors else 0.0


def _last(executions: Mapping[str, Executions], most: int = 12) -> dict[str, Executions]:
    return dict(list(executions.items())[:most])


def _read(kept: Path) -> dict[str, float]:
    if not kept.exists():
        return {}
    rows = [json.loads(line) for line in kept.read_text().splitlines() if line.endswith("}")]
    return {row["run"]: row["fidelity"] for row in rows}


def _reached(calibration: CalibrationUpdated, place: int) -> CalibrationUpdated:
    """With price, availability and routes: classical and post-quantum everywhere, quantum keys at every third."""
    suites = ("QKD-BB84", "X25519MLKEM768", "X25519") if place % _FULL_QKD == 0 else ("X25519MLKEM768", "X25519")
    name = calibration.backend
    hops = (Hop(source="control-plane", target="hub", suites=suites), Hop(source="hub", target=name, suites=suites))
    return calibration.model_copy(
        update={
            "price": _PRICE,
            "availability": 1.0,
            "drifts": True,
            "queue_length": 0,
            "queue_seconds": 0.0,
            "crypto_suites": suites,
            "routes": (Route(name="hub", hops=hops),),
        }
    )
