"""The adapter against IBM's own local mode, and against a stand-in for IBM's cloud that speaks its REST interface (`ibm_cloud`)."""

import logging
import math
import time
import traceback
import warnings
from collections.abc import Callable

import pytest
from ibm_cloud import DEVICE, TOKEN, Cloud, Fault
from qasm_sources import ghz
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

from backends import ibm_fake
from backends.adapter import Result, Run, Work
from backends.device import Device
from backends.errors import BackendBusyError, BackendError, WorkRefusedError
from backends.ibm import runtime
from backends.ibm.runtime import IbmRuntime
from backends.registry import load
from backends.simulation import Simulator

NAME = f"ibm:{DEVICE}"
BELL_LIKE = Work((ghz(3),), (Run(0, 400),), seed=5)
MIXED = Work((ghz(3),), (Run(0, 500), Run(0, 200, basis="XIZ"), Run(0, 100, scale=0, flips=(1,)), Run(0, 500, scale=3)), seed=5)


def _connected() -> IbmRuntime:
    backend = load([NAME])[NAME]
    assert isinstance(backend, IbmRuntime)
    return backend


def _result(backend: IbmRuntime, job: str, seconds: float = 120) -> Result:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        result = backend.result(job)
        if result is not None:
            return result
        time.sleep(0.02)
    raise AssertionError(f"{job} took more than {seconds} s")


def _posted(cloud: Cloud) -> int:
    return cloud.seen["POST /jobs"]


def _assert_like_manila(result: Result, work: Work) -> None:
    """The vendor's simulator and ours agree on what Manila reads, to 5 standard deviations and the difference of their models."""
    expected = Simulator(Device(ibm_fake.snapshot("fake_manila"))).run(
        Work(work.bodies, tuple(Run(run.body, 100_000, run.scale, run.basis, run.flips) for run in work.runs), seed=1)
    )
    for run, seen, many in zip(work.runs, result.counts, expected.counts, strict=True):
        assert sum(seen.values()) == run.shots
        for text in set(seen) | set(many):
            chance = many.get(text, 0) / 100_000
            assert abs(seen.get(text, 0) / run.shots - chance) < 5 * math.sqrt(max(chance, 1e-3) / run.shots) + 0.03, text


def test_local_mode_runs_every_kind_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBM_QUANTUM_CHANNEL", "local")
    monkeypatch.setenv("IBM_QUANTUM_POLL_SECONDS", "0.02")
    backend = load(["ibm:fake_manila"])["ibm:fake_manila"]
    assert backend.calibration().calibration_id == ibm_fake.snapshot("fake_manila").calibration_id
    job = backend.submit(MIXED, "tag")
    assert backend.attach("tag") == backend.submit(MIXED, "tag") == job
    result = _result(backend, job)
    _assert_like_manila(result, MIXED)
    assert result.calibration_id == backend.calibration().calibration_id
    assert _result(backend, backend.submit(MIXED, "another tag")).counts == result.counts
    backend.cancel(job)
    assert backend.attach("tag") is None


def test_a_work_goes_through_the_cloud_and_costs_what_ibm_charges(cloud: Cloud) -> None:
    backend = _connected()
    job = backend.submit(MIXED, "tag")
    assert backend.result(job) is None
    result = _result(backend, job)
    _assert_like_manila(result, MIXED)
    assert _posted(cloud) == 3  # IBM's sampler takes one number of shots a job; there are three
    assert result.execution_seconds == 3 * cloud.usage_seconds
    assert result.cost_usd == pytest.approx(1.6 * 3 * cloud.usage_seconds)
    assert result.calibration_id == backend.calibration().calibration_id
    assert backend.result(job) == result


def test_what_the_calibration_lets_expect_comes_back_with_the_counts(cloud: Cloud) -> None:
    work = Work((ghz(3),), (Run(0, 100, basis="ZZZ", paulis=("IZZ", "ZZI")), Run(0, 100)), seed=5)
    backend = _connected()
    result = _result(backend, backend.submit(work, "tag"))
    assert result.forecasts == Simulator(Device(backend.calibration())).run(work).forecasts


def test_a_bit_that_two_measurements_or_none_write_is_spelled_as_declared(cloud: Cloud) -> None:
    source = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[4] c; x q[1]; c[0] = measure q[1]; c[3] = measure q[0];'
    backend = _connected()
    [counts] = _result(backend, backend.submit(Work((source,), (Run(0, 300),), seed=0), "tag")).counts
    assert max(counts, key=counts.__getitem__) == "0001"
    assert {text[1:3] for text in counts} == {"00"}


def test_more_shots_than_the_device_takes_are_several_circuits(cloud: Cloud) -> None:
    cloud.configuration["max_shots"] = 150
    backend = _connected()
    result = _result(backend, backend.submit(Work((ghz(2),), (Run(0, 401),), seed=0), "tag"))
    assert sum(result.counts[0].values()) == 401
    assert sorted(job["params"]["quantum_program"]["shots"] for job in cloud.jobs.values()) == [133, 134]


def test_a_tag_names_one_job_whoever_asks(cloud: Cloud) -> None:
    assert _connected().attach("tag") is None
    job = _connected().submit(MIXED, "tag")
    other = _connected()
    assert other.attach("tag") == other.submit(MIXED, "tag") == job
    assert other.attach("another") is None
    assert _posted(cloud) == 3
    assert sum(_result(other, job).counts[3].values()) == 500


@pytest.mark.parametrize("hang", [0.0, 3.0], ids=["fails", "times out"])
def test_a_job_that_ibm_took_without_saying_so_is_not_submitted_twice(cloud: Cloud, hang: float) -> None:
    cloud.faults.append(Fault("POST /jobs", before=False, hang=hang))
    backend = _connected()
    with pytest.raises(BackendError, match="IBM"):
        backend.submit(BELL_LIKE, "tag")
    job = backend.attach("tag")
    assert job is not None and backend.submit(BELL_LIKE, "tag") == job
    assert len(cloud.jobs) == 1


def test_of_a_half_submitted_work_only_what_is_missing_is_sent(cloud: Cloud) -> None:
    backend = _connected()
    cloud.jobs_taken = 1
    with pytest.raises(BackendError, match="a fault of its own"):
        backend.submit(MIXED, "tag")
    cloud.jobs_taken = None
    assert len(cloud.jobs) == 1
    assert backend.attach("tag") is None
    job = backend.submit(MIXED, "tag")
    assert len(cloud.jobs) == 3 and _connected().attach("tag") == job


FAILURES: dict[str, tuple[dict[str, object], type[Exception], str]] = {
    "internal": ({"status": "Failed", "reason": "Internal error", "reasonCode": 9999}, BackendError, "Internal error"),
    "too large": ({"status": "Failed", "reason": "Too many instructions", "reasonCode": 6000}, WorkRefusedError, "Too many"),
    "too long": ({"status": "Cancelled", "reason": "Ran too long", "reasonCode": 1305}, WorkRefusedError, "maximum execution time"),
    "withdrawn": ({"status": "Cancelled"}, BackendError, "was cancelled at IBM"),
}


@pytest.mark.parametrize(("end", "kind", "sentence"), FAILURES.values(), ids=FAILURES)
def test_a_failed_job_says_why_and_the_same_tag_starts_another(
    cloud: Cloud, end: dict[str, object], kind: type[Exception], sentence: str
) -> None:
    cloud.ends.append(end)
    backend = _connected()
    job = backend.submit(BELL_LIKE, "tag")
    with pytest.raises(BackendError, match=sentence) as failed:
        _result(backend, job)
    assert type(failed.value) is kind
    assert backend.attach("tag") is None
    again = backend.submit(BELL_LIKE, "tag")
    assert again != job and _result(backend, again).counts


def test_a_job_is_cancelled_while_it_can_be_and_cancelling_is_never_an_error(cloud: Cloud) -> None:
    cloud.polls_queued = 10**6
    backend = _connected()
    job = backend.submit(BELL_LIKE, "tag")
    assert backend.result(job) is None
    backend.cancel(job)
    assert cloud.jobs[job]["end"] == {"status": "Cancelled"}
    cloud.polls_queued = 0
    over = backend.submit(BELL_LIKE, "over")
    _result(backend, over)
    for each in (over, job, "never-heard-of"):
        backend.cancel(each)


def test_ibm_is_left_alone_for_as_long_as_it_wants(cloud: Cloud) -> None:
    backend = _connected()
    backend.calibration()
    cloud.faults.append(Fault("GET /jobs", status=429, headers={"Retry-After": "1"}))
    with pytest.raises(BackendBusyError, match="wants no request for") as busy:
        backend.attach("tag")
    assert 0 < busy.value.seconds <= 1
    before = cloud.seen.total()
    with pytest.raises(BackendBusyError):
        backend.attach("tag")
    assert cloud.seen.total() == before
    time.sleep(busy.value.seconds)
    assert backend.attach("tag") is None


TROUBLES: dict[str, Fault] = {
    "rate limit": Fault(r"GET /jobs/.+", status=429, headers={"Retry-After": "1"}, times=2),
    "outage": Fault(r"GET /jobs/.+", status=503, times=5),
    "silence": Fault(r"GET /jobs/[^/]+", hang=3, times=1),
}


@pytest.mark.parametrize("fault", TROUBLES.values(), ids=TROUBLES)
def test_trouble_while_a_job_runs_is_not_the_jobs_failure(cloud: Cloud, fault: Fault) -> None:
    backend = _connected()
    job = backend.submit(BELL_LIKE, "tag")
    cloud.faults.append(Fault(fault.request, fault.status, fault.headers, fault.times, hang=fault.hang))
    began = time.monotonic()
    assert backend.result(job) is None
    assert time.monotonic() - began < 1
    assert sum(_result(backend, job).counts[0].values()) == 400
    assert len(cloud.jobs) == 1


def test_a_service_that_does_not_answer_is_an_error_in_time(cloud: Cloud) -> None:
    backend = _connected()
    backend.calibration()
    cloud.faults.append(Fault("GET /jobs", hang=4))
    began = time.monotonic()
    with pytest.raises(BackendError, match="did not answer in time"):
        backend.attach("tag")
    assert time.monotonic() - began < 3


STATUSES: dict[str, tuple[int, type[Exception], str]] = {
    "invalid": (400, WorkRefusedError, "refuses the job as invalid .400.: .*of the test's making"),
    "forbidden": (403, BackendError, "does not let this account"),
    "too large": (413, WorkRefusedError, "too large for IBM"),
    "broken": (500, BackendError, "a fault of its own"),
}


@pytest.mark.parametrize(("status", "kind", "sentence"), STATUSES.values(), ids=STATUSES)
def test_what_ibm_answers_to_a_submission_is_classed(cloud: Cloud, status: int, kind: type[Exception], sentence: str) -> None:
    cloud.faults.append(Fault("POST /jobs", status=status))
    with pytest.raises(BackendError, match=sentence) as refused:
        _connected().submit(BELL_LIKE, "tag")
    assert isinstance(refused.value, kind)
    assert isinstance(refused.value, WorkRefusedError) == (kind is WorkRefusedError)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 320


def _expired_at_once(cloud: Cloud) -> None:
    cloud.token_is_valid = False
    _connected().calibration()


def _expired_later(cloud: Cloud) -> None:
    backend = _connected()
    backend.calibration()
    cloud.token_is_valid = False
    backend.submit(BELL_LIKE, "tag")


def _expired_while_it_runs(cloud: Cloud) -> None:
    backend = _connected()
    job = backend.submit(BELL_LIKE, "tag")
    cloud.token_is_valid = False
    _result(backend, job)


@pytest.mark.parametrize("step", [_expired_at_once, _expired_later, _expired_while_it_runs])
def test_an_expired_token_is_one_sentence_and_is_shown_nowhere(
    cloud: Cloud, step: Callable[[Cloud], None], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned, pytest.raises(BackendError, match="IBM refuses the token") as refused:
        warnings.simplefilter("always")
        step(cloud)
    shown = [*traceback.format_exception(refused.value), caplog.text, *capfd.readouterr(), *(str(each.message) for each in warned)]
    assert not [text for text in shown if TOKEN in text]
    assert refused.value.__cause__ is None


def test_the_token_is_in_no_setting_that_is_printed(cloud: Cloud) -> None:
    backend = _connected()
    assert TOKEN not in repr(backend._connection.settings)
    assert TOKEN not in str(backend._connection.settings.model_dump())


def test_without_a_token_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IBM_QUANTUM_TOKEN", raising=False)
    with pytest.raises(BackendError, match=r"^ibm:ibm_torino needs a token: set IBM_QUANTUM_TOKEN .* IBM_QUANTUM_CHANNEL=local"):
        load(["ibm:ibm_torino"])
    monkeypatch.setenv("IBM_QUANTUM_MODE", "sprint")
    with pytest.raises(BackendError, match=r"IBM_QUANTUM_.* cannot be used: mode"):
        load(["ibm:ibm_torino"])


def test_a_device_that_the_account_does_not_have_is_one_sentence(cloud: Cloud) -> None:
    with pytest.raises(BackendError, match="No backend matches"):
        load(["ibm:ibm_nowhere"])["ibm:ibm_nowhere"].calibration()


@pytest.mark.parametrize(("mode", "asked"), [("batch", "batch"), ("session", "dedicated")])
def test_the_jobs_of_a_work_share_a_group_that_is_closed_behind_them(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, mode: str, asked: str
) -> None:
    monkeypatch.setenv("IBM_QUANTUM_MODE", mode)
    backend = _connected()
    result = _result(backend, backend.submit(MIXED, "tag"))
    assert len(result.counts) == 4
    assert [(group["mode"], group["accepting_jobs"]) for group in cloud.sessions] == [(asked, False)]
    assert {job["session_id"] for job in cloud.jobs.values()} == {"session0"}


def test_the_queue_and_the_state_of_the_device_are_todays(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = _connected()
    first = backend.calibration()
    assert (first.queue_length, first.queue_seconds, first.availability) == (3, 180.0, 1.0)
    assert (first.backend, first.provider, first.price.per_second_usd) == (NAME, "ibm", 1.6)
    assert first.calibration_id == ibm_fake.snapshot("fake_manila").calibration_id  # the same device under another name
    requests = cloud.seen.total()
    backend.calibration()
    assert cloud.seen.total() == requests  # believed for a minute
    monkeypatch.setattr(runtime, "FRESH_SECONDS", 0.0)
    cloud.status["status"] = "maintenance"
    assert backend.calibration().availability == 0.0
    cloud.status["status"] = "active"
    assert backend.calibration().availability == 1.0
    cloud.faults.append(Fault("GET /backends/.*", times=99))
    lost = backend.calibration()
    assert (lost.availability, lost.calibration_id) == (0.0, first.calibration_id)


def test_a_faulty_gate_or_qubit_is_in_no_circuit_that_is_sent(cloud: Cloud) -> None:
    for gate in cloud.properties["gates"]:
        if set(gate["qubits"]) == {1, 2}:
            for value in gate["parameters"]:
                value["value"] = 1.0 if value["name"] == "gate_error" else value["value"]
    cloud.properties["qubits"][0] = [value for value in cloud.properties["qubits"][0] if value["name"] != "readout_error"]
    backend = _connected()
    for level in range(4):
        backend.submit(Work((ghz(3),), (Run(0, 100), Run(0, 100, scale=3)), seed=0, optimization_level=level), f"level {level}")
    assert len(cloud.jobs) == 4
    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"]
    for job in cloud.jobs.values():
        program, _ = converter.decoder(converter.model.model_validate(job["params"]))
        for item in program.items:
            used = [{item.circuit.find_bit(qubit).index for qubit in step.qubits} for step in item.circuit.data]
            assert set().union(*used) == {2, 3, 4}


IMPOSSIBLE: dict[str, tuple[str, float, str]] = {
    "a NaN": ("T1", math.nan, "qubit 2: t1_seconds"),
    "a negative time": ("T2", -5.0, "qubit 2: t2_seconds"),
    "a chance of 3": ("prob_meas0_prep1", 3.0, "qubit 2: prob_meas0_prep1"),
}


@pytest.mark.parametrize(("name", "value", "sentence"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_calibration_is_one_sentence(cloud: Cloud, name: str, value: float, sentence: str) -> None:
    for row in cloud.properties["qubits"][2]:
        row["value"] = value if row["name"] == name else row["value"]
    with pytest.raises(BackendError, match=f"^the calibration of {NAME} cannot be used: {sentence}"):
        _connected().submit(BELL_LIKE, "tag")
    assert not cloud.jobs
