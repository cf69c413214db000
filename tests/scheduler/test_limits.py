"""Constraints of place, time, calibration and quota; and what is not known, said aloud."""

import json
from datetime import timedelta

import pytest

from scheduler.errors import TenantsError
from scheduler.market import MAX_AGE_SECONDS
from scheduler.routing import Scheduler
from scheduler.tenants import Tenant, load
from schemas.calibration import GateCalibration, Maintenance, Price, QubitCalibration
from schemas.jobs import Sla

_QUBIT = QubitCalibration(prob_meas1_prep0=0.0, prob_meas0_prep1=0.0)


def cx(one, other, error=0.01):
    return GateCalibration(name="cx", qubits=(one, other), error=error, duration_seconds=3e-7)


def only(decision):
    [score] = decision.scores
    return score


def test_data_stays_in_its_regions(make):
    advice = make.recommended(make.recommendation("a"), make.recommendation("b"), residency=("eu-de", "eu-fr"))
    decision = make.route(advice, make.calibration("a", region="us-east"), make.calibration("b", region="eu-fr"))
    assert decision.backend == "b"
    assert decision.scores[1].blocked == ("it processes jobs in us-east, the job's data may be in eu-de, eu-fr only",)


def test_a_backend_that_does_not_say_where_it_is_takes_no_job_that_asks(make):
    decision = make.route(make.recommended(make.recommendation(), residency=("eu-de",)), make.calibration())
    assert "does not say in which region" in only(decision).blocked[0]
    assert make.route(make.recommended(make.recommendation()), make.calibration()).decision == "ROUTED"


@pytest.mark.parametrize(
    ("start", "end", "meets"),
    [(-10, -1, False), (-10, 1, False), (-10, 11, True), (5, 6, False), (11, 20, True), (12, 20, False), (10, 10.5, True)],
)
def test_maintenance_blocks_what_would_run_into_it(make, start, end, meets):
    """The job waits 10 s and runs 2 s."""
    window = Maintenance(start=make.at + timedelta(seconds=start), end=make.at + timedelta(seconds=end), reason="new fridge")
    decision = make.route(make.recommended(make.recommendation()), make.calibration(queue_seconds=10.0, maintenance=(window,)))
    assert (decision.decision == "REJECTED") == meets
    assert not meets or ("maintenance" in only(decision).blocked[0] and "new fridge" in only(decision).blocked[0])


def test_the_age_of_a_calibration_is_a_term_until_it_is_a_limit(make):
    def decided(days, **fields):
        taken = make.at - timedelta(days=days)
        return only(
            make.route(make.recommended(make.recommendation()), make.calibration(**fields).model_copy(update={"taken_at": taken}))
        )

    fresh, old, stale = (decided(days, drifts=True) for days in (0, 2, MAX_AGE_SECONDS / 86_400 + 0.1))
    assert (fresh.freshness, old.freshness) == (1.0, pytest.approx(1 - 2 * 0.08))
    assert old.availability_penalty == old.availability * old.freshness and old.score < fresh.score
    assert old.calibration_age_seconds == 2 * 86_400
    assert stale.blocked == ("its calibration is 7.1 days old, the limit is 7 days",)
    assert decided(3000).freshness == 1.0  # a simulator plays its snapshot for ever


def test_a_backend_that_was_not_heard_of_is_taken_for_lost(make):
    silent = make.calibration(published_at=make.at - timedelta(hours=2))
    assert only(make.route(make.recommended(make.recommendation()), silent)).blocked == (
        "nothing was heard of it for 2 h, the limit is 1 h",
    )


def test_faulty_qubits_and_couplings_count(make):
    """Six qubits in a row; a faulty coupling and a dead qubit leave parts of two and of two."""
    qubits = [_QUBIT] * 6
    qubits[5] = _QUBIT.model_copy(update={"operational": False})
    gates = (
        cx(0, 1),
        cx(1, 2, error=1.0),
        cx(2, 3),
        cx(4, 5),
        GateCalibration(name="sx", qubits=(4,), error=1.0, duration_seconds=0),
    )
    broken = make.calibration(gates=gates).model_copy(update={"qubits": tuple(qubits)})
    needs = [make.recommended(make.recommendation().model_copy(update={"qubits": count})) for count in (2, 3)]
    assert make.route(needs[0], broken).decision == "ROUTED"
    assert only(make.route(needs[1], broken)).blocked == ("the job takes 3 connected qubits, 2 of its 6 work together",)


def test_contradicting_constraints_are_all_told(make):
    advice = make.recommended(
        make.recommendation(),
        backend="b",
        residency=("eu-de",),
        crypto_mode="qkd",
        sla=Sla(min_fidelity=1.0, max_error=0.0),
        max_cost_usd=0.0,
        deadline=make.at,
    )
    decision = make.route(advice, make.calibration(availability=0.0, suites=("X25519",), published_at=make.at - timedelta(days=1)))
    assert decision.decision == "REJECTED"
    assert len(only(decision).blocked) == len(decision.reasons) == 9


@pytest.mark.parametrize("price", [Price(), Price(per_second_usd=0.0)])
def test_a_price_that_is_missing_or_zero_is_said_and_only_time_counts(make, price):
    score = only(make.route(make.recommended(make.recommendation()), make.calibration(price=price, queue_seconds=10.0)))
    assert score.fallbacks == ("it lists no price: only time is counted",)
    assert (score.price_usd, score.cost_usd) == (0.0, pytest.approx(0.012))


def test_advice_under_an_older_calibration_is_said(make):
    newer = make.calibration().model_copy(update={"calibration_id": "newer"})
    assert "another calibration" in only(make.route(make.recommended(make.recommendation()), newer)).fallbacks[0]


class TestTenants:
    def scheduler(self, make, **quota):
        return Scheduler({"a": make.calibration()}, clock=lambda: make.at, tenants={"ada": Tenant(**quota)})

    def ask(self, make, scheduler, number, tenant="ada"):
        advice = make.recommended(make.recommendation(), tenant=tenant)
        job = advice.job.model_copy(update={"job_id": f"j{number}"})
        return scheduler.route(advice.model_copy(update={"job_id": job.job_id, "job": job}))

    def test_jobs_under_way_are_limited_per_tenant(self, make):
        scheduler = self.scheduler(make, max_open_jobs=2)
        decisions = [self.ask(make, scheduler, number).decision for number in range(3)]
        assert decisions == ["ROUTED", "ROUTED", "REJECTED"]
        assert self.ask(make, scheduler, 9).reasons[0] == (
            "tenant ada has 2 jobs under way, its quota is 2: submit again when one is over"
        )
        assert self.ask(make, scheduler, 10, "bob").decision == "ROUTED"
        assert self.ask(make, scheduler, 1).decision == "ROUTED"  # the same input again

    def test_money_under_way_is_limited_per_tenant(self, make):
        scheduler = self.scheduler(make, max_open_usd=1.5)
        assert self.ask(make, scheduler, 0).decision == "ROUTED"
        assert "may have 1.5 USD under way and has 1 USD" in self.ask(make, scheduler, 1).reasons[0]

    def test_a_file_says_shares_and_quotas(self, tmp_path):
        file = tmp_path / "tenants.json"
        file.write_text(json.dumps({"ada": {"weight": 2, "max_open_jobs": 5}, "*": {"weight": 0.5}}))
        assert load(file)["ada"].max_open_jobs == 5

    @pytest.mark.parametrize(
        ("text", "words"),
        [("{", "is no JSON"), ('{"ada": {"wieght": 2}}', "wieght"), ('{"ada": {"weight": 0}}', "weight"), ("[]", "cannot be used")],
    )
    def test_a_bad_file_is_refused_in_a_sentence(self, tmp_path, text, words):
        (tmp_path / "tenants.json").write_text(text)
        with pytest.raises(TenantsError, match=words):
            load(tmp_path / "tenants.json")

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(TenantsError, match="cannot be read"):
            load(tmp_path / "none.json")
