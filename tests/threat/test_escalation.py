"""Escalation: a vendor that answers, never, late or twice; a budget; a worker that is killed and its successor."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from schemas.jobs import Expectation, JobCancel, JobCompleted, JobRequested, JobRouted, Observable, PauliTerm
from schemas.record import Record
from schemas.threats import ThreatEscalated, ThreatScored
from streams.views import HeldByKey
from threat import synthetic
from threat.classical import Classical
from threat.escalation import Answers, Escalation, recent, subject
from threat.feeds.normalise import normalise
from threat.scoring import Scorer

LIMIT = timedelta(minutes=5)


class Opinion:
    name, version, columns = "vqc-test", "1", ("log_bytes_out",)

    def score(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), 0.25)

    def question(self, features: np.ndarray) -> tuple[str, Observable]:
        return "OPENQASM 3.0; qubit[1] q;", Observable(name="parity", terms=(PauliTerm(pauli="Z", coefficient=1.0),))

    def answer(self, expectation: float) -> float:
        return (1 - expectation) / 2


class Platform:
    """What the worker does for the agent: applies its outputs to the held view, as they are committed."""

    def __init__(self, budget: int = 100, partitions: int = 1) -> None:
        self.now = datetime.now(UTC)
        self.view, self.answers, self.log = HeldByKey(ThreatEscalated, live=recent), Answers(), list[Record]()
        self.view.assign(0)
        self.scorer = Scorer(Classical.load(), Opinion())
        self.escalation = Escalation(
            self.scorer, self.view, self.answers, budget=budget, partitions=partitions, limit=LIMIT, clock=lambda: self.now
        )

    def commit(self, records: list[Record]) -> list[Record]:
        for record in records:
            if isinstance(record, ThreatEscalated):
                self.view.apply(0, record)
        self.log += records
        return records

    def score(self, attacks: int) -> list[Record]:
        made = synthetic.events(attacks, seed=3, attacks=1.0)
        return self.commit(
            self.escalation.score(0, [normalise(synthetic.line(one, "ocsf"), f"{at}") for at, one in enumerate(made)])
        )

    def follow(self, later: timedelta = timedelta(seconds=1)) -> list[Record]:
        self.now += later
        return self.commit(self.escalation.follow(0))

    def successor(self) -> "Platform":
        """Another worker, which restores what was committed and nothing else."""
        other = Platform()
        other.now, other.answers = self.now, self.answers
        other.escalation = Escalation(
            other.scorer, other.view, other.answers, budget=100, partitions=1, limit=LIMIT, clock=lambda: other.now
        )
        other.commit([record for record in self.log if isinstance(record, ThreatEscalated)])
        return other


def completed(request: JobRequested, value: float = -0.8, **fields: object) -> JobCompleted:
    given: Mapping[str, object] = {
        "job_id": request.job_id, "tenant": "default", "status": "DONE", "shots": 1024, "seeds": {}, "method": "raw",
        "method_version": "1", "parameters": {}, "backend": "fake_manila", "calibration_id": "c", "vendor_job_id": "v",
        "circuit_hash": "", "result_hash": "", "queue_seconds": 0.0, "execution_seconds": 0.0, "cost_usd": 0.0, "software": {},
        "expectations": (Expectation(circuit=0, observable="parity", value=value, standard_error=0.02, raw_value=value),),
        "routed_event_id": "r",
    }  # fmt: skip
    return JobCompleted.model_validate({**given, **fields})


def of(kind: type[Record], records: list[Record]) -> list:
    return [record for record in records if isinstance(record, kind)]


def test_an_escalated_threat_becomes_one_job_whose_answer_refers_to_the_first_score() -> None:
    platform = Platform()
    first = {scored.event_id: scored for scored in of(ThreatScored, platform.score(5))}
    requests = of(JobRequested, platform.follow())
    assert len(requests) == 5 and not platform.follow() and all(scored.escalated for scored in first.values())
    for request in requests:
        platform.answers.take(completed(request))
    second = of(ThreatScored, platform.follow())
    assert {scored.event_id for scored in second} == first.keys()
    for scored in second:
        assert scored.risk_level == "CRITICAL" and scored.job_id == first[scored.event_id].job_id
        assert (
            '"shots":1024' in scored.finding and '"standard_error":0.02' in scored.finding and '"activity_id":2' in scored.finding
        )
    assert not platform.follow()


def test_a_vendor_that_never_answers_is_cancelled_in_time_and_the_first_score_stands() -> None:
    platform = Platform()
    first = {scored.event_id: scored for scored in of(ThreatScored, platform.score(3))}
    jobs = {request.job_id for request in of(JobRequested, platform.follow())}
    assert not platform.follow(LIMIT - timedelta(seconds=2))
    over = platform.follow(timedelta(seconds=2))
    assert {cancel.job_id for cancel in of(JobCancel, over)} == jobs
    for scored in of(ThreatScored, over):
        assert "no quantum result within 300 s" in str(scored.fallback_reason)
        assert scored.risk_score == first[scored.event_id].risk_score and scored.risk_level == first[scored.event_id].risk_level


@pytest.mark.parametrize("again", ["late", "twice"])
def test_an_answer_that_comes_late_or_twice_scores_nothing_again(again: str) -> None:
    platform = Platform()
    platform.score(2)
    requests = of(JobRequested, platform.follow())
    if again == "twice":
        for request in requests:
            platform.answers.take(completed(request))
    platform.follow(LIMIT + timedelta(seconds=1))
    scores = len(of(ThreatScored, platform.log))
    for request in requests:
        platform.answers.take(completed(request, value=0.9))
    assert scores == 4 and not platform.follow() and not platform.successor().follow()


def test_a_job_that_fails_or_answers_nothing_leaves_the_first_score_with_the_reason() -> None:
    platform = Platform()
    platform.score(2)
    one, other = of(JobRequested, platform.follow())
    platform.answers.take(completed(one, status="ERROR", error="the backend burned"))
    platform.answers.take(completed(other, expectations=()))
    reasons = {str(scored.fallback_reason) for scored in of(ThreatScored, platform.follow())}
    assert any("the backend burned" in reason for reason in reasons) and len(reasons) == 2 and not platform.follow()


def test_a_job_that_nothing_can_run_is_not_waited_for() -> None:
    platform = Platform()
    platform.score(1)
    (request,) = of(JobRequested, platform.follow())
    fields = {"job": request, "backend": None, "recommendation": None, "scores": (), "scoring_policy": "s", "model_version": "m"}
    decision = JobRouted.model_validate({**fields, "job_id": request.job_id, "decision": "REJECTED", "reasons": ("all are down",)})
    platform.answers.route(decision)
    scored, escalated = platform.follow()
    assert isinstance(scored, ThreatScored) and scored.fallback_reason == "the quantum job was rejected: all are down"
    assert isinstance(escalated, ThreatEscalated) and escalated.state == "FAILED" and not platform.follow()


def test_what_is_over_the_budget_is_marked_and_an_hour_later_there_is_budget_again() -> None:
    platform = Platform(budget=9, partitions=4)  # of nine, partition 0 may spend three
    scores = of(ThreatScored, platform.score(8))
    assert [scored.escalated for scored in scores].count(True) == 3
    assert all("over the budget of 9" in str(scored.fallback_reason) for scored in scores if not scored.escalated)
    assert not any(scored.escalated for scored in of(ThreatScored, platform.score(2)))
    platform.now += timedelta(hours=1, seconds=1)
    assert any(scored.escalated for scored in of(ThreatScored, platform.score(2)))


@pytest.mark.parametrize("asked", [False, True])
def test_whoever_takes_over_goes_on_where_the_killed_worker_was(asked: bool) -> None:
    platform = Platform()
    platform.score(3)
    requests = of(JobRequested, platform.follow()) if asked else []
    successor = platform.successor()
    requests += of(JobRequested, successor.follow())
    assert len({request.job_id for request in requests}) == len(requests) == 3
    for request in requests:
        successor.answers.take(completed(request))
    assert len(of(ThreatScored, successor.follow())) == 3


def test_outputs_of_a_tick_have_names_of_their_own() -> None:
    platform = Platform()
    platform.score(2)
    records = platform.follow()
    for request in of(JobRequested, records):
        platform.answers.take(completed(request))
    records += platform.follow()
    names = [(record.topic, *subject(record)) for record in records]
    assert len(set(names)) == len(names)
