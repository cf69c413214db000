"""Which backend is chosen, which are blocked, and what the decision says."""

from datetime import timedelta

import pytest

from scheduler.errors import UnknownScoringError
from scheduler.routing import Scheduler
from scheduler.score import COST_FLOOR_USD
from schemas.calibration import Price
from schemas.codec import decode, encode
from schemas.jobs import JobRouted, Sla
from schemas.mitigation import Unfit


def test_the_worked_example_of_the_formula(make):
    """0.9 fidelity; 1000 shots at 0.001 USD, 10 s of queue and 2 s of running at 3.60 USD an hour; up 80 % of the time."""
    calibration = make.calibration(queue_seconds=10.0, availability=0.8)
    decision = make.route(make.recommended(make.recommendation()), calibration)
    score = decision.scores[0]
    assert (decision.decision, decision.backend) == ("ROUTED", "a")
    assert score.price_usd == pytest.approx(1.0)
    assert score.cost_usd == pytest.approx(1.0 + 12 * 0.001)
    assert score.score == pytest.approx(0.9 / 1.012 * 0.8 * 1.0)
    assert (score.wait_seconds, score.execution_seconds, score.route) == (10.0, 2.0, "direct")


def test_every_score_can_be_recomputed_from_the_record_alone(make):
    candidates = [make.recommendation(name, fidelity) for name, fidelity in (("a", 0.9), ("b", 0.8), ("c", 0.99))]
    calibrations = [make.calibration(name, price=Price(per_job_usd=i)) for i, name in enumerate("abc")]
    decision = make.route(make.recommended(*candidates), *calibrations)
    for score in decision.scores:
        assert score.score == score.expected_fidelity / score.cost_usd * score.availability_penalty * score.crypto_compatibility
    assert [score.score for score in decision.scores] == sorted((score.score for score in decision.scores), reverse=True)
    assert decision.backend == decision.scores[0].backend
    assert decision.recommendation == next(each for each in candidates if each.backend == decision.backend)
    assert decode(JobRouted, encode(decision)) == decision


def test_the_better_per_dollar_wins_and_the_reason_says_so(make):
    decision = make.route(
        make.recommended(make.recommendation("a", 0.95), make.recommendation("b", 0.90)),
        make.calibration("a", price=Price(per_job_usd=10.0)),
        make.calibration("b", price=Price(per_job_usd=1.0)),
    )
    assert decision.backend == "b"
    assert "next is a" in decision.reasons[0]


def test_a_free_backend_costs_its_floor_so_that_fidelity_decides(make):
    free = Price()
    decision = make.route(
        make.recommended(make.recommendation("a", 0.8, seconds=0.0), make.recommendation("b", 0.9, seconds=0.0)),
        make.calibration("a", price=free),
        make.calibration("b", price=free),
    )
    assert decision.backend == "b"
    assert {score.cost_usd for score in decision.scores} == {COST_FLOOR_USD}


def test_a_tie_goes_to_the_first_name(make):
    decision = make.route(
        make.recommended(make.recommendation("b"), make.recommendation("a")), make.calibration("b"), make.calibration("a")
    )
    assert [score.backend for score in decision.scores] == ["a", "b"]


@pytest.mark.parametrize(
    ("job", "calibration", "words"),
    [
        ({"backend": "other"}, {}, "the job asks for other and no other backend"),
        ({}, {"availability": 0.0}, "it is down"),
        ({"sla": Sla(max_error=0.1)}, {}, "expected error is 0.2 with raw, the SLA allows 0.1"),
        ({"sla": Sla(min_fidelity=0.95)}, {}, "expected fidelity is 0.9 with raw, the SLA wants 0.95"),
        ({"max_cost_usd": 0.5}, {}, "it charges 1 USD, the job allows 0.5 USD"),
        ({"deadline": timedelta(seconds=11)}, {"queue_seconds": 10.0}, "it needs 12 s with its queue, the deadline is in 11 s"),
        ({"deadline": timedelta(seconds=-5)}, {}, "the deadline passed 5 s ago"),
        ({"deadline": timedelta(days=-2524)}, {}, "the deadline passed 6.91 years ago"),
        (
            {"deadline": timedelta(minutes=90)},
            {"queue_seconds": 259198.0},
            "it needs 3 days with its queue, the deadline is in 1.5 h",
        ),
    ],
)
def test_a_broken_constraint_blocks_with_its_numbers(make, job, calibration, words):
    if "deadline" in job:
        job = job | {"deadline": make.at + job["deadline"]}
    decision = make.route(make.recommended(make.recommendation(), **job), make.calibration(**calibration))
    assert (decision.decision, decision.backend, decision.recommendation) == ("REJECTED", None, None)
    assert words in decision.scores[0].blocked[0]
    assert decision.scores[0].score == 0
    assert decision.reasons == (f"a: {decision.scores[0].blocked[0]}",)


@pytest.mark.parametrize(
    "job",
    [
        {"backend": "a"},
        {"sla": Sla(max_error=0.2, min_fidelity=0.9)},
        {"max_cost_usd": 1.0},
        {"deadline": timedelta(seconds=12)},
    ],
)
def test_a_constraint_that_is_just_met_does_not_block(make, job):
    if "deadline" in job:
        job = job | {"deadline": make.at + job["deadline"]}
    candidate = make.recommendation(error=0.2)
    assert make.route(make.recommended(candidate, **job), make.calibration(queue_seconds=10.0)).decision == "ROUTED"


def test_blocked_backends_stand_behind_the_admissible_ones_whatever_they_promise(make):
    decision = make.route(
        make.recommended(make.recommendation("good", 0.9), make.recommendation("hopeless", 0.0)),
        make.calibration("good", availability=0.0),
        make.calibration("hopeless"),
    )
    assert [score.backend for score in decision.scores] == ["hopeless", "good"]
    assert decision.backend == "hopeless"


def test_all_reasons_are_told_not_just_the_first(make):
    decision = make.route(
        make.recommended(
            make.recommendation("a"),
            make.recommendation("b"),
            unfit=[Unfit(backend="c", calibration_id="x", reason="the circuit needs 7 qubits, c has 5")],
            max_cost_usd=0.5,
            sla=Sla(min_fidelity=0.95),
            crypto_mode="qkd",
        ),
        make.calibration("a"),
        make.calibration("b", suites=("X25519",)),
    )
    assert decision.decision == "REJECTED"
    assert [len(score.blocked) for score in decision.scores] == [2, 3, 1]
    assert len(decision.reasons) == 6
    assert "c: the circuit needs 7 qubits, c has 5" in decision.reasons


def test_problems_reject_whatever_the_candidates_are(make):
    decision = make.route(make.recommended(make.recommendation(), problems=["unknown method 'foo'"]), make.calibration())
    assert (decision.decision, decision.backend) == ("REJECTED", None)
    assert decision.reasons == ("unknown method 'foo'",)


def test_no_backend_at_all_is_a_rejection_with_a_reason(make):
    assert make.route(make.recommended()).reasons == ("no backend is known to the policy",)


def test_a_candidate_without_a_calibration_is_blocked(make):
    decision = make.route(make.recommended(make.recommendation("a"), make.recommendation("b")), make.calibration("b"))
    assert decision.backend == "b"
    assert "knows no calibration" in decision.scores[1].blocked[0]


def test_the_decision_names_its_scoring_policy_model_and_time(make):
    decision = make.route(make.recommended(make.recommendation()), make.calibration())
    assert (decision.scoring_policy, decision.model_version, decision.decided_at) == ("score-v1", "m", make.at)


def test_an_unknown_scoring_policy_is_refused_by_name():
    with pytest.raises(UnknownScoringError, match=r"'best': known are score-v1"):
        Scheduler({}, scoring="best")
