"""Scoring policies by name, and a fleet that is simulated under each of them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from scheduler.errors import UnknownScoringError, WorkloadError
from scheduler.outcome import jain, line, table
from scheduler.routing import Scheduler
from scheduler.scorings import SCORINGS
from scheduler.simulation import Simulation
from scheduler.workload import Capacity, drawn, recorded
from schemas.calibration import Price

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("score-v1", "middle"),
        ("cheapest", "cheap"),
        ("fastest", "quick"),
        ("highest-fidelity", "good"),
        ("fcfs", "good"),
        ("fcfs-first-free", "quick"),
    ],
)
def test_each_policy_looks_at_what_its_name_says(make, name, backend):
    fleet = {
        "cheap": (make.calibration("cheap", price=Price(per_job_usd=0.9), queue_seconds=900.0), 0.3),
        "quick": (make.calibration("quick", price=Price(per_job_usd=5.0)), 0.6),
        "good": (make.calibration("good", price=Price(per_job_usd=9.0), queue_seconds=500.0), 0.99),
        "middle": (make.calibration("middle", price=Price(per_job_usd=1.0), queue_seconds=20.0), 0.9),
    }
    advice = make.recommended(*[make.recommendation(each, fidelity) for each, (_, fidelity) in fleet.items()])
    scheduler = Scheduler({each: calibration for each, (calibration, _) in fleet.items()}, name, clock=lambda: make.at)
    decision = scheduler.route(advice)
    assert (decision.backend, decision.scoring_policy) == (backend, name)


def test_no_policy_lets_a_blocked_backend_win(make):
    for name in SCORINGS:
        scheduler = Scheduler({"a": make.calibration(availability=0.0)}, name, clock=lambda: make.at)
        assert scheduler.route(make.recommended(make.recommendation())).decision == "REJECTED"


def test_an_unknown_policy_is_refused_with_all_there_are():
    with pytest.raises(UnknownScoringError, match="known are score-v1, cheapest, fastest, highest-fidelity, fcfs"):
        Scheduler({}, "slowest")


class Toy:
    """A world of two backends, the better of which everybody wants; a run achieves what its day allows, not what was predicted."""

    def __init__(self, make):
        self.make = make

    def calibrations(self, day):
        return [self.make.calibration(name, price=Price(per_job_usd=1.0), drifts=True) for name in ("good", "fair")]

    def advice(self, job, kind, day):
        advice = [self.make.recommendation("good", 0.99, seconds=100.0), self.make.recommendation("fair", 0.985, seconds=100.0)]
        return self.make.recommended(*advice).model_copy(update={"job_id": job.job_id, "job": job})

    def achieved(self, kind, day, advice):
        return 0.98 if advice.backend == "good" else 0.978

    def arrivals(self, load, seed=1):
        job = self.make.recommended().job.model_copy(update={"name": "toy"})
        return drawn([job], Capacity(2, 100.0), load, days=0.5, seed=seed, start=START)


@pytest.fixture
def lines(make):
    toy = Toy(make)
    return {name: line(table(Simulation(toy.arrivals(0.9), toy, name, start=START).run())) for name in SCORINGS}


def test_every_job_ends_once_and_the_queue_decides_the_time(make, lines):
    assert {each.jobs for each in lines.values()} == {len(Toy(make).arrivals(0.9))}
    assert all(each.rejected == 0 for each in lines.values())
    assert lines["score-v1"].completion_seconds < 0.46 * lines["fcfs"].completion_seconds
    assert lines["score-v1"].fidelity >= 0.99 * lines["fcfs"].fidelity
    assert all(0.978 - 1e-9 <= each.fidelity <= 0.98 + 1e-9 for each in lines.values())


def test_the_same_seed_gives_the_same_run_and_another_one_another(make):
    toy = Toy(make)
    one, same, other = (
        [each.finished for each in Simulation(toy.arrivals(0.5, seed), toy, "score-v1", start=START).run()] for seed in (1, 1, 2)
    )
    assert one == same != other


def test_the_load_is_what_was_asked_for(make):
    toy = Toy(make)
    ran = table(Simulation(toy.arrivals(0.5), toy, "fastest", start=START).run())
    busy = (ran["finished"].to_numpy() - ran["started"].to_numpy()).sum()
    assert busy / (2 * 0.5 * 86_400) == pytest.approx(0.5, abs=0.06)


def test_recorded_jobs_are_stretched_to_the_load(make):
    jobs = [each.job for each in Toy(make).arrivals(0.5)]
    again = recorded(jobs, Capacity(2, 100.0), 0.25, START)
    assert again[-1].seconds == pytest.approx(len(jobs) / (0.25 * 2 / 100))
    with pytest.raises(WorkloadError, match="no workload"):
        recorded(jobs[:1], Capacity(2, 100.0), 0.5, START)


def test_jains_index_is_one_for_equals_and_one_over_n_for_one_who_has_all():
    assert jain(np.array([2.0, 2.0, 2.0])) == pytest.approx(1.0)
    assert jain(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)
