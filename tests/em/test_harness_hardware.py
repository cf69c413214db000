"""Tasks that backends run themselves: each once, whatever the backend does, and never for more money than was allowed."""

import threading
from pathlib import Path

import pytest

from backends import registry
from backends.adapter import Backend
from backends.errors import BackendError
from em.harness.devices import connected
from em.harness.hardware import Hardware
from em.harness.plan import Scope
from em.harness.run import Ran, run
from em.harness.store import Store
from em.harness.task import LIVE
from em.methods import METHODS, Workload
from em.observables import grouped
from em.planning import planned

METHODS_RUN = ("raw", "readout-zne-linear")


def scope(*backends: str, methods: tuple[str, ...] = METHODS_RUN, circuits: int = 2) -> Scope:
    return Scope(("ghz",), circuits, methods, (200, 400), backends)


def done(asked: Scope, root: Path, **limits: float) -> tuple[Ran, Store]:
    devices = connected(asked.backends, simulate=False)
    store = Store(root)
    return run(asked, store, devices.simulated, hardware=Hardware(devices.hardware, **limits)), store


def test_a_task_is_a_job_of_the_backend_and_its_row_says_which(tmp_path: Path) -> None:
    ran, store = done(scope("mock", "aer_noisy"), tmp_path)
    assert (ran.measured, ran.failed) == (16, 0)
    rows = store.read().to_pylist()
    assert {(row["backend"], row["engine"]) for row in rows} == {("mock", "mock"), ("aer_noisy", "pauli-transfer")}
    mock = registry.load(["mock"])["mock"]
    for row in rows:
        if row["backend"] == "mock":
            assert row["vendor_job_id"] == row["task_id"]
            assert row["calibration_id"] == mock.calibration().calibration_id != LIVE
        else:
            assert row["vendor_job_id"] is None


def test_estimates_are_those_of_the_same_work_on_the_backend(tmp_path: Path) -> None:
    asked = scope("mock", circuits=1)
    _, store = done(asked, tmp_path)
    [(_, instance)] = asked.draw("ghz", [0])
    mock = registry.load(["mock"])["mock"]
    for row in store.read().to_pylist():
        workload = Workload(1, instance.observables, grouped(instance.observables), row["budget"], (instance.source,))
        plan = planned(METHODS[row["method"]], workload, {}, row["seed"])
        result = mock.result(mock.submit(plan.work, row["task_id"]))
        assert result is not None
        names = [each.name for each in instance.observables]
        [estimates] = plan.combine(result)
        assert row["estimate"] == pytest.approx(estimates[names.index(row["observable"])].value, abs=1e-12)
        assert (row["shots"], row["cost_usd"]) == pytest.approx(plan.bill(result))


def test_a_fault_that_passes_is_not_seen(tmp_path: Path) -> None:
    faults = ("fails-2", "breaks-2", "busy-1", "loses-1", "slow-3", "fails-1/breaks-1/slow-1")
    asked = scope("mock", *(f"mock:{fault}" for fault in faults), circuits=1)
    ran, store = done(asked, tmp_path)
    assert (ran.measured, ran.failed) == (28, 0)
    told: dict[str, list[tuple[object, ...]]] = {}
    for row in store.read().to_pylist():
        told.setdefault(row["backend"], []).append(tuple(row[name] for name in ("method", "budget", "observable", "shots")))
    assert set(told) == set(asked.backends)
    assert all(sorted(rows) == sorted(told["mock"]) for rows in told.values())


def test_what_fails_is_listed_the_rest_goes_on_and_the_next_run_tries_it_again(tmp_path: Path) -> None:
    asked, store, hardware = scope("mock:fails-12", "aer_noisy"), Store(tmp_path), registry.load(["mock:fails-12"])
    simulated = connected(("aer_noisy",), simulate=False).simulated
    first = run(asked, store, simulated, hardware=Hardware(hardware))
    assert (first.measured, first.failed, first.refused) == (12, 4, 0)  # those of one circuit, three tries each
    assert set(store.failures()["error"].to_pylist()) == {"mock:fails-12 was told to fail"}
    second = run(asked, store, simulated, hardware=Hardware(hardware))
    assert (second.measured, second.skipped, second.failed) == (4, 12, 0)
    assert not len(store.failures())


class Mending:
    """A backend whose jobs wait until it is told otherwise; counts what it is sent."""

    def __init__(self) -> None:
        self._inner: Backend = registry.load(["mock"])["mock"]
        self.name = "mock"
        self.ready = threading.Event()
        self.sent: list[str] = []
        self.calibration, self.price, self.cancel = self._inner.calibration, self._inner.price, self._inner.cancel
        self.attach = self._inner.attach

    def submit(self, work, tag):
        self.sent.append(tag)
        return self._inner.submit(work, tag)

    def result(self, job):
        return self._inner.result(job) if self.ready.is_set() else None


def test_a_job_that_is_not_over_in_time_is_found_again_and_not_sent_twice(tmp_path: Path) -> None:
    backend, store, asked = Mending(), Store(tmp_path), scope("mock", circuits=1, methods=("raw",))
    first = run(asked, store, {}, hardware=Hardware({"mock": backend}, wait_seconds=0.3))
    assert (first.measured, first.failed, len(backend.sent)) == (0, 2, 2)
    assert set(store.failures()["error"].to_pylist()) == {"mock has not run it within 0.3 s; the next run asks again"}
    backend.ready.set()
    second = run(asked, store, {}, hardware=Hardware({"mock": backend}))
    assert (second.measured, second.failed, len(backend.sent)) == (2, 0, 2)
    assert not len(store.failures())


def test_no_more_is_spent_than_was_allowed(tmp_path: Path) -> None:
    asked = scope("mock", methods=("raw",))
    ran, store = done(asked, tmp_path / "all")
    prices = store.read().group_by("task_id").aggregate([("cost_usd", "max")])["cost_usd_max"].to_pylist()
    assert ran.measured == len(prices) == 4 and min(prices) > 0
    allowed = sum(prices) * 0.6
    ran, store = done(asked, tmp_path / "some", max_usd=allowed)
    spent = store.read().group_by("task_id").aggregate([("cost_usd", "max")])["cost_usd_max"].to_pylist()
    assert 0 < ran.measured < 4 and sum(spent) <= allowed
    assert ran.failed == ran.refused == 4 - ran.measured
    assert all("raise --max-usd" in error for error in store.failures()["error"].to_pylist())


def test_a_task_that_its_method_cannot_do_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    backend = Mending()
    backend.ready.set()
    asked = Scope(("ghz",), 1, ("raw",), (200,), ("mock",), qubits=20)
    ran = run(asked, Store(tmp_path), {}, hardware=Hardware({"mock": backend}))
    assert (ran.measured, ran.failed, ran.refused) == (0, 1, 1)
    assert backend.sent == [] and "has 12" in Store(tmp_path).failures()["error"].to_pylist()[0]


def test_a_backend_that_cannot_be_reached_is_said_and_the_others_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IBM_QUANTUM_TOKEN", raising=False)
    monkeypatch.setenv("IBM_QUANTUM_CHANNEL", "")
    devices = connected(("ibm:ibm_torino", "aer_noisy", "mock"), simulate=False)
    assert list(devices.simulated) == ["aer_noisy"] and list(devices.hardware) == ["mock"]
    assert "ibm:ibm_torino needs a token" in devices.absent["ibm:ibm_torino"]
    with pytest.raises(BackendError, match="needs a token"):
        connected(("ibm:ibm_torino",), simulate=False)
    with pytest.raises(BackendError, match="there is no backend abacus"):
        connected(("aer_noisy", "abacus"), simulate=False)
