import pytest
from qasm_sources import ghz

from backends.adapter import Run, Work
from backends.aer import snapshot
from backends.device import Device
from backends.errors import BackendError, WorkRefusedError
from backends.registry import load
from backends.simulation import Simulator

WORK = Work((ghz(3),), (Run(0, 500), Run(0, 200, basis="XIZ"), Run(0, 100, flips=(1,))), seed=5)


def _mock(name: str = "mock"):
    return load([name])[name]


def test_counts_are_the_same_in_every_process_and_differ_between_seeds_and_runs() -> None:
    first, second = _mock(), _mock()
    counts = first.result(first.submit(WORK, "a")).counts
    assert second.result(second.submit(WORK, "b")).counts == counts
    assert [sum(each.values()) for each in counts] == [500, 200, 100]
    assert [len(next(iter(each))) for each in counts] == [3, 2, 3]
    assert counts[0] != counts[2]
    other = Work(WORK.bodies, WORK.runs, seed=6)
    assert first.result(first.submit(other, "c")).counts != counts
    assert counts[0] == {"001": 43, "011": 94, "110": 363}


def test_a_tag_names_one_job_that_can_be_attached_to_and_cancelled() -> None:
    mock = _mock()
    assert mock.attach("tag") is None
    assert mock.submit(WORK, "tag") == mock.submit(WORK, "tag") == mock.attach("tag")
    mock.cancel("tag")
    mock.cancel("never heard of")
    assert mock.attach("tag") is None
    with pytest.raises(BackendError, match="has no job"):
        mock.result("tag")


def test_what_the_calibration_lets_expect_is_that_of_the_simulated_device() -> None:
    asked = Work((ghz(3),), (Run(0, 100, basis="ZZZ", paulis=("IZZ", "ZZI")), Run(0, 100)), seed=5)
    mock = _mock()
    forecasts = mock.result(mock.submit(asked, "tag")).forecasts
    assert forecasts == Simulator(Device(snapshot("aer_noisy"))).run(asked).forecasts
    assert [forecast is None for forecast in forecasts] == [False, True]


def test_it_refuses_what_no_device_could_run() -> None:
    with pytest.raises(WorkRefusedError, match="does not parse"):
        _mock().submit(Work(("nonsense",), (Run(0, 1),), seed=0), "tag")


def test_faults_come_as_often_as_they_are_asked_for() -> None:
    mock = _mock("mock:fails-2/slow-3")
    for _ in range(2):
        with pytest.raises(BackendError, match="told to fail"):
            mock.submit(WORK, "tag")
    mock.submit(WORK, "tag")
    assert [mock.result("tag") is None for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("fault", ["loses", "breaks"])
def test_a_job_that_was_lost_can_be_submitted_again(fault: str) -> None:
    mock = _mock(f"mock:{fault}-1")
    mock.submit(WORK, "tag")
    with pytest.raises(BackendError, match="tag"):
        mock.result("tag")
    assert mock.attach("tag") is None
    assert mock.result(mock.submit(WORK, "tag")) is not None


def test_a_queued_job_stays_queued_and_the_next_one_does_not() -> None:
    mock = _mock("mock:queued-1")
    for tag in ("first", "second"):
        mock.submit(WORK, tag)
    assert {mock.result("first") for _ in range(20)} == {None}
    assert mock.result("second") is not None


def test_an_unknown_fault_is_named_with_those_there_are() -> None:
    with pytest.raises(BackendError, match="no fault 'explodes-1'; it knows fails-N"):
        load(["mock:explodes-1"])


def test_a_fleet_without_simulators_starts_no_process_to_warm() -> None:
    fleet = load(["mock", "mock:slow-1"])
    fleet.warm()
    assert fleet._pool._executor is None
    assert fleet["mock:slow-1"].calibration().backend == "mock:slow-1"
