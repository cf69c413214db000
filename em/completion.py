"""The records that end a job: what came out, or why nothing did, with all that is needed to do it again."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import rfc8785

from backends.adapter import Result
from em.errors import JobInvalidError
from em.methods import Estimate
from em.planning import Plan, seeds_of
from schemas.jobs import Counts, Expectation, FinalState, JobCompleted, JobStatus
from schemas.mitigation import Parameters

MAX_COUNTS_BYTES = 3 * 1024 * 1024
"""Counts that an event of at most 4 MiB can hold beside the rest."""

_PACKAGES = ("numpy", "qiskit", "qiskit-aer", "qiskit-ibm-runtime", "qiskit-qasm3-import", "quantumai")


def completed(status: JobStatus, plan: Plan, result: Result, at: datetime) -> tuple[JobStatus, JobCompleted]:
    """A job that ran: its final status and its result.

    Raises:
        MitigationFailedError: the counts allow no estimate.
        JobInvalidError: the counts do not fit an event.
    """
    estimates = plan.combine(result)
    expectations = tuple(
        Expectation(
            circuit=circuit,
            observable=observable.name,
            value=estimate.value,
            standard_error=estimate.standard_error,
            raw_value=estimate.raw_value,
        )
        for circuit, row in enumerate(estimates)
        for observable, estimate in zip(plan.workload.observables, row, strict=True)
    )
    counts = (
        () if plan.workload.observables else tuple(Counts(circuit=index, counts=seen) for index, seen in enumerate(result.counts))
    )
    _refuse_the_unwieldy(counts)
    notes = _notes(plan, estimates)
    shots, cost_usd = plan.bill(result)
    outcome: dict[str, Any] = {
        "expectations": expectations,
        "counts": counts,
        "shots": shots,
        "parameters": {**plan.parameters, **({"notes": notes} if notes else {})},
        "calibration_id": result.calibration_id,
        "execution_seconds": result.execution_seconds,
        "cost_usd": cost_usd,
    }
    return _ended(status, "DONE", notes, at), _record(status, "DONE", None, at, outcome)


def failed(status: JobStatus, state: FinalState, sentence: str, at: datetime) -> tuple[JobStatus, JobCompleted]:
    """A job without a result: ERROR or CANCELLED, and the sentence that says why. What the vendor charged is not known: 0."""
    return _ended(status, state, sentence, at), _record(status, state, sentence, at, {})


def result_hash(expectations: Sequence[Expectation], counts: Sequence[Counts]) -> str:
    """SHA-256 (hex) of expectations and counts as canonical JSON (RFC 8785)."""
    content: dict[str, Any] = {
        "expectations": [expectation.model_dump() for expectation in expectations],
        "counts": [seen.model_dump() for seen in counts],
    }
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


@cache
def software() -> dict[str, str]:
    """Package name to version, of what has a part in a result."""
    return {package: version(package) for package in _PACKAGES}


def _ended(status: JobStatus, state: FinalState, message: str, at: datetime) -> JobStatus:
    return status.model_copy(update={"state": state, "message": message, "routed": None, "updated_at": at})


def _record(status: JobStatus, state: FinalState, sentence: str | None, at: datetime, outcome: dict[str, Any]) -> JobCompleted:
    routed = status.routed
    if routed is None or routed.recommendation is None:
        raise JobInvalidError(f"job {status.job_id} is in flight without a decision that says how to run it")
    advice = routed.recommendation
    parameters: Parameters = advice.parameters
    fields: dict[str, Any] = {
        "shots": 0,
        "parameters": parameters,
        "calibration_id": advice.calibration_id,
        "cost_usd": 0.0,
        **outcome,
    }
    return JobCompleted(
        job_id=status.job_id,
        tenant=status.tenant,
        status=state,
        seeds=seeds_of(routed.job.seed),
        method=advice.method,
        method_version=advice.method_version,
        backend=status.backend,
        vendor_job_id=status.vendor_job_id,
        circuit_hash=routed.job.circuit_hash,
        result_hash=result_hash(fields.get("expectations", ()), fields.get("counts", ())),
        queue_seconds=max(0.0, ((status.started_at or at) - status.queued_at).total_seconds()),
        execution_seconds=fields.pop("execution_seconds", 0.0),
        error=sentence,
        software=software(),
        routed_event_id=status.routed_event_id,
        crypto_mode=routed.job.crypto_mode,
        scores=routed.scores,
        reasons=routed.reasons,
        completed_at=at,
        **fields,
    )


def _notes(plan: Plan, estimates: Sequence[Sequence[Estimate]]) -> str:
    return "; ".join(
        f"circuit {circuit}, {observable.name}: {estimate.note}"
        for circuit, row in enumerate(estimates)
        for observable, estimate in zip(plan.workload.observables, row, strict=True)
        if estimate.note
    )


def _refuse_the_unwieldy(counts: Sequence[Counts]) -> None:
    size = sum(len(text) + 8 for seen in counts for text in seen.counts)
    if size > MAX_COUNTS_BYTES:
        raise JobInvalidError(
            f"the counts take {size} bytes, an event holds {MAX_COUNTS_BYTES}; ask for observables, fewer shots or fewer circuits"
        )
