"""Scheduled analyses without Kafka: periods, the rule of re-evaluation, training and promotion, the shelf, trends and drift."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from schemas.threats import ThreatObserved, ThreatScored
from threat import synthetic
from threat.classical import Classical
from threat.errors import DataError, ModelError
from threat.features import COLUMNS
from threat.feeds.normalise import normalise
from threat.levels import LEVELS
from threat.schedules import monthly, weekly
from threat.schedules.daily import Earlier, again, figures
from threat.schedules.period import period
from threat.schedules.shelf import Shelf
from threat.scoring import Scorer
from threat.vqc.labelled import Labelled, generated
from threat.vqc.model import Model, shipped
from threat.vqc.training import Settings

AT = datetime(2026, 11, 25, 10, 30, 5, 700, UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("schedule", "name", "since", "until"),
    [
        ("daily", "daily/2026-11-24", (2026, 11, 24), (2026, 11, 25)),
        ("weekly", "weekly/2026-W47", (2026, 11, 16), (2026, 11, 23)),
        ("monthly", "monthly/2026-10", (2026, 10, 1), (2026, 11, 1)),
    ],
)
def test_a_period_is_the_last_whole_day_week_or_month(schedule, name, since, until) -> None:
    found = period(schedule, AT)
    assert (found.name, found.since, found.until) == (name, datetime(*since, tzinfo=UTC), datetime(*until, tzinfo=UTC))
    assert period(schedule, AT, found.until) == found
    assert found.days[0][0] == found.since and found.days[-1][1] == found.until
    assert all(end == begin for (_, end), (begin, _) in zip(found.days, found.days[1:], strict=False))


def test_a_period_with_an_end_of_ones_own_is_called_by_it_and_has_to_be_over() -> None:
    found = period("daily", AT, AT)
    assert found.name == "daily/2026-11-25T10:30:05Z" and found.until - found.since == timedelta(days=1)
    with pytest.raises(DataError, match="not over"):
        period("daily", AT, AT + timedelta(minutes=1))


class Fixed:
    """A quantum model that always says the same."""

    name, version, columns = "vqc-fixed", "2", ("log_bytes_out",)

    def __init__(self, says: float) -> None:
        self.says = says

    def score(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), self.says)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Earlier, ThreatObserved]]:
    made = [normalise(synthetic.line(one, "ocsf"), f"{at}") for at, one in enumerate(synthetic.events(200, seed=5, attacks=0.4))]
    scored = Scorer(Classical.load(), Fixed(0.2)).score(made).records
    found = [(Earlier(record, f"ce-{at}"), event) for at, (record, event) in enumerate(zip(scored, made, strict=True))]
    return [pair for pair in found if pair[0].serious]


@pytest.mark.parametrize("says", [0.9, 0.1])
def test_a_second_look_raises_what_both_models_call_a_threat_and_lowers_nothing(pairs, says: float) -> None:
    found = again(Fixed(says), pairs, "daily/2026-11-24", {})
    novel = 0
    for (earlier, _), new in zip(pairs, found, strict=True):
        old = earlier.scored
        models = json.loads(old.finding)["evidences"][0]["data"]["models"]
        both = says >= 0.5 and models[0]["probability"] >= 0.5
        novel += models[0]["probability"] < 0.5
        assert new.risk_level == ("CRITICAL" if both else old.risk_level) and new.risk_score >= old.risk_score
        assert (new.event_id, new.entity) == (old.event_id, old.entity)
    assert 0 < novel < len(found)
    assert figures([pair[0] for pair in pairs], found)["called_threats"] == (len(found) if says >= 0.5 else 0)


def test_a_second_look_says_what_it_refers_to(pairs) -> None:
    (new,) = again(Fixed(0.7), pairs[:1], "daily/2026-11-24", {pairs[0][0].scored.event_id: "no quantum result within 300 s"})
    finding = json.loads(new.finding)
    assert finding["finding_info"]["uid"] == new.event_id
    assert finding["finding_info"]["related_events"] == [{"uid": pairs[0][0].ce_id, "type": "threat.scored"}]
    assert finding["activity_id"] == 2 and finding["evidences"][0]["data"]["models"][-1]["period"] == "daily/2026-11-24"
    assert (
        finding["evidences"][0]["data"]["models"][:-1] == json.loads(pairs[0][0].scored.finding)["evidences"][0]["data"]["models"]
    )
    assert new.fallback_reason == "no quantum result within 300 s" and new.model == "boosting/vqc-fixed"


def test_labels_are_read_from_csv_and_from_lines_of_json_and_the_last_word_holds(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("event_id,label\na,T1046\nb,benign\nc,normal\nc,1\n")
    (tmp_path / "l.jsonl").write_text(
        '{"event_id":"a","label":"T1046"}\n\n{"event_id":"b","label":false}\n{"event_id":"c","label":1}\n'
    )
    for name in ("l.csv", "l.jsonl"):
        assert weekly.labels(tmp_path / name) == {"a": True, "b": False, "c": True}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "event_id,label\na,1\nb\n", "line 3"),
        ("l.csv", "id,verdict\na,1\n", "event_id and a label"),
        ("l.jsonl", '{"event_id":"a","label":1}\n{"event_id"\n', "line 2"),
        ("l.jsonl", '{"event_id":"a","label":1}\n[1]\n', "line 2"),
        ("l.csv", "event_id,label\n", "no labels"),
        ("l.csv", b"event_id,label\n\xff\xfe,1\n", "line"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_their_line(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=said):
        weekly.labels(tmp_path / name)


@pytest.fixture(scope="module")
def week() -> tuple[list[str], Labelled]:
    events = generated(1_200, 8)
    return [f"event-{place}" for place in range(len(events.labels))], events


QUICK = Settings(epochs=8, batch=100, starts=2, seed=1)


def test_a_model_is_promoted_where_the_one_in_use_is_worse_and_not_where_it_is_alike(week) -> None:
    ids, events = week
    turned = Labelled(
        events.columns, events.features, 1 - events.labels
    )  # what was a threat is none now: the shipped model is wrong
    better = weekly.retrain(ids, turned, shipped(), QUICK)
    assert better.promoted and better.after > 0.8 and better.before < 0.2 and better.share == 1.0
    again_ = weekly.retrain(ids, turned, better.model, QUICK)
    assert again_.model.version == better.model.version  # the same seed
    assert not again_.promoted and again_.share == 0.0 and "kept the old" in again_.sentence


def test_what_is_held_out_is_never_learned_from_and_is_about_three_in_ten(week) -> None:
    ids, events = week
    apart = sum(map(weekly.held_out, ids))
    found = weekly.retrain(ids, events, shipped(), QUICK)
    assert (found.held, found.learned) == (apart, len(ids) - apart)
    assert binomtest(apart, len(ids), weekly.HELD_OUT).pvalue > 1e-4


def test_too_few_labels_are_refused(week) -> None:
    ids, events = week
    with pytest.raises(DataError, match="too few labels"):
        weekly.retrain(ids[:50], events.take(range(50)), shipped(), QUICK)


def test_the_bootstrap_is_as_sure_as_the_sign_test_where_that_is_exact() -> None:
    truth = np.repeat([0.0, 1.0], 200)
    before, after = np.ones(400), np.ones(400)
    before[:12], after[20:24] = 0, 0  # of 16 events on which they differ, 12 are better
    share = weekly.bootstrap(before, after, truth, seed=1)
    assert share == pytest.approx(1 - binomtest(4, 16).pvalue / 2, abs=0.03)
    assert weekly.bootstrap(before, before, truth, seed=1) == 0.0


@pytest.fixture(scope="module")
def other() -> Model:
    model = shipped()
    return Model(model.architecture, model.encoding, model.weights + 0.1, model.readout, model.baseline, model.about)


def test_a_shelf_promotes_once_for_a_period_and_rolls_back_to_what_was_before(tmp_path: Path, other: Model) -> None:
    shelf = Shelf(tmp_path / "vqc")
    assert shelf.current().version == shipped().version
    with pytest.raises(ModelError, match="none before"):
        shelf.roll_back()
    shelf.keep(other)
    assert shelf.promote(other.version, "weekly/2026-W47") and shelf.current().version == other.version
    assert shelf.roll_back().version == shipped().version == shelf.current().version
    assert not shelf.promote(other.version, "weekly/2026-W47") and shelf.current().version == shipped().version
    assert shelf.promote(other.version, "weekly/2026-W48") and shelf.current().version == other.version


def test_a_shelf_is_whole_after_a_run_was_killed_at_its_worst_moment(tmp_path: Path, other: Model) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / f"{other.version}.part").mkdir()
    (tmp_path / f"{other.version}.part" / "model.npz").write_bytes(b"half")
    with pytest.raises(ModelError, match="no model"):
        shelf.promote(other.version, "weekly/2026-W47")
    shelf.keep(other)
    (tmp_path / "in-use.json.part").write_text('{"versions"')
    assert shelf.promote(other.version, "weekly/2026-W47") and shelf.current().version == other.version
    (tmp_path / "in-use.json").write_text('{"versions"')
    with pytest.raises(ModelError, match="damaged"):
        shelf.current()


def test_a_day_counts_what_both_models_say_and_can_be_kept() -> None:
    made = [normalise(synthetic.line(one, "zeek"), f"{at}") for at, one in enumerate(synthetic.events(300, seed=6, attacks=0.3))]
    classical, second = Classical.load(), Fixed(0.9)
    whole, parts = monthly.Day("2026-11-02"), monthly.Day("2026-11-02")
    whole.observed(made, classical, second)
    for first in range(0, 300, 70):
        parts.observed(made[first : first + 70], classical, second)
    assert (whole.events, whole.quantum, whole.disagree) == (300, 300, 300 - whole.classical) and 0 < whole.classical < 300
    assert parts.bins == whole.bins and all(sum(row) == 300 for row in whole.bins)
    scored: list[ThreatScored] = Scorer(classical, second).score(made).records
    for record in scored:
        whole.scored(record)
    high = sum(LEVELS.index(record.risk_level) >= 3 for record in scored)
    assert whole.levels.total() == 300 and whole.entities.total() == high > 0
    assert monthly.Day.read(whole.json()) == whole


def test_a_trend_is_found_where_there_is_one() -> None:
    draw = np.random.default_rng(3)
    days = [{"rises": 10 + 3 * day, "noise": int(draw.integers(40, 60)), "still": 5} for day in range(20)]
    found = {row["name"]: row for row in monthly.trends(days)}
    assert found["rises"]["slope"] == 3 and found["rises"]["tau"] == pytest.approx(1.0) and found["rises"]["q"] < 1e-6
    assert found["noise"]["q"] > 0.05 and found["still"]["tau"] is None


def test_drift_is_nothing_for_the_same_distribution_and_large_for_another() -> None:
    draw = np.random.default_rng(4)
    same = [np.bincount(draw.binomial(20, 0.3, 5_000), minlength=25).astype(float) for _ in range(2)]
    moved = np.bincount(draw.binomial(20, 0.5, 5_000), minlength=25).astype(float)
    assert monthly.stability(same[0], same[0]) == 0 and monthly.stability(*same) < 0.02 and monthly.stability(same[0], moved) > 0.25
    one = monthly.Day("2026-11-02", events=1)
    assert monthly.drift([one]) == [] and len(monthly.drift([one, one])) == len(COLUMNS)
