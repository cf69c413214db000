"""A batch of tasks, done: each distinct circuit execution is simulated once, and shots are drawn from it for every task.

The runs of a task, their seeds and their draws are those of a job with the same circuit, method, budget and seed on the same
snapshot (`em.planning`, `backends.simulation`); what differs is that distributions are computed together and used again.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa

from backends.device import Device
from backends.errors import BackendError
from backends.idling import device_of
from em.errors import MitigationFailedError
from em.families import Instance
from em.harness.columns import SCHEMA
from em.harness.executions import Executed, Executions
from em.harness.lineage import git_commit, versions
from em.harness.plan import by_backend
from em.harness.task import Batch, Task
from em.methods import METHODS, Estimate, Workload
from em.observables import bound, grouped
from em.planning import Plan, planned
from schemas.calibration import CalibrationUpdated
from schemas.codec import decode
from schemas.errors import InputError


@dataclass(frozen=True)
class Measured:
    """What became of a batch: rows of `em.harness.columns.SCHEMA`.

    Attributes:
        results: of the tasks that were done.
        failed: of those that were not, one each.
        refused: how many of these can never be done: it is the task itself that is at fault.
    """

    results: pa.Table
    failed: pa.Table
    refused: int = 0


def measure(batch: Batch, calibrations: Mapping[str, bytes]) -> Measured:
    """Does the tasks; what befalls one of them does not stop the others.

    Args:
        batch: the tasks.
        calibrations: backend -> its snapshot, encoded.
    """
    begun = datetime.now(UTC)
    results: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    refused = 0
    for backend, tasks in by_backend(batch.tasks).items():
        device = _device(calibrations[backend])
        plans = {task: _planned(task, batch.circuits[task.circuit_hash]) for task in tasks}
        executions = Executions(device)
        executions.prepare([plan.work for plan in plans.values() if isinstance(plan, Plan)])
        for task, plan in plans.items():
            about = told(batch, task, begun)
            began = time.perf_counter()
            try:
                if isinstance(plan, Exception):
                    raise plan
                results += result_rows(about, batch.circuits[task.circuit_hash], plan, executions.run(plan.work), began)
            except Exception as error:  # the rest of the run goes on
                failed.append(failed_row(about, error))
                refused += isinstance(error, InputError)
    return Measured(pa.Table.from_pylist(results, SCHEMA), pa.Table.from_pylist(failed, SCHEMA), refused)


def failed(batch: Batch, why: str) -> Measured:
    """A batch of which nothing is known but why it failed."""
    at = datetime.now(UTC)
    rows = [{**told(batch, task, at), "error": why, "finished_at": at} for task in batch.tasks]
    return Measured(pa.Table.from_pylist([], SCHEMA), pa.Table.from_pylist(rows, SCHEMA))


def task_plan(task: Task, instance: Instance) -> Plan:
    """How a task is run.

    Raises:
        JobInvalidError: its method cannot do it.
    """
    workload = Workload(1, instance.observables, grouped(instance.observables), task.budget, (instance.source,))
    return planned(METHODS[task.method], workload, json.loads(task.parameters), task.seed)


def _planned(task: Task, instance: Instance) -> Plan | Exception:
    try:
        return task_plan(task, instance)
    except Exception as error:  # said in the task's row
        return error


def result_rows(about: Mapping[str, Any], instance: Instance, plan: Plan, executed: Executed, began: float) -> list[dict[str, Any]]:
    """A task's results, one for each observable; `began` on `time.perf_counter`, when its computation did."""
    estimates: Sequence[Estimate | None] = [None] * len(instance.observables)
    why = ""
    try:
        [estimates] = plan.combine(executed.result)
    except MitigationFailedError as error:
        why = str(error)
    shots, cost_usd = plan.bill(executed.result)
    shared = {
        **about,
        "shots": shots,
        "executions": len(plan.work.runs),
        "device_seconds": executed.result.execution_seconds,
        "cost_usd": cost_usd,
        "engine": executed.engine,
        "approximate": executed.approximate,
        "compute_seconds": time.perf_counter() - began,
        "finished_at": datetime.now(UTC),
    }
    return [
        {
            **shared,
            "observable": observable.name,
            "bound": bound(observable),
            "ideal": ideal,
            "raw": estimate and estimate.raw_value,
            "estimate": estimate and estimate.value,
            "standard_error": estimate and estimate.standard_error,
            "abstained": estimate is None or estimate.abstained,
            "note": why if estimate is None else estimate.note,
        }
        for observable, ideal, estimate in zip(instance.observables, instance.ideal, estimates, strict=True)
    ]


def told(batch: Batch, task: Task, begun: datetime) -> dict[str, Any]:
    """What a row says of its task."""
    instance = batch.circuits[task.circuit_hash]
    return {
        "task_id": task.task_id,
        "circuit": task.circuit,
        "circuit_seed": batch.circuit_seed,
        "circuit_hash": task.circuit_hash,
        "qubits": instance.qubits,
        "depth": instance.depth,
        "two_qubit_gates": instance.two_qubit_gates,
        "backend": task.backend,
        "calibration_id": task.calibration_id,
        "method": task.method,
        "method_version": task.method_version,
        "parameters": task.parameters,
        "budget": task.budget,
        "seed": task.seed,
        "started_at": begun,
        "git_commit": git_commit(),
        "software": versions(),
    }


def failed_row(about: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """The row of a task that an error ended; what this program or a backend can say in a sentence is said without the type."""
    said = str(error) if isinstance(error, InputError | BackendError) else f"{type(error).__name__}: {error}"
    return {**about, "error": said, "finished_at": datetime.now(UTC)}


@lru_cache(maxsize=16)
def _device(encoded: bytes) -> Device:
    return device_of(decode(CalibrationUpdated, encoded))
