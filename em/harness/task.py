"""What is measured: a task, named by a hash of all that its result depends on, and batches of tasks that share simulations."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from em.families import Instance

_FORMAT = 1
"""Changes when the same task would be run otherwise than before."""

LIVE = "live"
"""The calibration of a task that a backend runs itself: it is known when the task has run, and changes from hour to hour, while
a task keeps its name for as long as its job may wait."""


@dataclass(frozen=True)
class Task:
    """One method on one circuit of one device with one budget.

    Attributes:
        family, circuit: which circuit, by its number in the family.
        circuit_hash: of the circuit and its observables.
        backend, calibration_id: the device and its snapshot, `LIVE` where the device runs the task itself.
        method, method_version, parameters: how errors are mitigated; parameters as canonical JSON, defaults included.
        budget: shots per circuit and group of observables, before the method's own overhead.
        seed: of the job: `quantumai submit` with the same circuit, method, budget, backend and seed gives the same numbers.
    """

    family: str
    circuit: int
    circuit_hash: str
    backend: str
    calibration_id: str
    method: str
    method_version: str
    parameters: str
    budget: int
    seed: int

    @cached_property
    def task_id(self) -> str:
        """SHA-256 (hex) of all attributes but the circuit's number."""
        content = [
            _FORMAT,
            self.family,
            self.circuit_hash,
            self.backend,
            self.calibration_id,
            self.method,
            self.method_version,
            self.parameters,
            self.budget,
            self.seed,
        ]
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Batch:
    """Tasks on a few circuits of one family: what one process does at a time, and what one file holds.

    Attributes:
        circuits: by hash, the circuits of the tasks.
        circuit_seed: that they were drawn with.
    """

    family: str
    circuit_seed: int
    circuits: Mapping[str, Instance]
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """A hash of the tasks' ids."""
        return hashlib.sha256("".join(sorted(task.task_id for task in self.tasks)).encode()).hexdigest()[:16]


def job_seed(seed: int, circuit_hash: str, backend: str) -> int:
    """The seed of all jobs of a run on one circuit and backend, 63 bits: methods and budgets share twirls and samples there,
    so that they share simulations and are compared on the same noise; different circuits and backends are independent."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{circuit_hash}/{backend}".encode()).digest()[:8]) >> 1
