"""What runs achieve against what a model expects: real runs of jobs, on the device as it is calibrated and on a worse one."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from backends.device import Device
from em.families import FAMILIES
from em.harness.executions import Executions
from em.learned.devices import snapshot
from em.methods import METHODS, Workload
from em.planning import planned
from policy.achieved import WIDEST, completed, nightly
from policy.experience import drifts, experience, short
from policy.model import load
from policy.store import SHIPPED
from schemas.jobs import Expectation, JobCompleted, JobRequested
from schemas.mitigation import EmMeasured

AT = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def jakarta():
    return snapshot("jakarta")


def job(name, family, number, qubits=None):
    instance = FAMILIES[family].instance(number, 7, qubits)
    return JobRequested(job_id=name, circuits=(instance.source,), observables=instance.observables, shots=1024, seed=number)


def result(asked, calibration, expectations, **fields):
    plain = {
        "job_id": asked.job_id,
        "tenant": asked.tenant,
        "status": "DONE",
        "expectations": expectations,
        "shots": asked.shots,
        "seeds": {},
        "method": "raw",
        "method_version": "1",
        "parameters": {},
        "backend": calibration.backend,
        "calibration_id": calibration.calibration_id,
        "vendor_job_id": None,
        "circuit_hash": asked.circuit_hash,
        "result_hash": "0" * 64,
        "queue_seconds": 0.0,
        "execution_seconds": 1.0,
        "cost_usd": 0.0,
        "software": {},
        "routed_event_id": "e",
        "completed_at": AT,
    }
    return JobCompleted(**(plain | fields))


def ran(device, asked, method="raw"):
    """The estimates of a run, as an executor says them."""
    workload = Workload.of(asked)
    plan = planned(METHODS[method], workload, METHODS[method].parameters({}), asked.seed)
    executions = Executions(device)
    executions.prepare([plan.work])
    (row,) = plan.combine(executions.run(plan.work).result)
    return tuple(
        Expectation(circuit=0, observable=each.name, value=found.value, standard_error=found.standard_error, raw_value=None)
        for each, found in zip(asked.observables, row, strict=True)
    )


def learned(device, calibration):
    """The experience of jobs that ran on a device, whatever its calibration said."""
    jobs = [job(f"{family}-{number}", family, number) for family in ("ising", "heisenberg") for number in range(5)]
    results = [
        result(each, calibration, ran(device, each, method), method=method, parameters=METHODS[method].parameters({}))
        for each in jobs
        for method in ("raw", "readout")
    ]
    left_out = Counter()
    achieved = completed(results, {each.job_id: each for each in jobs}, left_out)
    return experience(achieved, {calibration.calibration_id: calibration}, left_out)


def test_jobs_on_a_device_that_obeys_its_calibration_show_no_drift_and_on_a_worse_one_they_do(jakarta):
    gates = tuple(gate.model_copy(update={"error": min(0.9, 6 * gate.error)}) for gate in jakarta.gates)
    model = load(SHIPPED)
    (same,) = drifts(model, learned(Device(jakarta), jakarta))
    (worse,) = drifts(model, learned(Device(jakarta.model_copy(update={"gates": gates})), jakarta))
    assert (same.backend, same.runs) == ("fake_jakarta", 40)
    assert not same.significant and 0.7 < same.ratio < 1.5
    assert worse.significant and worse.ratio > 1.5 * same.ratio


def test_what_the_logarithm_of_one_draw_falls_short_of():
    draw = np.random.default_rng(0).standard_normal(200_000)
    sizes = [np.abs(draw + ratio) for ratio in (0.5, 1.0, 3.0)]
    expected = [np.log(each.mean()) - np.log(each).mean() for each in sizes]
    assert short(np.array([0.5, 1.0, 3.0])) == pytest.approx(expected, abs=0.01)
    assert float(short(np.array([0.0]))[0]) == pytest.approx((np.euler_gamma + np.log(4 / np.pi)) / 2, abs=0.01)
    assert float(short(np.array([100.0]))[0]) < 0.01


def test_what_teaches_nothing_is_counted_by_reason(jakarta):
    asked, wide = job("a", "ghz", 0, 3), job("w", "ghz", 0, WIDEST + 1)
    other, leveled = job("o", "ghz", 1, 4), asked.model_copy(update={"job_id": "l", "optimization_level": 0})
    value = (Expectation(circuit=0, observable=asked.observables[0].name, value=0.5, standard_error=0.1, raw_value=None),)
    jobs = {each.job_id: each for each in (asked, wide, leveled)}
    results = [
        result(asked, jakarta, value),
        result(asked, jakarta, value, status="ERROR", error="broken"),
        result(asked, jakarta, ()),
        result(asked, jakarta, value, method="pec"),
        result(other, jakarta, value),
        result(leveled, jakarta, value),
        result(wide, jakarta, tuple(each.model_copy(update={"observable": wide.observables[0].name}) for each in value)),
        result(asked, jakarta, value, calibration_id="gone"),
    ]
    left_out = Counter()
    found = experience(completed(results, jobs, left_out), {jakarta.calibration_id: jakarta}, left_out)
    assert (found.draws.tolist(), found.errors.tolist()) == ([1], [pytest.approx(0.5)])  # <Z...Z> or <X...X> of a GHZ state is 1
    assert sum(found.left_out.values()) == len(results) - 1
    assert set(found.left_out.values()) == {1}


def test_a_nightly_event_is_found_among_the_circuits_of_its_family(jakarta):
    instance = FAMILIES["ising"].instance(3, 0)
    event = EmMeasured(
        subject="ising/raw",
        family="ising",
        method="raw",
        method_version="1",
        parameters={},
        backend=jakarta.backend,
        calibration_id=jakarta.calibration_id,
        circuit_hash=instance.circuit_hash,
        qubits=instance.qubits,
        depth=instance.depth,
        two_qubit_gates=instance.two_qubit_gates,
        shots=1000,
        ideal=0.5,
        value=0.25,
        standard_error=0.0,
        raw_value=None,
        cost_usd=0.0,
        seed=0,
        software={},
        git_commit="",
        observable=instance.observables[0].name,
        bound=0.5,
        budget=1000,
    )
    left_out = Counter()
    (run,) = nightly([event, event.model_copy(update={"circuit_hash": "f" * 64})], left_out)
    assert (run.source, run.shots, run.error) == (instance.source, 1000, pytest.approx(0.5))
    assert sum(left_out.values()) == 1
