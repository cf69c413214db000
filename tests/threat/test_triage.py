"""Triage's views of novelty and its rule, on made connections: what is odd is found, false alarms are as many as was allowed."""

from collections.abc import Callable

import numpy as np
import pytest

from threat.triage import novelty
from threat.triage.measure import FLAGGED, Rule
from threat.triage.nslkdd import Connections, Floats


def connections(count: int, seed: int, *, shift: float = 0.0, service: str = "") -> Connections:
    """Numbers of two services that differ in the first column; `shift` moves all of them from where their service is."""
    draw = np.random.default_rng(seed)
    services = np.array([service] * count) if service else draw.choice(["http", "smtp"], count)
    numbers = draw.normal(0, 0.1, (count, 4))
    numbers[:, 0] += np.where(services == "http", 1.0, 3.0) + shift
    words = np.column_stack([np.full(count, "tcp"), services, np.full(count, "SF")])
    return Connections(numbers, words, np.zeros((count, 5)), np.full(count, "normal"))


def test_what_is_usual_for_another_service_is_odd_for_this_one() -> None:
    fit, usual, moved = connections(600, 1), connections(200, 2), connections(200, 3, shift=2.0, service="http")
    found = [novelty.of_service(fit, each) for each in (usual, moved)]
    assert np.quantile(found[0], 0.99) < found[1].min()


@pytest.mark.parametrize("view", [lambda fit, rest: novelty.neighbours(fit, rest, 0), novelty.of_service])
def test_what_is_far_from_all_is_odd_and_other_normal_ones_are_not(view: Callable[[Connections, Connections], Floats]) -> None:
    fit, usual, far = connections(600, 1), connections(300, 2), connections(300, 3, shift=40.0)
    known, odd = view(fit, usual), view(fit, far)
    assert known.max() < odd.min()
    assert known == pytest.approx(view(fit, connections(300, 2)))


def test_the_rule_flags_as_many_held_out_normal_ones_as_is_allowed() -> None:
    draw = np.random.default_rng(5)
    names = ("boosting", "neighbours", "of service")
    reference = {name: draw.normal(size=5000) for name in names} | {"signatures": (draw.random(5000) < 0.01).astype(float)}
    rule = Rule(reference, names)
    assert rule.flagged(reference).mean() == pytest.approx(FLAGGED, abs=0.002)
    assert not (rule.flagged(reference) & rule.waiting(reference)).any()
    strange = {name: np.array([9.0, 0.0]) for name in names} | {"signatures": np.zeros(2)}
    assert rule.flagged(strange).tolist() == [True, False]
