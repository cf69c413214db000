"""What holds of every decision."""

import math
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.routing import Scheduler
from schemas.calibration import Price
from schemas.codec import decode, encode
from schemas.jobs import JobRouted, Sla

_AMOUNTS = st.one_of(st.just(0.0), st.floats(0, 1e300), st.floats(1e-4, 10.0))
_FRACTIONS = st.floats(0, 1)
_RELAXED = settings(deadline=None, max_examples=200)


@st.composite
def _cases(draw, make):
    """(candidates, calibrations, job fields) of up to five backends."""
    names = [f"b{i}" for i in range(draw(st.integers(1, 5)))]
    candidates = [
        make.recommendation(
            name,
            fidelity=draw(_FRACTIONS),
            shots=draw(st.integers(1, 10**9)),
            seconds=draw(_AMOUNTS),
            error=draw(st.floats(0, 2)),
        )
        for name in names
    ]
    calibrations = [
        make.calibration(
            name,
            price=Price(per_job_usd=draw(_AMOUNTS), per_shot_usd=draw(_AMOUNTS), per_second_usd=draw(_AMOUNTS)),
            queue_seconds=draw(_AMOUNTS),
            availability=draw(_FRACTIONS),
            suites=draw(st.sampled_from([("X25519",), ("X25519MLKEM768",), ("QKD-BB84", "X25519MLKEM768")])),
        )
        for name in names
    ]
    job = {
        "crypto_mode": draw(st.sampled_from(["any", "pqc", "qkd"])),
        "sla": Sla(max_error=draw(st.none() | st.floats(0, 2)), min_fidelity=draw(st.none() | _FRACTIONS)),
        "max_cost_usd": draw(st.none() | _AMOUNTS),
        "deadline": draw(st.none() | st.integers(-10, 10**6).map(lambda seconds: make.at + timedelta(seconds=seconds))),
        "backend": draw(st.none() | st.sampled_from(names)),
    }
    return candidates, calibrations, job


def _rank(decision, backend):
    return [score.backend for score in decision.scores].index(backend)


@given(data=st.data())
@_RELAXED
def test_a_blocked_backend_never_wins_and_every_backend_is_scored_finitely(make, data):
    candidates, calibrations, job = data.draw(_cases(make))
    decision = make.route(make.recommended(*candidates, **job), *calibrations)
    assert {score.backend for score in decision.scores} == {each.backend for each in candidates}
    assert all(math.isfinite(score.score) and score.cost_usd > 0 for score in decision.scores)
    assert [bool(score.blocked) for score in decision.scores] == sorted(bool(score.blocked) for score in decision.scores)
    open_ = [score for score in decision.scores if not score.blocked]
    assert (decision.decision == "ROUTED") == bool(open_)
    if open_:
        assert decision.backend == decision.recommendation.backend == open_[0].backend
        assert open_[0].score == max(score.score for score in decision.scores)
    else:
        assert decision.backend is None
        assert len(decision.reasons) >= len(candidates)
    assert all(score.score == 0 for score in decision.scores if score.blocked)


@given(data=st.data())
@_RELAXED
def test_the_order_of_candidates_does_not_change_the_decision(make, data):
    candidates, calibrations, job = data.draw(_cases(make))
    shuffled = data.draw(st.permutations(candidates))
    decision = make.route(make.recommended(*candidates, **job), *calibrations)
    again = make.route(make.recommended(*shuffled, **job), *reversed(calibrations))
    assert again == decision


@given(data=st.data())
@_RELAXED
def test_a_better_or_cheaper_backend_never_falls_in_rank(make, data):
    candidates, calibrations, job = data.draw(_cases(make))
    place = data.draw(st.integers(0, len(candidates) - 1))
    name = candidates[place].backend
    before = make.route(make.recommended(*candidates, **job), *calibrations)
    better = candidates[place].model_copy(
        update={"expected_fidelity": data.draw(st.floats(candidates[place].expected_fidelity, 1))}
    )
    amounts = calibrations[place].price.model_dump(exclude={"source", "as_of"})
    price = Price(**{key: value * data.draw(_FRACTIONS) for key, value in amounts.items()})
    cheaper = calibrations[place].model_copy(update={"price": price})
    after = make.route(
        make.recommended(*[*candidates[:place], better, *candidates[place + 1 :]], **job),
        *[*calibrations[:place], cheaper, *calibrations[place + 1 :]],
    )
    assert _rank(after, name) <= _rank(before, name)


@given(data=st.data())
@_RELAXED
def test_a_decision_is_a_valid_record_that_comes_back_as_it_was(make, data):
    candidates, calibrations, job = data.draw(_cases(make))
    decision = make.route(make.recommended(*candidates, **job), *calibrations)
    assert decode(JobRouted, encode(decision)) == decision
    assert JobRouted.model_validate(decision.model_dump()) == decision


@given(data=st.data())
@_RELAXED
def test_no_decision_leaves_a_trace_in_the_scores_of_the_next(make, data):
    candidates, calibrations, job = data.draw(_cases(make))
    outdated = [each.model_copy(update={"calibration_id": "older", "method": "zne"}) for each in candidates]
    one = Scheduler({each.backend: each for each in calibrations}, clock=lambda: make.at)
    before = one.route(make.recommended(*outdated, **job))
    assert all("another calibration" in score.fallbacks[-1] and score.method == "zne" for score in before.scores)
    one.ledger.forget_unheard(make.at + timedelta(days=1))
    again = one.route(make.recommended(*candidates, **job))
    assert again.scores == make.route(make.recommended(*candidates, **job), *calibrations).scores
