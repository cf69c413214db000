"""What the harness measures against the live path, against the exact values, and as others read it."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from harness_runs import measured, snapshots

from backends.device import Device
from backends.simulation import Simulator
from em.families import FAMILIES
from em.harness.columns import COLUMNS
from em.harness.events import events
from em.harness.figures import styles
from em.harness.plan import Scope
from em.harness.store import Store
from em.harness.summary import lines
from em.methods import METHODS, Workload
from em.planning import planned
from schemas.codec import decode, encode
from schemas.jobs import JobRequested
from schemas.mitigation import EmMeasured

SCOPE = Scope(
    ("ising", "ghz"),
    2,
    ("raw", "trex", "readout-zne-exponential", "readout-twirl"),
    (300, 1000),
    ("fake_jakarta", "aer_noisy"),
    5,
    5,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return measured(SCOPE, tmp_path_factory.mktemp("store"))


def test_every_number_is_what_a_job_with_its_seed_gives(store: Store) -> None:
    """The executor's own simulator, one task at a time: the same shots, and so the same estimates."""
    devices = {name: Simulator(Device(calibration)) for name, calibration in snapshots(*SCOPE.backends).items()}
    rows = store.read().to_pylist()
    seen = 0
    for row in rows[:: len(rows) // 20]:
        instance = FAMILIES[row["family"]].instance(row["circuit"], row["circuit_seed"])
        assert instance.circuit_hash == row["circuit_hash"]
        job = JobRequested(job_id="job", circuits=(instance.source,), observables=instance.observables, shots=row["budget"])
        plan = planned(METHODS[row["method"]], Workload.of(job), json.loads(row["parameters"]), row["seed"])
        outcome = devices[row["backend"]].run(plan.work)
        counts = (outcome.counts, getattr(outcome, "weights", ()))
        [estimates] = plan.method.combine(plan.workload, plan.parameters, plan.seeds["twirling"], *counts)
        [place] = [index for index, each in enumerate(instance.observables) if each.name == row["observable"]]
        assert row["estimate"] == pytest.approx(estimates[place].value, abs=1e-9)
        assert row["standard_error"] == pytest.approx(estimates[place].standard_error, abs=1e-9)
        assert row["raw"] == pytest.approx(estimates[place].raw_value, abs=1e-9)
        assert row["ideal"] == instance.ideal[place]
        assert row["device_seconds"] == pytest.approx(outcome.execution_seconds)
        assert row["shots"] == sum(run.shots for run in plan.work.runs)
        seen += 1
    assert seen >= 20


def test_all_that_was_asked_for_is_there_once(store: Store) -> None:
    rows = store.read()
    names = [rows[name].to_pylist() for name in ("family", "circuit_hash", "method", "budget", "backend", "observable")]
    keys = list(zip(*names, strict=True))
    circuits = {(f, FAMILIES[f].instance(n, 5).circuit_hash) for f in SCOPE.families for n in range(2)}
    expected = {
        (*circuit, method, budget, backend, observable)
        for circuit in circuits
        for method in SCOPE.methods
        for budget in SCOPE.budgets
        for backend in SCOPE.backends
        for observable in (("magnetisation", "zz") if circuit[0] == "ising" else ("zz", "coherence"))
    }
    assert len(keys) == len(set(keys)) and set(keys) == expected
    assert not len(store.failures())


def test_duckdb_and_pandas_read_it_alone(store: Store) -> None:
    rows = store.read()
    frame = pd.read_parquet(store.root / "results")
    assert set(frame.columns) == {*COLUMNS, "day", "family"}
    found = duckdb.sql(f"select * from '{store.root}/results/**/*.parquet'")  # noqa: S608
    assert set(found.columns) == set(frame.columns)
    frame["error"] = (frame.estimate - frame.ideal).abs()
    by_pandas = frame.groupby(["family", "method"], observed=True).error.mean()
    query = "select family, method, avg(abs(estimate - ideal)) from found group by all"
    by_duckdb = {(family, method): error for family, method, error in duckdb.sql(query).fetchall()}
    ours = {line.key: line for line in lines(rows)}
    assert by_pandas.to_dict() == pytest.approx(by_duckdb)
    assert {key: line.error for key, line in ours.items()} == pytest.approx(by_duckdb)  # all bounds are 1 here
    rmse = duckdb.sql("select family, method, sqrt(avg((estimate - ideal) ** 2)) from found group by all").fetchall()
    assert {(family, method): value for family, method, value in rmse} == pytest.approx({key: ours[key].rmse for key in ours})
    per_task = "select family, method, avg(shots) from (select distinct family, method, task_id, shots from found) group by all"
    shots = {(family, method): value for family, method, value in duckdb.sql(per_task).fetchall()}
    assert shots == pytest.approx({key: ours[key].shots for key in ours})


def test_mitigation_helps_as_much_as_it_should(store: Store) -> None:
    ours = {line.key: line for line in lines(store.read())}
    assert ours["ghz", "raw"].gain == pytest.approx(1.0)
    assert ours["ghz", "readout-zne-exponential"].gain > 2


def test_a_column_says_what_it_is(store: Store) -> None:
    [path, *_] = (store.root / "results").rglob("*.parquet")

    schema = pq.read_schema(path)
    assert all(schema.field(name).metadata[b"about"] == text.encode() for name, (_, text) in COLUMNS.items())


def test_more_shots_bring_the_raw_value_to_the_device_s_own(tmp_path: Path) -> None:
    scope = Scope(("mirror",), 1, ("raw",), (100, 100_000_000), ("aer_ideal",))
    rows = measured(scope, tmp_path).read().to_pylist()
    assert all(row["estimate"] == pytest.approx(row["ideal"], abs=1e-9) for row in rows if row["budget"] == 100_000_000)


def test_seeds_move_shots_and_not_circuits(tmp_path: Path) -> None:
    one, two = (measured(Scope(("random",), 1, ("raw",), (1000,), ("aer_noisy",), seed), tmp_path / str(seed)) for seed in (1, 2))
    again = measured(Scope(("random",), 1, ("raw",), (1000,), ("aer_noisy",), 1), tmp_path / "again").read()
    assert again["estimate"].to_pylist() == one.read()["estimate"].to_pylist()
    assert one.read()["ideal"].to_pylist() == two.read()["ideal"].to_pylist()
    assert one.read()["estimate"].to_pylist() != two.read()["estimate"].to_pylist()


def test_results_are_events(store: Store) -> None:
    rows = store.read()
    sent = list(events(rows))
    assert len(sent) == len(rows)
    first = rows.slice(0, 1).to_pylist()[0]
    event = decode(EmMeasured, encode(sent[0]))
    assert event == sent[0]
    assert (event.subject, event.value, event.ideal, event.task_id) == (
        f"{first['family']}/{first['method']}",
        first["estimate"],
        first["ideal"],
        first["task_id"],
    )
    assert event.measured_at == first["finished_at"]


def test_abstaining_is_a_result_and_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em.methods.readout._LEAST_SLOPE", 0.999)
    store = measured(Scope(("ising",), 1, ("raw", "readout"), (1000,), ("fake_jakarta",)), tmp_path)
    rows = [row for row in store.read().to_pylist() if row["method"] == "readout"]
    assert len(rows) == 2
    assert all(row["abstained"] and row["estimate"] is None and "cannot be inverted" in row["note"] for row in rows)
    assert not len(store.failures())
    assert {event.method for event in events(store.read())} == {"raw"}
    [line] = [line for line in lines(store.read()) if line.key[1] == "readout"]
    assert (line.values, line.abstained) == (0, 2) and np.isnan(line.error)


def test_no_two_methods_look_the_same_in_a_figure() -> None:
    drawn = styles(sorted(METHODS))
    looks = {(each["color"], each["marker"], each.get("linestyle")) for each in drawn.values()}
    assert len(looks) == len(METHODS) == len(drawn) > 20
