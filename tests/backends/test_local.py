"""The pool's processes are real; one pool serves the module, since starting it takes seconds."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from qasm_sources import ghz, ising

from backends.adapter import Backend, Result, Run, Work
from backends.errors import BackendError, WorkRefusedError
from backends.registry import Fleet, load


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    fleet = load(["fake_manila", "fake_sherbrooke"], workers=1)
    fleet.warm()
    yield fleet
    fleet.close()


def _wait(backend: Backend, vendor_job_id: str, seconds: float = 60) -> Result:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        result = backend.result(vendor_job_id)
        if result is not None:
            return result
        time.sleep(0.005)
    raise AssertionError(f"{vendor_job_id} took more than {seconds} s")


def test_a_tag_names_one_job(fleet: Fleet) -> None:
    backend, work = fleet["fake_manila"], Work((ghz(3),), (Run(0, 100),), seed=0)
    assert backend.attach("one") is None
    job = backend.submit(work, "one")
    assert backend.submit(work, "one") == job == backend.attach("one")
    assert backend.submit(work, "two") != job


def test_a_result_can_be_read_twice_and_says_time_cost_and_calibration(fleet: Fleet) -> None:
    backend = fleet["fake_sherbrooke"]
    job = backend.submit(Work((ghz(3),), (Run(0, 4000),), seed=0), "read twice")
    result = _wait(backend, job)
    assert backend.result(job) == result
    assert sum(result.counts[0].values()) == 4000
    assert result.execution_seconds > 4000 * 250e-6
    assert result.cost_usd == pytest.approx(backend.price().per_second_usd * result.execution_seconds)
    assert result.calibration_id == backend.calibration().calibration_id


def test_the_same_work_gives_the_same_counts_in_any_process(fleet: Fleet) -> None:
    backend, work = fleet["fake_manila"], Work((ising(4, 1),), (Run(0, 5000),), seed=9)
    first = _wait(backend, backend.submit(work, "first"))
    other = load(["fake_manila"], workers=1)
    try:
        assert _wait(other["fake_manila"], other["fake_manila"].submit(work, "first")).counts == first.counts
    finally:
        other.close()


def test_a_warm_small_job_is_done_in_a_moment(fleet: Fleet) -> None:
    backend, times = fleet["fake_manila"], []
    for index in range(5):
        began = time.monotonic()
        work = Work((ising(5, 1).replace("0.3", f"0.3{index}"),), (Run(0, 4096, 1, "ZZZZZ"),), seed=index)
        _wait(backend, backend.submit(work, f"moment {index}"))
        times.append(time.monotonic() - began)
    assert min(times) < 0.15


def test_work_that_can_never_run_says_so(fleet: Fleet) -> None:
    backend = fleet["fake_manila"]
    for source, sentence in ((ghz(6), "6 qubits"), ("nonsense", "does not parse")):
        job = backend.submit(Work((source,), (Run(0, 10),), seed=0), sentence)
        with pytest.raises(WorkRefusedError, match=sentence):
            _wait(backend, job)


def test_a_cancelled_job_is_forgotten(fleet: Fleet) -> None:
    backend = fleet["fake_manila"]
    job = backend.submit(Work((ghz(3),), (Run(0, 10),), seed=0), "cancelled")
    backend.cancel(job)
    backend.cancel("never heard of")
    assert backend.attach("cancelled") is None
    with pytest.raises(BackendError, match="has no job"):
        backend.result(job)


def test_a_killed_simulation_process_is_an_error_that_another_try_mends() -> None:
    fleet = load(["fake_manila"], workers=1)
    backend, work = fleet["fake_manila"], Work((ghz(3),), (Run(0, 100),), seed=0)
    try:
        _wait(backend, backend.submit(work, "before"))
        victims = list(fleet._pool._executor._processes)
        os.kill(victims[0], signal.SIGKILL)
        with pytest.raises(BackendError, match="died"):
            _wait(backend, backend.submit(Work((ghz(5),), (Run(0, 100),), seed=0), "victim"))
        assert backend.attach("victim") is None
        assert _wait(backend, backend.submit(work, "after")).counts
    finally:
        fleet.close()


_ORPHANS = """
import time
from backends.adapter import Run, Work
from backends.registry import load

if __name__ == "__main__":
    fleet = load(["fake_manila"], workers=1)
    fleet.warm()
    print(*fleet._pool._executor._processes, flush=True)
    time.sleep(600)
"""


def test_simulation_processes_die_with_a_killed_executor(tmp_path: Path) -> None:
    script = tmp_path / "executor.py"
    script.write_text(textwrap.dedent(_ORPHANS))
    executor = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert executor.stdout is not None
    orphan = int(executor.stdout.readline())
    executor.kill()
    executor.wait()
    executor.stdout.close()
    until = time.monotonic() + 20
    while Path(f"/proc/{orphan}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{orphan}").exists()
