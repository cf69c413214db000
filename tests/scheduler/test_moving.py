"""Jobs that wait are decided again when their backend goes away or turns bad; what runs stays; nothing runs twice."""

import gc
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em.execution import Execution
from scheduler.moving import WORSE
from scheduler.routing import Scheduler
from schemas.calibration import GateCalibration, Maintenance, Price
from schemas.cloudevents import Event
from schemas.jobs import JobStatus


def noisy(error):
    return (GateCalibration(name="cx", qubits=(0, 1), error=error, duration_seconds=3e-7),)


class Fleet:
    """Two or three backends, a scheduler, and jobs whose statuses it hears."""

    def __init__(self, make, names="abc"):
        self.make, self.time = make, make.at
        self.calibrations = {
            name: make.calibration(name, price=Price(per_job_usd=1.0 + place), gates=noisy(0.01), published_at=make.at)
            for place, name in enumerate(names)
        }
        self.scheduler = Scheduler(self.calibrations, clock=lambda: self.time)

    def decide(self, number=0, names="abc"):
        advice = self.make.recommended(*[self.make.recommendation(name) for name in names])
        job = advice.job.model_copy(update={"job_id": f"j{number}"})
        return self.scheduler.route(advice.model_copy(update={"job_id": job.job_id, "job": job}))

    def hear(self, routed, state="QUEUED", event_id=None):
        self.scheduler.ledger.hear(
            JobStatus(
                job_id=routed.job_id,
                tenant="default",
                state=state,
                backend=routed.backend,
                queued_at=self.time,
                started_at=None if state == "QUEUED" else self.time,
                updated_at=self.time,
                routed_event_id=event_id or f"event-{routed.job_id}",
                routed=None if state == "DONE" else routed,
            )
        )

    def becomes(self, name, **changes):
        self.time += timedelta(seconds=1)
        self.calibrations[name] = self.calibrations[name].model_copy(update={"published_at": self.time, **changes})
        return self.scheduler.reconsider(self.calibrations[name])


@pytest.fixture
def fleet(make):
    return Fleet(make)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"availability": 0.0}, "it is down"),
        ({"crypto_suites": ()}, "the endpoint of a offers no known suite"),
        ({"gates": noisy(0.01 * WORSE * 1.01)}, "its calibration turned bad: the median gate error is 0.0152, it was 0.01"),
    ],
)
def test_what_waits_moves_to_the_next_best_with_a_decision_that_supersedes(fleet, change, words):
    routed = fleet.decide()
    assert (routed.backend, [each.backend for each in routed.alternatives]) == ("a", ["b", "c"])
    fleet.hear(routed)
    [moved] = fleet.becomes("a", **change)
    assert (moved.backend, moved.supersedes, moved.moves_from) == ("b", "event-j0", "a")
    assert words in moved.reasons[0]
    assert moved.turn == routed.turn and moved.recommendation.backend == "b"
    assert {score.backend for score in moved.scores} == {"a", "b", "c"}
    assert not fleet.becomes("a", **change)  # it is said once


@pytest.mark.parametrize("change", [{"gates": noisy(0.0149)}, {"queue_seconds": 1e6}, {"price": Price(per_job_usd=100.0)}])
def test_a_usual_day_moves_nothing(fleet, change):
    fleet.hear(fleet.decide())
    assert not fleet.becomes("a", **change)


def test_maintenance_that_is_announced_moves_what_would_run_into_it(fleet):
    fleet.hear(fleet.decide())
    window = Maintenance(start=fleet.time, end=fleet.time + timedelta(hours=1))
    assert [moved.backend for moved in fleet.becomes("a", maintenance=(window,))] == ["b"]


@pytest.mark.parametrize("state", ["RUNNING", "DONE"])
def test_what_runs_or_is_over_stays(fleet, state):
    routed = fleet.decide()
    fleet.hear(routed)
    fleet.hear(routed, state)
    assert not fleet.becomes("a", availability=0.0)


def test_a_job_that_can_go_nowhere_else_stays(make):
    fleet = Fleet(make, "a")
    fleet.hear(fleet.decide(names="a"))
    assert not fleet.becomes("a", availability=0.0)


def test_a_lost_backends_jobs_are_spread_and_not_all_sent_to_one(make):
    fleet = Fleet(make)
    fleet.calibrations["b"] = fleet.calibrations["b"].model_copy(update={"price": Price(per_job_usd=1.0)})
    fleet.calibrations["a"] = fleet.calibrations["a"].model_copy(update={"price": Price(per_job_usd=1e-3)})
    for number in range(40):
        fleet.hear(fleet.decide(number))
    assert {job.routed.backend for job in fleet.scheduler.ledger.queued()} == {"a"}
    moved = fleet.becomes("a", availability=0.0)
    there = [decision.backend for decision in moved]
    assert len(moved) == 40 and 10 <= there.count("b") <= 30 and 10 <= there.count("c") <= 30


class Vendor:
    """Counts what is submitted and cancelled."""

    def __init__(self, name):
        self.name, self.jobs, self.cancelled = name, {}, []

    def attach(self, tag):
        return self.jobs.get(tag)

    def submit(self, work, tag):
        self.jobs[tag] = f"{self.name}/{tag}"
        return self.jobs[tag]

    def result(self, vendor_job_id):
        return None

    def cancel(self, vendor_job_id):
        self.cancelled.append(vendor_job_id)


class Held(dict):
    def partition(self, partition):
        return self

    def find(self, key):
        return self.get(key)


@given(steps=st.lists(st.sampled_from(["poll", "die", "move", "move back", "again"]), min_size=1, max_size=12))
@settings(deadline=None, max_examples=150)
def test_whatever_happens_in_whatever_order_at_most_one_vendor_has_the_job(make, steps):
    """Decisions, moves, repeated events, polls whose process dies before it can say what it submitted."""
    fleet, vendors, held = Fleet(make, "ab"), {name: Vendor(name) for name in "ab"}, Held()
    execution = Execution(vendors, held, {}, clock=lambda: fleet.time)
    execution._plan = lambda status, flight: type("Plan", (), {"work": None})
    routed = fleet.decide(names="ab")
    events = [Event(routed, "event-0", b"")]

    def take(event):
        status = execution.accept(event)
        if status is not None:
            held[status.job_id] = status
            fleet.hear(status.routed, "QUEUED", status.routed_event_id)

    take(events[0])
    for step in steps:
        if step == "poll":
            for status in execution.poll(0):
                held[status.job_id] = status
                fleet.hear(status.routed, status.state, status.routed_event_id)
        elif step == "die":
            execution.poll(0)  # submitted, and never said
            execution = Execution(vendors, held, {}, clock=lambda: fleet.time)
            execution._plan = lambda status, flight: type("Plan", (), {"work": None})
        elif step == "again":
            take(events[-1])
        else:
            down, up = ("a", "b") if step == "move" else ("b", "a")
            fleet.becomes(up, availability=1.0)
            for moved in fleet.becomes(down, availability=0.0):
                events.append(
                    Event(
                        moved.model_copy(update={"alternatives": (*routed.alternatives, routed.recommendation)}),
                        f"event-{len(events)}",
                        b"",
                    )
                )
                take(events[-1])
    for _ in range(2):
        for status in execution.poll(0):
            held[status.job_id] = status
    alive = [job for vendor in vendors.values() for job in vendor.jobs.values() if job not in vendor.cancelled]
    assert len(alive) == 1
    assert alive[0].split("/")[1] == held["j0"].routed_event_id


def test_a_plan_that_fails_leaves_the_collector_on(fleet):
    fleet.hear(fleet.decide())
    fleet.scheduler.tenants = None
    with pytest.raises(AttributeError):
        fleet.becomes("a", availability=0.0)
    assert gc.isenabled()
