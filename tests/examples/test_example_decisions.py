"""The example jobs under the calibrations of the real devices: advised, routed, and each to where its file says."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from backends.registry import BACKENDS, DEFAULT, load
from policy.recommender import Recommender
from scheduler.routing import Scheduler
from streams.jobfile import load_job

_FOLDER = Path(__file__).parents[2] / "examples" / "jobs"


def _decisions(calibrations):
    recommender = Recommender(calibrations)
    scheduler = Scheduler(calibrations, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return {path.stem: scheduler.route(recommender.recommend(load_job(path))) for path in sorted(_FOLDER.glob("*.json"))}


@pytest.fixture(scope="module")
def calibrations():
    return {name: backend.calibration() for name, backend in load(list(BACKENDS)).items()}


@pytest.fixture(scope="module")
def decisions(calibrations):
    """Example -> its decision, among the real devices."""
    return _decisions({name: calibrations[name] for name in DEFAULT})


def test_all_but_the_impossible_are_routed_and_not_all_to_one_place(decisions):
    assert {name for name, decision in decisions.items() if decision.decision == "REJECTED"} == {"impossible-qkd"}
    routed = [decision for decision in decisions.values() if decision.backend]
    assert len({decision.backend for decision in routed}) >= 3
    assert len({decision.recommendation.method for decision in routed}) >= 3


def test_every_decision_scores_every_backend(decisions):
    real = set(DEFAULT)
    for decision in decisions.values():
        assert {score.backend for score in decision.scores} == real


def test_the_impossible_job_hears_of_crypto_money_and_fidelity(decisions):
    reasons = decisions["impossible-qkd"].reasons
    for words in ("crypto mode qkd", "USD, the job allows", "the SLA wants"):
        assert any(words in reason for reason in reasons)
    assert all(score.blocked for score in decisions["impossible-qkd"].scores)


def test_crypto_jobs_go_where_their_mode_holds(decisions, calibrations):
    for name, suffix in (("cluster4-pqc", "KEM"), ("ghz10-qkd", "QKD")):
        best = decisions[name].scores[0]
        route = next(route for route in calibrations[best.backend].routes if route.name == best.route)
        wanted = [any(suffix in suite.replace("MLKEM", "KEM") for suite in hop.suites) for hop in route.hops]
        assert all(wanted)


def test_the_ten_qubit_job_tells_the_small_devices_why(decisions):
    blocked = {score.backend: score.blocked for score in decisions["ghz10-qkd"].scores}
    assert blocked["fake_manila"] == ("the circuit needs 10 qubits, fake_manila has 5",)


def test_devices_without_noise_are_no_special_case(calibrations):
    decisions = _decisions({name: each for name, each in calibrations.items() if each.provider == "aer"})
    assert decisions["ghz5"].decision == "ROUTED"
    ideal = next(score for score in decisions["ghz5"].scores if score.backend == "aer_ideal")
    assert ideal.method == "raw"
    assert ideal.expected_fidelity > 0.99
