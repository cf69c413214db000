"""`quantumai em run` on an IBM device: jobs at the stand-in cloud, and in the client's own local mode."""

from pathlib import Path

import pytest
from ibm_cloud import DEVICE, Cloud, Fault

from em.harness.devices import connected
from em.harness.hardware import Hardware
from em.harness.plan import Scope
from em.harness.run import Ran, run
from em.harness.store import Store

NAME = f"ibm:{DEVICE}"


def _run(asked: Scope, root: Path, **limits: float) -> tuple[Ran, Store]:
    devices = connected(asked.backends, simulate=False)  # a new connection: what the last run knew is gone
    store = Store(root)
    return run(asked, store, devices.simulated, hardware=Hardware(devices.hardware, **{"max_usd": 1000.0, **limits})), store


def _scope(*budgets: int, name: str = NAME, methods: tuple[str, ...] = ("raw",)) -> Scope:
    return Scope(("ghz",), 1, methods, budgets, (name,), qubits=3)


def test_what_waits_at_ibm_is_found_again_by_the_next_run(cloud: Cloud, tmp_path: Path) -> None:
    cloud.polls_queued = 1_000_000
    first, store = _run(_scope(100, 200), tmp_path, wait_seconds=2.0)
    assert (first.measured, first.failed, first.refused) == (0, 2, 0)
    sent = set(cloud.jobs)
    assert 1 <= len(sent) <= 2
    assert all("the next run asks again" in error for error in store.failures()["error"].to_pylist())
    cloud.polls_queued = 0
    for job in cloud.jobs.values():
        job["polls"] = 0
    second, _ = _run(_scope(100, 200), tmp_path)
    assert (second.measured, second.failed) == (2, 0)
    assert sent <= set(cloud.jobs) and len(cloud.jobs) == 2
    rows = store.read().to_pylist()
    assert {job for row in rows for job in row["vendor_job_id"].split(",")} == set(cloud.jobs)
    assert {row["engine"] for row in rows} == {"ibm"}
    assert all(len(row["calibration_id"]) == 64 and row["cost_usd"] > 0 for row in rows)
    assert max(abs(row["estimate"] - row["ideal"]) / row["bound"] for row in rows) < 0.5


def test_a_job_that_fails_at_ibm_is_listed_and_the_rest_goes_on(cloud: Cloud, tmp_path: Path) -> None:
    cloud.faults.append(Fault("POST /jobs", status=400, message="a circuit of the wrong kind"))
    ran, store = _run(_scope(100, 200, 300), tmp_path)
    assert (ran.measured, ran.failed, ran.refused) == (2, 1, 1)
    [failure] = store.failures().to_pylist()
    assert "IBM refuses the job as invalid (400)" in failure["error"]
    again, _ = _run(_scope(100, 200, 300), tmp_path)
    assert (again.measured, again.skipped, again.failed) == (1, 2, 0)


def test_without_an_account_ibms_client_plays_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IBM_QUANTUM_CHANNEL", "local")
    ran, store = _run(_scope(500, name="ibm:fake_manila", methods=("raw", "readout", "ml-qem")), tmp_path)
    assert (ran.measured, ran.failed) == (3, 0)
    rows = {(row["method"], row["observable"]): row for row in store.read().to_pylist()}
    assert {row["engine"] for row in rows.values()} == {"ibm"}
    learned = [row for row in rows.values() if row["method"] == "ml-qem"]
    assert learned and not any("does not say" in row["note"] for row in learned)  # the forecast came back with the counts
