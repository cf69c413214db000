import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from em_jobs import BELL, HEADER, ZZ, HeldJobs, decided, observable
from vendor_double import FolderVendor

from backends.adapter import Backend, Work
from em.execution import MAX_ATTEMPTS, Execution, subject
from em.ideal import ideal
from em.methods import METHODS, Workload
from schemas.cloudevents import Event
from schemas.codec import decode, encode
from schemas.jobs import JobCancel, JobCompleted, JobRouted, JobStatus
from schemas.record import Record

START = datetime(2025, 6, 1, tzinfo=UTC)


class Bench:
    """An executor on a vendor, a clock that moves when told, and everything that was published."""

    def __init__(self, folder: Path, held: HeldJobs | None = None, **vendor: object) -> None:
        self.vendor: Backend = FolderVendor(folder, **vendor)
        self.held = held or HeldJobs()
        self.cancels: dict[str, JobCancel] = {}
        self.time = START
        self.execution = Execution({"double": self.vendor}, self.held, self.cancels, at_once=2, clock=lambda: self.time)
        self.published: list[Record] = []

    def accept(self, routed: Event[JobRouted]) -> JobStatus | None:
        status = self.execution.accept(routed)
        if status is not None:
            self._publish([status])
        return status

    def poll(self, times: int = 1) -> list[Record]:
        """What the polls published; a second passes before each."""
        found: list[Record] = []
        for _ in range(times):
            self.time += timedelta(seconds=1)
            records = self.execution.poll(0)
            found += records
            self._publish(records)
        return found

    def _publish(self, records: list[Record]) -> None:
        for record in records:
            assert decode(type(record), encode(record)) == record
        self.published += records
        self.held.take(records)

    @property
    def states(self) -> list[str]:
        return [record.state for record in self.published if isinstance(record, JobStatus)]

    @property
    def results(self) -> list[JobCompleted]:
        return [record for record in self.published if isinstance(record, JobCompleted)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_goes_from_queued_to_its_result(bench: Bench) -> None:
    queued = bench.accept(decided("readout", shots=4000))
    assert queued is not None
    assert queued.routed is not None
    assert not bench.vendor.submissions("decision-1")
    bench.poll(4)
    assert bench.states == ["QUEUED", "RUNNING", "DONE"]
    (result,) = bench.results
    final = bench.held.jobs["job"]
    assert (final.routed, final.state) == (None, "DONE")
    assert result.vendor_job_id == final.vendor_job_id == "vendor-decision-1-1"
    (expectation,) = result.expectations
    assert abs(expectation.value - ideal(BELL, ZZ)[0]) < 5 * expectation.standard_error
    assert (result.method, result.method_version) == ("readout", METHODS["readout"].version)
    assert result.shots == 12_000
    assert result.parameters == {"calibration_ratio": 1.0}
    assert result.calibration_id == bench.vendor.calibration().calibration_id
    assert result.cost_usd == pytest.approx(1 + 2 * result.execution_seconds)
    assert result.queue_seconds == 1.0
    assert set(result.seeds) == {"sampling", "transpiler", "twirling"}
    assert result.software["qiskit-aer"]
    assert bench.poll(3) == []


def test_a_jobs_hashes_can_be_made_by_others(bench: Bench) -> None:
    routed = decided(observables=(), shots=50)
    bench.accept(routed)
    bench.poll(4)
    (result,) = bench.results
    assert result.circuit_hash == routed.record.job.circuit_hash
    content = {"expectations": [], "counts": [{"circuit": 0, "counts": result.counts[0].counts}]}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    assert result.result_hash == hashlib.sha256(canonical).hexdigest()
    assert sum(result.counts[0].counts.values()) == 50
    assert set(result.counts[0].counts) == {"00", "11"}


def test_the_same_job_has_the_same_result_wherever_it_runs(tmp_path: Path) -> None:
    hashes = []
    for place in ("here", "there"):
        folder = tmp_path / place
        folder.mkdir()
        bench = Bench(folder)
        bench.accept(decided("trex"))
        bench.poll(4)
        hashes.append(bench.results[0].result_hash)
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_a_result(bench: Bench, method: str) -> None:
    two = HEADER + "qubit[2] q;\nrx(0.8) q[0];\ncx q[0], q[1];\nbit[2] c;\nc = measure q;\n"
    targets = (observable("zz", ZZ=1.0, XX=0.5), observable("c", II=0.5, IZ=0.5))
    bench.accept(decided(method, circuits=(BELL, two), observables=targets, shots=2000))
    bench.poll(4)
    (result,) = bench.results
    assert result.status == "DONE", result.error
    truth = [value for source in (BELL, two) for value in ideal(source, targets)]
    assert [(item.circuit, item.observable) for item in result.expectations] == [(0, "zz"), (0, "c"), (1, "zz"), (1, "c")]
    for item, exact in zip(result.expectations, truth, strict=True):
        assert abs(item.value - exact) < 5 * item.standard_error + 1e-9
    asked = Workload.of(decided(circuits=(BELL, two), observables=targets, shots=2000).record.job)
    assert result.shots == METHODS[method].cost(asked, {}).shots  # what the policy announced, training included
    (work,) = bench.vendor.works.values()
    vendor = 1.0 + 2.0 * result.execution_seconds
    assert result.cost_usd == pytest.approx(vendor * result.shots / sum(run.shots for run in work.runs))


def _submit_and_die(folder: str, queued: JobStatus) -> None:
    bench = Bench(Path(folder), HeldJobs(queued), kill_after_submit=True)
    bench.poll()


def test_an_executor_killed_between_submission_and_running_never_submits_twice(tmp_path: Path, bench: Bench) -> None:
    queued = bench.accept(decided())
    victim = multiprocessing.get_context("spawn").Process(target=_submit_and_die, args=(str(tmp_path), queued))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    assert bench.vendor.submissions("decision-1") == 1
    bench.poll(4)
    assert bench.states == ["QUEUED", "RUNNING", "DONE"]
    assert bench.results[0].vendor_job_id == "vendor-decision-1-1"
    assert bench.vendor.submissions("decision-1") == 1


def test_an_executor_killed_while_running_is_followed_by_one_that_attaches(tmp_path: Path, bench: Bench) -> None:
    bench.accept(decided())
    bench.poll()
    successor = Bench(tmp_path, bench.held)
    successor.poll(4)
    assert successor.states == ["DONE"]
    assert successor.vendor.submissions("decision-1") == 1


def test_a_job_that_the_vendor_has_lost_is_submitted_again(tmp_path: Path, bench: Bench) -> None:
    bench.accept(decided())
    (running,) = bench.poll()
    bench.vendor.lose(running.vendor_job_id)
    successor = Bench(tmp_path, bench.held)
    successor.poll(5)
    assert successor.states == ["RUNNING", "DONE"]
    assert successor.vendor.submissions("decision-1") == 2
    assert subject(running) != subject(successor.published[0])


def test_a_run_that_fails_at_the_vendor_is_submitted_again_by_the_same_executor(bench: Bench) -> None:
    bench.accept(decided())
    (running,) = bench.poll()
    bench.vendor.lose(running.vendor_job_id)
    bench.poll(6)
    assert bench.states == ["QUEUED", "RUNNING", "RUNNING", "DONE"]
    assert bench.results[0].vendor_job_id == "vendor-decision-1-2"


def test_a_rejected_job_is_nobodys(bench: Bench) -> None:
    routed = decided()
    rejected = routed.record.model_copy(update={"decision": "REJECTED", "backend": None, "recommendation": None})
    assert bench.accept(Event(rejected, "decision-1", b"\0" * 32)) is None


def test_a_job_is_not_run_twice(bench: Bench) -> None:
    bench.accept(decided())
    assert bench.accept(decided()) is None
    assert bench.accept(decided(event_id="another, without saying that it replaces")) is None
    bench.poll(4)
    assert bench.accept(decided()) is None
    assert bench.accept(decided(event_id="decision-2", supersedes="decision-1")) is None
    assert bench.vendor.submissions("decision-1") == 1


def test_a_later_decision_replaces_a_running_one_and_cancels_it(bench: Bench) -> None:
    bench.accept(decided())
    bench.poll()
    assert bench.accept(decided("readout", event_id="decision-2", supersedes="decision-1")) is not None
    bench.poll(4)
    assert bench.vendor.cancelled("vendor-decision-1-1")
    assert [(result.method, result.routed_event_id) for result in bench.results] == [("readout", "decision-2")]
    assert bench.accept(decided()) is None


@pytest.mark.parametrize("polls", [0, 1])
def test_a_withdrawn_job_is_cancelled_at_the_vendor(bench: Bench, polls: int) -> None:
    bench.accept(decided())
    bench.poll(polls)
    bench.cancels["job"] = JobCancel(job_id="job", cancelled_by="ada", reason="no longer needed")
    bench.poll(2)
    assert bench.states[-1] == "CANCELLED"
    (result,) = bench.results
    assert (result.status, result.error) == ("CANCELLED", "cancelled by ada: no longer needed")
    assert bench.vendor.submissions("decision-1") == polls
    assert polls == 0 or bench.vendor.cancelled("vendor-decision-1-1")


def test_a_failing_vendor_is_tried_again_with_pauses(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failures=3)
    bench.accept(decided())
    bench.poll(12)
    assert bench.states == ["QUEUED", "RUNNING", "DONE"]


def test_a_vendor_that_keeps_failing_ends_the_job_in_a_sentence(tmp_path: Path) -> None:
    bench = Bench(tmp_path, failures=1000)
    bench.accept(decided())
    bench.poll(2 * MAX_ATTEMPTS + 20)
    assert bench.states == ["QUEUED", "ERROR"]
    assert bench.results[0].error == f"double failed {MAX_ATTEMPTS} times, last: the vendor is busy"


def test_an_adapter_that_breaks_over_one_job_does_not_stop_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = bench.vendor.submit

    def broken(work: Work, tag: str) -> str:
        if tag == "decision-1":
            raise ZeroDivisionError("a fault of ours")
        return submit(work, tag)

    monkeypatch.setattr(bench.vendor, "submit", broken)
    bench.accept(decided(event_id="decision-1"))
    bench.accept(decided(event_id="decision-2", job_id="healthy"))
    bench.poll(2 * MAX_ATTEMPTS + 40)
    by_job = {result.job_id: result for result in bench.results}
    assert by_job["healthy"].status == "DONE"
    assert by_job["job"].error == f"double failed {MAX_ATTEMPTS} times, last: ZeroDivisionError: a fault of ours"


FAULTS: dict[str, tuple[Callable[[], Event[JobRouted]], str]] = {
    "no QASM": (lambda: decided(circuits=("nonsense",)), "does not parse"),
    "an observable too wide": (lambda: decided(observables=(observable("w", ZZZ=1.0),)), "3 letters for a circuit of 2"),
    "a bad parameter": (lambda: decided("trex", parameters={"twirls": 0}), "twirls must be"),
    "an unknown method": (lambda: decided("magic"), "'magic' is unknown here"),
    "an unknown backend": (lambda: decided(backend="elsewhere"), "no backend 'elsewhere'"),
    "a deadline gone by": (lambda: decided(deadline=START), "passed before the job could start"),
}


@pytest.mark.parametrize(("routed", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_job_ends_in_a_sentence_and_the_next_one_runs(
    bench: Bench, routed: Callable[[], Event[JobRouted]], sentence: str
) -> None:
    bench.accept(routed())
    bench.accept(decided(event_id="decision-2", job_id="healthy"))
    bench.poll(4)
    by_job = {result.job_id: result for result in bench.results}
    assert by_job["job"].status == "ERROR"
    assert sentence in (by_job["job"].error or "")
    assert by_job["healthy"].status == "DONE"


def test_another_version_of_a_method_is_not_run_in_its_name(bench: Bench) -> None:
    routed = decided()
    advice = routed.record.recommendation
    assert advice is not None
    older = routed.record.model_copy(update={"recommendation": advice.model_copy(update={"method_version": "0"})})
    bench.accept(Event(older, "decision-1", b"\0" * 32))
    bench.poll(2)
    assert "raw 0 was recommended, this executor has 1" in (bench.results[0].error or "")


def test_no_more_jobs_are_in_flight_than_agreed_and_the_urgent_go_first(bench: Bench) -> None:
    for index, priority in enumerate([1, 9, 5, 0]):
        bench.accept(decided(job_id=f"job-{priority}", event_id=f"decision-{index}", priority=priority))
    first = bench.poll()
    assert [record.job_id for record in first] == ["job-9", "job-5"]
    bench.poll(10)
    assert [result.job_id for result in bench.results] == ["job-9", "job-5", "job-1", "job-0"]


def test_jobs_of_a_partition_that_moved_away_take_no_place(bench: Bench) -> None:
    for index in range(2):
        bench.accept(decided(job_id=f"moved-{index}", event_id=f"decision-{index}"))
    assert len(bench.poll()) == 2
    bench.held.jobs.clear()
    bench.accept(decided())
    bench.poll(3)
    assert [result.job_id for result in bench.results] == ["job"]
    assert not bench.vendor.cancelled("vendor-decision-0-1")


def test_every_output_has_a_subject_of_its_own(bench: Bench) -> None:
    bench.accept(decided())
    bench.poll(4)
    subjects = [subject(record) for record in bench.published]
    assert len(set(subjects)) == len(subjects) == 4
    with pytest.raises(TypeError):
        subject(decided().record)
