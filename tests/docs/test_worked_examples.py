"""The adapter and the reader that the pages show, taken from the pages and run."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pages import ROOT, block

from backends import aer, registry
from backends.adapter import Run, Work
from backends.device import Device
from backends.errors import BackendError
from backends.simulation import Simulator
from em.execution import FINAL, Execution
from em.methods import Workload
from em.methods.mitigated import Mitigated
from policy.recommender import Recommender
from scheduler import scorings
from scheduler.routing import Scheduler
from schemas.calibration import Hop, Price, Route
from schemas.cloudevents import Event
from schemas.jobs import JobCompleted, JobRequested, JobStatus, Observable, PauliTerm

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
ZZ = Observable(name="zz", terms=(PauliTerm(pauli="ZZ", coefficient=1.0),))


def _module(page: str, name: str) -> ModuleType:
    module = ModuleType(f"docs_{name}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(block(page, name), page, "exec"), module.__dict__)  # noqa: S102 - the page's own program
    return module


@pytest.mark.parametrize(
    ("page", "name"),
    [("docs/add-a-backend.md", "lab"), ("docs/add-a-mitigation-method.md", "flips"), ("docs/scheduler.md", "frugal")],
    ids=["lab", "flips", "frugal"],
)
@pytest.mark.parametrize("rule", [("check",), ("format", "--check")], ids=["rules", "format"])
def test_the_examples_are_written_as_the_house_writes(page: str, name: str, rule: tuple[str, ...]) -> None:
    ruff = [sys.executable, "-m", "ruff", *rule, "--stdin-filename", f"backends/{name}.py", "-"]
    done = subprocess.run(ruff, input=block(page, name), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Jobs(dict[str, JobStatus]):
    """What the worker's view of job.status offers."""

    def partition(self, partition: int) -> "Jobs":
        return self

    def find(self, key: str) -> JobStatus | None:
        return self.get(key)

    def take(self, records: list) -> list:
        self.update({record.job_id: record for record in records if isinstance(record, JobStatus)})
        return [record for record in records if isinstance(record, JobCompleted)]


class TestLab:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("LAB_FOLDER", str(tmp_path))
        route = Route(name="wire", hops=(Hop(source="control-plane", target="lab", suites=("X25519",)),))
        snapshot = aer.snapshot("aer_noisy").model_copy(update={"backend": "lab", "routes": (route,)})
        (tmp_path / "calibration.json").write_text(snapshot.model_dump_json())
        lab = _module("docs/add-a-backend.md", "lab")
        monkeypatch.setattr(registry, "BACKENDS", {**registry.BACKENDS, "lab": lab.connect})
        return tmp_path

    def answer(self, folder: Path, backend) -> None:
        """What the laboratory does."""
        [job] = folder.glob("*.job")
        asked = json.loads(job.read_text())
        runs = tuple(
            Run(**{name: tuple(value) if isinstance(value, list) else value for name, value in run.items()})
            for run in asked.pop("runs")
        )
        outcome = Simulator(Device(backend.calibration())).run(Work(tuple(asked.pop("bodies")), runs, **asked))
        result = {"counts": outcome.counts, "seconds": outcome.execution_seconds}
        job.with_suffix(".result").write_text(json.dumps({**result, "calibration_id": backend.calibration().calibration_id}))

    def test_a_job_runs_there_and_a_killed_executor_submits_nothing_twice(self, folder: Path) -> None:
        backends = registry.load(["lab"])
        calibrations = {"lab": backends["lab"].calibration()}
        job = JobRequested(job_id="job", circuits=(BELL,), observables=(ZZ,), method="readout", shots=2000)
        routed = Scheduler(calibrations).route(Recommender(calibrations).recommend(job))
        assert routed.backend == "lab", routed.reasons
        jobs = Jobs()
        first = Execution(backends, jobs, {})
        jobs.take([first.accept(Event(routed, "decision", b"\0" * 32))])
        first.poll(0)  # submitted, and killed before RUNNING was said
        [submitted] = folder.glob("*.job")
        written = submitted.stat().st_mtime_ns
        second = Execution(registry.load(["lab"]), jobs, {})
        assert jobs.take(second.poll(0)) == []
        assert jobs["job"].state == "RUNNING"
        assert [file.stat().st_mtime_ns for file in folder.glob("*.job")] == [written]
        self.answer(folder, backends["lab"])
        [done] = jobs.take(second.poll(0))
        assert jobs["job"].state in FINAL and done.status == "DONE"
        assert done.expectations[0].value == pytest.approx(1.0, abs=0.1)

    def test_it_keeps_the_rules(self, folder: Path) -> None:
        lab = registry.load(["lab"])["lab"]
        work = Work((BELL,), (Run(0, 100),), seed=1)
        assert lab.attach("tag") is None
        assert lab.submit(work, "tag") == lab.submit(work, "tag") == lab.attach("tag")
        assert lab.result("tag") is None
        (folder / "tag.result").write_text('{"error": "the fridge is warm"}')
        with pytest.raises(BackendError, match="fridge"):
            lab.result("tag")
        lab.cancel("tag")
        lab.cancel("tag")
        with pytest.raises(BackendError):
            lab.result("tag")


class TestFlips:
    WRONG = 0.02, 0.08
    """P(1|0), P(0|1)."""

    def counts(self, run: Run, draw: np.random.Generator) -> dict[str, int]:
        """Both qubits are in |0>, or in |1> where they are flipped just before they are read."""
        rows = np.zeros((run.shots, 2), dtype=bool)
        for qubit in (0, 1):
            one = qubit in run.flips
            rows[:, qubit] = (draw.random(run.shots) >= self.WRONG[1]) if one else (draw.random(run.shots) < self.WRONG[0])
        texts, times = np.unique([f"{row[1]:d}{row[0]:d}" for row in rows], return_counts=True)
        return dict(zip(texts.tolist(), times.tolist(), strict=True))

    def test_the_asymmetry_of_the_readout_is_gone_and_the_error_is_honest(self) -> None:
        reader = _module("docs/add-a-mitigation-method.md", "flips").FlipAveragedReader()
        both = Observable(name="z", terms=(PauliTerm(pauli="IZ", coefficient=1.0),))
        task = Workload.of(JobRequested(job_id="job", circuits=(BELL,), observables=(ZZ, both), shots=4000))
        method, draw = Mitigated(reader), np.random.default_rng(3)
        assert method.cost(task, {}).overhead == 1.0
        found = []
        for seed in range(100):
            runs = method.circuits(task, {}, seed)
            found.append(method.combine(task, {}, seed, [self.counts(run, draw) for run in runs])[0][1])
        values = np.array([estimate.value for estimate in found])
        slope = 1 - sum(self.WRONG)  # 0.9; unflipped, |0> is read as 1 - 2 * 0.02 = 0.96
        claimed = np.mean([estimate.standard_error for estimate in found])
        assert values.mean() == pytest.approx(slope, abs=5 * claimed / 10)
        assert values.std() == pytest.approx(claimed, rel=0.3)

    def test_it_goes_with_every_extrapolation(self) -> None:
        reader = _module("docs/add-a-mitigation-method.md", "flips").FlipAveragedReader()
        assert Mitigated(reader, "linear").name == "flips-zne-linear"


def test_the_first_change_of_the_onboarding_fails_before_and_passes_after(tmp_path: Path) -> None:
    for folder in ("schemas", "scheduler", "tests/scheduler"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    page = "docs/onboarding.md"
    with (tmp_path / "tests" / "scheduler" / "test_crypto.py").open("a") as tests:
        tests.write(f"\n\n{block(page, 'suite')}")

    def run() -> int:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "finite_field",
            "tests/scheduler/test_crypto.py",
        ]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert run() == 1
    crypto = tmp_path / "scheduler" / "crypto.py"
    above = '        "X448": Suite(_CLASSICAL, "RFC 7748"),\n'
    crypto.write_text(crypto.read_text().replace(above, above + block(page, "row")))
    assert run() == 0


class TestScheduler:
    """docs/scheduler.md: the formula by hand, and a policy of one's own."""

    def decided(self, scoring: str = "score-v1"):
        at = datetime(2026, 3, 1, tzinfo=UTC)
        route = Route(name="wire", hops=(Hop(source="control-plane", target="lab", suites=("X25519",)),))
        terms = {"routes": (route,), "crypto_suites": ("X25519",), "price": Price(per_shot_usd=0.001), "availability": 0.8}
        dated = {"drifts": True, "taken_at": at - timedelta(days=2), "queue_seconds": 10.0}
        calibration = aer.snapshot("aer_noisy").model_copy(update={"backend": "lab", **terms, **dated})
        job = JobRequested(job_id="job", circuits=(BELL,), observables=(ZZ,))
        advised = Recommender({"lab": calibration}).recommend(job)
        numbers = {"expected_fidelity": 0.9, "total_shots": 1000, "execution_seconds": 2.0}
        advice = advised.model_copy(update={"candidates": (advised.candidates[0].model_copy(update=numbers),)})
        return Scheduler({"lab": calibration}, scoring, clock=lambda: at).route(advice).scores[0]

    def test_the_worked_example_is_what_the_scheduler_computes(self) -> None:
        example = _module("docs/scheduler.md", "example")
        score = self.decided()
        assert score.score == pytest.approx(example.score) == pytest.approx(0.598, abs=5e-4)
        assert (score.cost_usd, score.freshness) == (pytest.approx(example.cost), pytest.approx(example.freshness))
        assert 0.9 / (example.cost + 3.6) * 0.8 * example.freshness == pytest.approx(0.131, abs=5e-4)

    def test_a_policy_of_ones_own_is_a_class_and_a_row(self, monkeypatch: pytest.MonkeyPatch) -> None:
        frugal = _module("docs/scheduler.md", "frugal").Frugal()
        monkeypatch.setattr(scorings, "SCORINGS", {**scorings.SCORINGS, frugal.name: frugal})
        assert self.decided("frugal").score == pytest.approx((0.9 - 0.5) / 1.0)
