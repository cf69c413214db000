"""A job on an IBM device, from its recommendation to its result, by what the agents call; the cloud is the stand-in."""

import logging
import time

import pytest
from ibm_cloud import DEVICE, Cloud, Fault

from backends import registry
from backends.refresh import Refresh
from em.execution import FINAL, Execution
from policy.recommender import Recommender
from scheduler.routing import Scheduler
from schemas.cloudevents import Event
from schemas.jobs import JobCompleted, JobRequested, JobStatus, Observable, PauliTerm
from schemas.record import now

NAME = f"ibm:{DEVICE}"
BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
ZZ = Observable(name="zz", terms=(PauliTerm(pauli="ZZ", coefficient=1.0),))


class Jobs(dict[str, JobStatus]):
    """What the worker's view of job.status offers."""

    def partition(self, partition: int) -> "Jobs":
        return self

    def find(self, key: str) -> JobStatus | None:
        return self.get(key)

    def take(self, records: list) -> list[JobCompleted]:
        self.update({record.job_id: record for record in records if isinstance(record, JobStatus)})
        return [record for record in records if isinstance(record, JobCompleted)]


def _until_done(execution: Execution, jobs: Jobs, seconds: float = 30) -> JobCompleted:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done = jobs.take(execution.poll(0))
        if done:
            return done[0]
        time.sleep(0.05)
    raise AssertionError(f"still {jobs} after {seconds} s")


def test_a_job_runs_at_ibm_through_a_rate_limit_and_the_death_of_its_executor(cloud: Cloud) -> None:
    cloud.properties["last_update_date"] = now().isoformat()  # nothing is routed to a device that was calibrated long ago
    fleet = registry.load([NAME])
    calibrations = {NAME: fleet[NAME].calibration()}
    job = JobRequested(job_id="job", circuits=(BELL,), observables=(ZZ,), method="readout", shots=2000, optimization_level=3)
    routed = Scheduler(calibrations).route(Recommender(calibrations).recommend(job))
    assert routed.backend == NAME, routed.reasons
    jobs = Jobs()
    first = Execution(fleet, jobs, {})
    first.start()
    jobs.take([first.accept(Event(routed, "decision", b"\0" * 32))])
    cloud.faults.append(Fault("GET /jobs", status=429, headers={"Retry-After": "1"}))
    for _ in range(20):
        jobs.take(first.poll(0))  # busy: more polls than a job has attempts
    assert (jobs["job"].state, len(cloud.jobs)) == ("QUEUED", 0)
    time.sleep(1.1)
    first.poll(0)  # submitted, and killed before RUNNING was said
    submitted = len(cloud.jobs)
    assert submitted >= 1
    second = Execution(registry.load([NAME]), jobs, {})
    done = _until_done(second, jobs)
    assert done.status == "DONE", done.error
    assert len(cloud.jobs) == submitted
    assert jobs["job"].state in FINAL and set(str(done.vendor_job_id).split(",")) == set(cloud.jobs)
    assert abs(done.expectations[0].value - 1.0) < 0.1
    assert done.cost_usd == pytest.approx(1.6 * cloud.usage_seconds * submitted)
    assert done.calibration_id == calibrations[NAME].calibration_id


def test_one_bad_calibration_is_said_once_and_stops_no_other(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="backends.refresh")
    cloud.properties["qubits"][1][0]["value"] = -1.0
    refresh = Refresh(registry.load([NAME, "mock"]), {})
    assert [each.backend for each in refresh.due(lambda name: True)] == ["mock"]
    assert refresh.due(lambda name: True) == []
    said = [record.getMessage() for record in caplog.records if record.name == "backends.refresh"]
    assert len(said) == 1
    assert said[0].startswith(f"no calibration of {NAME} is published: the calibration of {NAME} cannot be used: qubit 1: ")
    cloud.properties["qubits"][1][0]["value"] = 100.0
    assert [each.backend for each in refresh.due(lambda name: True)] == [NAME]
