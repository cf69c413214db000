"""Scores: what is final at once, what is escalated, that the batch does not matter, and that files cannot lie."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from schemas.codec import decode, encode
from schemas.threats import ThreatObserved, ThreatScored
from threat import synthetic
from threat.baseline import Baseline
from threat.classical import DATA, Classical
from threat.errors import ModelError
from threat.features import COLUMNS, features
from threat.feeds.normalise import normalise
from threat.levels import LEVELS, level_ids
from threat.scoring import ABSENT, Scorer

LEVEL_BOUNDS = {0: "INFO", 9.9: "INFO", 10: "LOW", 30: "MEDIUM", 49.9: "MEDIUM", 50: "HIGH", 90: "CRITICAL", 100: "CRITICAL"}


class Opinion:
    """A second opinion that always says the same, and remembers what it was asked."""

    name, version, columns = "vqc-fixed", "1", ("log_bytes_out", "severity")

    def __init__(self, says: float) -> None:
        self.says, self.asked = says, np.zeros((0, 2))

    def score(self, features: np.ndarray) -> np.ndarray:
        self.asked = features
        return np.full(len(features), self.says)


@pytest.fixture(scope="module")
def classical() -> Classical:
    return Classical.load(columns=COLUMNS)


@pytest.fixture(scope="module")
def observed() -> list[tuple[str, ThreatObserved]]:
    made = list(synthetic.events(400, seed=99, attacks=0.3))
    forms = [synthetic.FORMS[place % len(synthetic.FORMS)] for place in range(len(made))]
    return [
        (one.scenario.technique, normalise(synthetic.line(one, form), f"{place}"))
        for place, (one, form) in enumerate(zip(made, forms, strict=True))
    ]


def test_generated_attacks_are_found_and_generated_everyday_traffic_is_left_alone(classical, observed) -> None:
    verdicts = classical.judge(features([event for _, event in observed]))
    attack = np.array([bool(technique) for technique, _ in observed])
    assert (verdicts.probability[attack] > 0.5).mean() > 0.9 and (verdicts.probability[~attack] > 0.5).mean() < 0.02
    named = [classical.techniques[place] for place in verdicts.technique]
    right = [name == technique for name, (technique, _) in zip(named, observed, strict=True) if technique]
    assert np.mean(right) > 0.9


def test_what_is_high_or_novel_is_escalated_the_worst_first_and_nothing_else(classical, observed) -> None:
    events = [event for _, event in observed]
    verdicts = classical.judge(features(events))
    scored = Scorer(classical, None).score(events)
    serious = {place for place in range(len(events)) if verdicts.probability[place] >= 0.5 or verdicts.novelty[place] > 0}
    assert set(scored.escalate) == serious and 0 < len(serious) < len(events)
    risks = [scored.records[place].risk_score for place in scored.escalate]
    assert risks == sorted(risks, reverse=True)
    for place, record in enumerate(scored.records):
        assert (record.fallback_reason == ABSENT) == (place in serious)
        assert LEVELS.index(record.risk_level) >= (3 if place in serious else 0)


@pytest.mark.parametrize(("says", "level"), [(0.9, "CRITICAL"), (0.1, None)])
def test_a_second_opinion_is_asked_about_the_serious_alone_and_never_lowers_a_level(classical, observed, says, level) -> None:
    events, opinion = [event for _, event in observed], Opinion(says)
    alone, asked = Scorer(classical, None).score(events), Scorer(classical, opinion).score(events)
    assert np.array_equal(opinion.asked, features(events)[sorted(asked.escalate)][:, [1, COLUMNS.index("severity")]])
    for place, (before, after) in enumerate(zip(alone.records, asked.records, strict=True)):
        if place not in asked.escalate:
            assert after.finding == before.finding
        else:
            assert LEVELS.index(after.risk_level) >= LEVELS.index(before.risk_level)
            assert level is None or before.risk_score < 50.01 or after.risk_level == level


def test_a_score_does_not_depend_on_the_batch(classical, observed) -> None:
    events = [event for _, event in observed][:40]
    together = Scorer(classical, Opinion(0.9)).score(events).records
    for place in (0, 7, 39):
        (alone,) = Scorer(classical, Opinion(0.9)).score([events[place]]).records
        assert alone.risk_level == together[place].risk_level
        assert alone.risk_score == pytest.approx(together[place].risk_score, abs=1e-3)


def test_a_score_is_a_valid_event_and_an_ocsf_finding(classical, observed) -> None:
    for record in Scorer(classical, Opinion(0.9)).score([event for _, event in observed]).records:
        assert decode(ThreatScored, encode(record)).event_id == record.event_id
        finding = json.loads(record.finding)
        assert (finding["class_uid"], finding["category_uid"], finding["type_uid"]) == (2004, 2, 200401)
        assert finding["risk_level_id"] == LEVELS.index(record.risk_level) and 0 <= finding["confidence_score"] <= 100
        reasons = finding["evidences"][0]["data"]["features"]
        weights = [abs(reason["weight"]) for reason in reasons]
        assert len(reasons) == 3 and weights == sorted(weights, reverse=True)


def test_features_that_cannot_be_are_taken_as_not_said() -> None:
    line = {"class_uid": 4001, "time": 1729052821, "duration": "long", "traffic": {"bytes_in": [], "bytes_out": -1}, "unmapped": 3}
    row = features([normalise(json.dumps({**line, "connection_info": "tcp"}).encode(), "here")])[0]
    assert np.isfinite(row).all() and row[COLUMNS.index("log_bytes_out")] == 0


def test_risk_levels_begin_at_their_bounds() -> None:
    assert [LEVELS[place] for place in level_ids(np.array(list(LEVEL_BOUNDS), dtype=float))] == list(LEVEL_BOUNDS.values())


def test_the_baseline_is_the_logistic_regression_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - the oracle alone needs it

    draw = np.random.default_rng(5)
    table = draw.normal(size=(500, 4)) * (1, 10, 0.1, 3)
    threat = table @ (1, 0.1, 5, 0) + draw.normal(size=500) > 0
    ours = Baseline.fit(table, threat)
    oracle = LogisticRegression(C=1.0, tol=1e-10).fit((table - ours.mean) / ours.scale, threat)
    assert np.allclose(ours.weights, oracle.coef_[0], atol=1e-4)
    assert np.allclose(ours.score(table), oracle.predict_proba((table - ours.mean) / ours.scale)[:, 1], atol=1e-4)


@pytest.mark.parametrize("damage", ["boosting.onnx", "baseline.npz", "model.json", "columns", "format"])
def test_a_model_that_was_tampered_with_is_refused(classical, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DATA, folder)
    words = json.loads((folder / "model.json").read_text())
    if damage in ("columns", "format"):
        words[damage] = ["other"] if damage == "columns" else 99
        (folder / "model.json").write_text(json.dumps(words))
    else:
        content = (folder / damage).read_bytes()
        (folder / damage).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError):
        Classical.load(folder, COLUMNS)
