"""Runs that are killed, run twice, run into each other or into bad input: nothing lost, nothing done twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from harness_runs import measured, snapshots

from em.errors import EmError, JobInvalidError
from em.harness.columns import SCHEMA
from em.harness.plan import Scope
from em.harness.run import run
from em.harness.store import FAILED, RESULTS, Store, StoreError
from em.harness.workers import Workers

PROGRAM = """
import sys
from pathlib import Path
from backends import registry
from em.harness.plan import Scope
from em.harness.run import run
from em.harness.store import Store

if __name__ == "__main__":
    scope = Scope(("random",), int(sys.argv[2]), ("raw", "readout-twirl"), (500, 1000), ("fake_jakarta",), depth=8)
    calibrations = {"fake_jakarta": registry.load(["fake_jakarta"])["fake_jakarta"].calibration()}
    ran = run(scope, Store(Path(sys.argv[1])), calibrations, waiting=lambda: print("waits", flush=True))
    print(ran.measured, ran.skipped, ran.failed, flush=True)
"""
SMALL = Scope(("ghz",), 2, ("raw", "readout"), (200, 400), ("aer_noisy",))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    place = tmp_path / "program.py"
    place.write_text(PROGRAM)
    return place


def start(program: Path, store: Path, circuits: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(program), str(store), str(circuits)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def children(pid: int) -> set[int]:
    """All descendants of a process."""
    found, waiting = set[int](), [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            new = {int(child) for child in task.read_text().split()} - found
            found |= new
            waiting += new
    return found


def twice(root: Path) -> int:
    query = f"select count(*) from (select task_id, observable from '{root}/results/**/*.parquet' group by all having count(*) > 1)"  # noqa: S608
    [(count,)] = duckdb.sql(query).fetchall()
    return count


def test_killed_at_any_time_and_run_again_nothing_is_lost_or_done_twice(program: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    process = start(program, root, 15)
    deadline = time.monotonic() + 100
    while not list(root.rglob("results/**/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    helpers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("results/**/*.parquet")}
    assert kept and helpers
    tasks = len(Store(root).done())
    assert 0 < tasks < 60
    while any(Path(f"/proc/{helper}").exists() for helper in helpers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{helper}").exists() for helper in helpers)
    output, _ = start(program, root, 15).communicate(timeout=200)
    assert output == f"{60 - tasks} {tasks} 0\n"
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept} == kept
    assert len(Store(root).done()) == 60 and twice(root) == 0
    assert not list((root / "partial").iterdir())


def test_two_runs_at_once_share_the_work_and_double_nothing(program: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    processes = [start(program, root, 6) for _ in range(2)]
    outputs = sorted(process.communicate(timeout=200)[0].splitlines()[-1] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == ["0 24 0", "24 0 0"]
    assert twice(root) == 0


def test_a_larger_scope_measures_what_is_new_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calibrations = snapshots("aer_noisy", "fake_jakarta")
    first = run(SMALL, store, calibrations)
    assert (first.measured, first.skipped, first.failed) == (8, 0, 0)
    progress = []
    wider = Scope(("ghz",), 2, ("raw", "readout"), (200, 400, 800), ("aer_noisy", "fake_jakarta"))
    second = run(wider, store, calibrations, progress=lambda ran: progress.append(ran.measured))
    assert (second.measured, second.skipped) == (16, 8)
    assert progress[-1] == 16
    assert run(wider, store, calibrations).measured == 0
    assert twice(tmp_path) == 0


def test_what_befalls_one_device_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    scope = Scope(("ghz",), 1, ("raw",), (100,), ("fake_manila", "aer_noisy"), qubits=6)
    store = Store(tmp_path)
    first = run(scope, store, snapshots("fake_manila", "aer_noisy"))
    assert (first.measured, first.failed, first.refused) == (1, 1, 1)
    [failure] = store.failures().to_pylist()
    assert failure["backend"] == "fake_manila" and "has 6 qubits, fake_manila has 5" in failure["error"]
    second = run(scope, store, snapshots("fake_manila", "aer_noisy"))
    assert (second.measured, second.skipped, second.failed) == (0, 1, 1)
    assert len(store.failures()) == 1


def test_a_failure_that_is_mended_is_one_no_more(tmp_path: Path) -> None:
    store = measured(SMALL, tmp_path / "good")
    [row, *_] = store.read().drop_columns(["day", "family"]).to_pylist()
    broken = Store(tmp_path / "broken")
    broken.write(FAILED, "ghz", "batch", pa.Table.from_pylist([{**row, "error": "no power"}], SCHEMA))
    assert broken.failures()["error"].to_pylist() == ["no power"]
    broken.write(RESULTS, "ghz", "batch", pa.Table.from_pylist([row], SCHEMA))
    assert not len(broken.failures())


def test_a_family_without_such_circuits_does_not_stop_the_others(tmp_path: Path) -> None:
    scope = Scope(("vqe", "ghz"), 1, ("raw",), (100,), ("aer_noisy",), qubits=3)
    ran = run(scope, Store(tmp_path), snapshots("aer_noisy"))
    assert ran.measured == 1
    assert ran.problems == ["the family vqe has circuits of 2 or 4 qubits, not of 3"]


@pytest.mark.parametrize("place", [0, 100, -200, -10])
def test_a_corrupted_file_is_named_set_aside_and_measured_again(tmp_path: Path, place: int) -> None:
    store = measured(SMALL, tmp_path)
    before = store.read().drop_columns(["day", "started_at", "finished_at", "compute_seconds"]).sort_by("task_id")
    [path] = tmp_path.rglob("results/**/*.parquet")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    again = Store(tmp_path)
    assert len(again.read()) == 0
    [sentence] = again.problems()
    assert str(path) in sentence and "the next run measures its tasks again" in sentence
    assert path.exists(), "somebody who only looks moves nothing"
    writer = measured(SMALL, tmp_path)
    assert not path.exists() and (tmp_path / "corrupt" / path.relative_to(tmp_path)).read_bytes() == content
    said, remembered = writer.problems()
    assert str(path) in said and "moved to" in said
    assert Store(tmp_path).problems() == [remembered] and "holds what was set aside (1 files)" in remembered
    after = Store(tmp_path).read().drop_columns(["day", "started_at", "finished_at", "compute_seconds"]).sort_by("task_id")
    assert after.drop_columns(["git_commit"]) == before.drop_columns(["git_commit"])


def test_a_cut_file_is_set_aside_too(tmp_path: Path) -> None:
    measured(SMALL, tmp_path)
    [path] = tmp_path.rglob("results/**/*.parquet")
    path.write_bytes(path.read_bytes()[:1000])
    store = Store(tmp_path)
    assert store.done() == store.done() == set() and len(store.problems()) == 1


def test_files_of_others_among_the_results_are_named(tmp_path: Path) -> None:
    store = measured(SMALL, tmp_path)
    [path] = tmp_path.rglob("results/**/*.parquet")
    strays = [tmp_path / "results" / "copy.parquet", path.parent.parent / "copy of it.parquet"]
    for stray in strays:
        stray.write_bytes(path.read_bytes())
    assert len(store.read()) == len(Store(tmp_path).read())
    for stray, sentence in zip(strays, store.problems(), strict=True):
        assert str(stray) in sentence and "is none of ours" in sentence


def test_a_file_where_a_folder_should_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=f"^{tmp_path / 'file'} is a file; results need a folder"):
            Store(place)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    store = measured(SMALL, tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written: Not a directory; what was measured before is kept"):
        Store(tmp_path / "bad").write(RESULTS, "ghz", "batch", store.read().drop_columns(["day", "family"]))


def test_processes_that_died_are_replaced() -> None:
    with Workers(1) as workers:
        with pytest.raises(BrokenProcessPool):
            workers.submit(os._exit, 1).result()
        assert workers.submit(os.getpid).result() != os.getpid()
    with pytest.raises(EmError, match="at least one process"):
        Workers(0)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"families": ("maze",)}, "no family maze; choose from random, "),
        ({"methods": ("raw", "magic")}, "no method magic; choose from raw, "),
        ({"methods": ()}, "no method given"),
        ({"circuits": 0}, "at least one circuit"),
        ({"budgets": (0,)}, "whole number of shots from 1 to 100000000, got 0"),
        ({"budgets": ()}, "got 0"),
        ({"seed": -1}, "whole number from 0, got -1"),
        ({"backends": ()}, "no backend"),
    ],
)
def test_scopes_that_cannot_be(changed: dict[str, object], says: str) -> None:
    fields = {"families": ("ghz",), "circuits": 1, "methods": ("raw",), "budgets": (100,), "backends": ("aer_noisy",), **changed}
    with pytest.raises(JobInvalidError, match=says):
        Scope(**fields)


def test_circuits_that_a_family_draws_twice_are_measured_once(tmp_path: Path) -> None:
    scope = Scope(("ghz",), 30, ("raw",), (100,), ("aer_noisy",), qubits=3)
    rows = measured(scope, tmp_path).read()
    assert len(set(rows["circuit_hash"].to_pylist())) == len(set(rows["task_id"].to_pylist())) <= 6
    assert set(Counter(zip(rows["task_id"].to_pylist(), rows["observable"].to_pylist(), strict=True)).values()) == {1}
    unique = len(set(rows["task_id"].to_pylist()))
    ran = run(scope, Store(tmp_path), snapshots("aer_noisy"))
    assert ran.measured == 0 and unique <= ran.skipped and ran.skipped + ran.repeated == 30
    ran = run(scope, Store(tmp_path / "empty"), snapshots("aer_noisy"))
    assert (ran.measured, ran.skipped, ran.repeated) == (unique, 0, 30 - unique)
