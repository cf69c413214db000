"""`quantumai em` as a user types it."""

import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cli import em
from em.harness.store import Store
from schemas.mitigation import EmMeasured
from streams.sync_client import SyncClient

TINY = ("--families", "ghz", "--circuits", 1, "--methods", "raw,readout", "--budgets", "500", "--backends", "aer_noisy")


def test_a_run_shows_a_table_and_a_chart_and_is_not_done_twice(quantumai) -> None:
    done = quantumai("em", "run", *TINY)
    assert done.exit_code == 0, done.output
    assert re.search(r"ghz +readout +2 +0\.\d{4} +0\.\d{4} +\d+\.\d\dx", done.stdout)
    assert "ghz: mean |error|, the best first" in done.stdout and "█" in done.stdout
    assert "2 tasks measured" in done.stderr
    again = quantumai("em", "run", *TINY)
    assert "0 tasks measured" in again.stderr and "2 were there already" in again.stderr
    assert again.stdout == done.stdout == quantumai("em", "show").stdout


def test_a_report_can_be_had_of_any_results(quantumai) -> None:
    assert quantumai("em", "run", *TINY, "--out", "mine").exit_code == 0
    done = quantumai("em", "report", "--out", "mine")
    assert done.exit_code == 0 and "mine/report.html and report.pdf" in done.stdout
    assert "ghz" in Path("mine/report.html").read_text()


def test_failures_are_listed_and_the_exit_status_says_so(quantumai) -> None:
    options = ("--families", "ghz", "--qubits", 6, "--methods", "raw", "--backends", "fake_manila,aer_noisy", "--circuits", 1)
    done = quantumai("em", "run", *options, "--budgets", 100)
    assert done.exit_code == 1
    assert "failed 1 x ghz/raw: the circuit has 6 qubits, fake_manila has 5" in done.stdout
    assert "1 tasks cannot be done as they are asked for" in done.stderr and "again" not in done.stderr


def test_quick_only_changes_what_is_not_said(quantumai) -> None:
    done = quantumai("em", "run", "--quick", *TINY)
    assert done.exit_code == 0, done.output
    assert "2 tasks measured" in done.stderr
    assert set(Store(Path(".quantumai/em/runs")).read()["budget"].to_pylist()) == {500}


def test_what_runs_its_tasks_itself_is_said_and_simulated_where_that_is_asked_for(quantumai) -> None:
    rest = ("--families", "ghz", "--circuits", 1, "--methods", "raw", "--budgets", 100, "--backends", "mock")
    sent = quantumai("em", "run", *rest)
    assert sent.exit_code == 0 and "mock runs its tasks itself, each as a job" in sent.stderr
    simulated = quantumai("em", "run", *rest, "--simulate")
    assert "mock is simulated here, under its calibration of 2025-01-01" in simulated.stderr
    rows = Store(Path(".quantumai/em/runs")).read().to_pylist()
    assert {(row["engine"], row["vendor_job_id"] is None) for row in rows} == {("mock", False), ("pauli-transfer", True)}
    dear = quantumai("em", "run", *rest, "--seed", 1, "--max-usd", 0)
    assert dear.exit_code == 1 and "raise --max-usd" in dear.stdout


def test_a_backend_without_a_token_is_a_sentence_and_the_rest_goes_on(quantumai, monkeypatch) -> None:
    monkeypatch.delenv("IBM_QUANTUM_TOKEN", raising=False)
    monkeypatch.delenv("IBM_QUANTUM_CHANNEL", raising=False)
    rest = ("--families", "ghz", "--circuits", 1, "--methods", "raw", "--budgets", 100)
    done = quantumai("em", "run", *rest, "--backends", "ibm:ibm_torino,aer_noisy")
    assert done.exit_code == 1 and "1 tasks measured" in done.stderr
    assert "ibm:ibm_torino took no part: ibm:ibm_torino needs a token: set IBM_QUANTUM_TOKEN" in " ".join(done.stderr.split())


def test_methods_are_ranked_with_those_of_the_same_budgets_only(quantumai) -> None:
    rest = ("--families", "ghz", "--circuits", 1, "--backends", "aer_noisy")
    quantumai("em", "run", *rest, "--methods", "raw,readout", "--budgets", "500,5000")
    quantumai("em", "run", *rest, "--methods", "trex,zne-linear", "--budgets", 50000)
    shown = quantumai("em", "show").stdout
    charts = shown[shown.index("ghz: mean |error|") :].split("ghz: mean")[1:]
    assert ["raw" in chart and "readout" in chart for chart in charts] == [True, False]
    assert ["trex" in chart and "zne-linear" in chart for chart in charts] == [False, True]
    assert all("of 2 methods measured on the same circuits, devices and budgets" in chart for chart in charts)


def test_a_file_that_was_set_aside_is_named(quantumai) -> None:
    quantumai("em", "run", *TINY)
    [path] = Path(".quantumai/em/runs/results").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    done = quantumai("em", "show")
    assert done.exit_code == 1 and path.name in done.stdout and "there are no results" in done.stderr
    again = quantumai("em", "run", *TINY)
    assert "2 tasks measured" in again.stderr and "moved to" in again.stdout
    assert "holds what was set aside" in quantumai("em", "show").stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("run", "--families", "maze"), "there is no family maze; choose from random"),
        (("run", "--methods", "magic"), "there is no method magic"),
        (("run", "--backends", "abacus"), "there is no backend abacus"),
        (("run", "--budgets", "0"), "a budget is a whole number of shots from 1"),
        (("run", "--budgets", "10.5"), "'10.5' are no whole numbers of shots"),
        (("run", "--circuits", "0"), "at least one circuit"),
        (("run", "--workers", "0"), "at least one process"),
        (("run", "--out", "/dev/null"), "/dev/null is a file; results need a folder"),
        (("nightly", "--out", "/dev/null"), "/dev/null is a file; results need a folder"),
        (("show", "--out", "nowhere"), "there are no results in nowhere; make some with `quantumai em run`"),
        (("report", "--out", "nowhere"), "there are no results in nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(quantumai, options: tuple[str, ...], says: str) -> None:
    done = quantumai("em", *options)
    assert done.exit_code in (1, 2)
    assert says in " ".join(done.stderr.replace("│", " ").split()) and "Traceback" not in done.output


@pytest.mark.slow
def test_a_terminated_run_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "em", "run", "--families", "random", "--circuits", "40", "--out", str(tmp_path)]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    until = time.monotonic() + 120
    while not list(tmp_path.rglob("results/**/*.parquet")) and time.monotonic() < until:
        time.sleep(0.1)
    started.terminate()
    _, said = started.communicate(timeout=30)
    assert started.returncode not in (0, -signal.SIGTERM)
    assert "semaphore" not in said and "Traceback" not in said
    assert len(Store(tmp_path).read())


@pytest.fixture
def nightly(quantumai, monkeypatch):
    """Runs a small night under a commit of its own each time."""
    commits = count(1)
    options = (
        "--families",
        "ising",
        "--circuits",
        12,
        "--methods",
        "readout",
        "--backends",
        "aer_noisy,fake_jakarta",
        "--copies",
        "",
    )

    def run(*more: object):
        commit = f"{next(commits):08x}" + 32 * "0"
        monkeypatch.setattr(em, "git_commit", lambda: commit)
        return quantumai("em", "nightly", *options, "--more", "", "--budgets", 1000, *more)

    return run


def test_nights_are_compared_and_a_fault_fails_the_night_with_a_sentence(nightly, monkeypatch) -> None:
    first, second = nightly(), nightly()
    assert first.exit_code == second.exit_code == 0, second.output
    assert "the first night: there is nothing to compare it with yet" in first.stdout
    assert "nothing moved since the 1 nights before (4 tests)" in second.stdout
    assert "raise an alarm" not in second.stderr
    few = ("--circuits", 1)
    assert "too few circuits, devices and nights for any change to raise an alarm in ising/readout" in nightly(*few).stderr
    reports = list(Path(".quantumai/em/nights").glob("*/report.pdf"))
    assert len(reports) == 3
    rows = Store.read

    def biased(store: Store, *arguments: object, **named: object) -> pa.Table:
        """Tonight's estimates are all a little larger."""
        found = rows(store, *arguments, **named)
        if "estimate" not in found.column_names or "-00000004-" not in store.root.name:
            return found
        place = found.column_names.index("estimate")
        return found.set_column(place, "estimate", pc.add(found["estimate"], 0.05))

    monkeypatch.setattr(Store, "read", biased)
    third = nightly("--history", 5)
    assert third.exit_code == 1
    sentence = " ".join(third.stderr.split())
    assert "ising/readout: the mean signed error went from" in sentence and "commit 00000004 (before:" in sentence


def test_a_night_is_published(on, broker, monkeypatch) -> None:
    monkeypatch.setattr(em, "git_commit", lambda: "f" * 40)
    options = (*TINY, "--more", "", "--copies", "", "--publish")
    began = datetime.now(UTC)
    done = on("em", "nightly", *options)
    assert done.exit_code == 0, done.output
    assert "4 em.measured events sent" in done.stdout
    with SyncClient(broker.bootstrap) as client:
        events = list(client.records(EmMeasured, began))
    store = Store(next(Path(".quantumai/em/nights").iterdir()))
    ours = set(store.read()["task_id"].to_pylist())
    sent = [event.record for event in events if event.record.task_id in ours]
    assert sorted(record.value for record in sent) == sorted(store.read()["estimate"].to_pylist())
