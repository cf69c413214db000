"""The executor on the mock backend of the registry, which fails as its name tells it to."""

from datetime import UTC, datetime, timedelta

import pytest
from em_jobs import HeldJobs, decided

from backends.registry import load
from em.execution import MAX_ATTEMPTS, Execution
from em.methods.mitigated import Mitigated
from schemas.jobs import JobCancel, JobCompleted, JobStatus


class Night:
    """An executor on one mock; a second passes before each poll."""

    def __init__(self, backend: str, **job: object) -> None:
        self.backends = load([backend])
        self.time = datetime(2025, 6, 1, tzinfo=UTC)
        self.held, self.cancels = HeldJobs(), dict[str, JobCancel]()
        self.execution = Execution(self.backends, self.held, self.cancels, clock=lambda: self.time)
        self.states: list[str] = []
        self.result: JobCompleted | None = None
        queued = self.execution.accept(decided("readout", backend=backend, **job))
        assert queued is not None
        self.held.take([queued])

    def poll(self, times: int) -> None:
        for _ in range(times):
            self.time += timedelta(seconds=1)
            records = self.execution.poll(0)
            self.held.take(records)
            self.states += [record.state for record in records if isinstance(record, JobStatus)]
            self.result = next((record for record in records if isinstance(record, JobCompleted)), self.result)


FAULTS = ["mock", "mock:fails-3", "mock:busy-20", "mock:slow-4", "mock:loses-2", "mock:breaks-2", "mock:fails-1/loses-1/slow-2"]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_that_passes_ends_in_the_result_of_a_quiet_night(fault: str) -> None:
    quiet, night = Night("mock"), Night(fault)
    quiet.poll(3)
    night.poll(30)
    assert quiet.result is not None and night.result is not None
    assert night.result.status == "DONE", night.result.error
    assert night.result.result_hash == quiet.result.result_hash
    assert night.states[-1] == "DONE"


@pytest.mark.parametrize("step", ["combine", "circuits"])
def test_a_fault_in_a_method_is_neither_the_backend_s_nor_tried_again(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    calls = []

    def broken(*_: object) -> None:
        calls.append(step)
        raise ValueError("operands could not be broadcast")

    monkeypatch.setattr(Mitigated, step, broken)
    night = Night("mock")
    night.poll(5)
    assert night.result is not None and night.result.status == "ERROR"
    fault = "a fault of this program, not of the job or the backend: ValueError: operands could not be broadcast"
    assert night.result.error == fault
    assert calls == [step]


def test_a_backend_that_never_recovers_ends_the_job_in_a_sentence() -> None:
    night = Night("mock:fails-99")
    night.poll(60)
    assert night.result is not None
    assert night.result.error == f"mock:fails-99 failed {MAX_ATTEMPTS} times, last: mock:fails-99 was told to fail"


def test_a_job_that_stays_queued_can_be_withdrawn() -> None:
    night = Night("mock:queued-1")
    night.poll(50)
    assert night.states == ["RUNNING"]
    night.cancels["job"] = JobCancel(job_id="job", cancelled_by="ada", reason="no patience")
    night.poll(1)
    assert night.states == ["RUNNING", "CANCELLED"]
    assert night.backends["mock:queued-1"].attach("decision-1") is None


@pytest.mark.parametrize("level", [0, 3])
def test_a_job_is_transpiled_as_hard_as_it_asks(level: int) -> None:
    night = Night("mock:queued-1", optimization_level=level)
    night.poll(1)
    assert night.backends["mock:queued-1"]._jobs["decision-1"].optimization_level == level
