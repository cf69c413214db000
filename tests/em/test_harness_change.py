"""The change-point test on nights of known make: silent when nothing changes, loud and right about when it does."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from em.harness.change import ALARM, change, least


def clean(draw: np.random.Generator, nights: int, clusters: int = 200, each: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Heavy tails, sizes that differ by orders of magnitude, and draws that the tasks of a cluster share."""
    scale = draw.lognormal(0, 2, (clusters * each, 1))
    shared = np.repeat(draw.standard_t(2, (clusters, nights)), each, axis=0)
    own = draw.standard_t(2, (clusters * each, nights))
    return np.abs(scale * (shared + own + draw.normal(0, 1, (clusters * each, 1)))), np.repeat(np.arange(clusters), each)


@pytest.mark.parametrize("nights", [2, 5, 15])
def test_clean_nights_raise_no_more_alarms_than_is_promised(nights: int) -> None:
    draw = np.random.default_rng(nights)
    tests = 400
    values = [change(*clean(draw, nights)).p for _ in range(tests)]
    for level in (0.5, 0.1, 0.01):
        assert np.mean(np.array(values) <= level) <= level
    assert min(values) > ALARM / tests


def test_three_hundred_nights_of_a_platform_are_quiet() -> None:
    """24 series with four channels each, a window of fifteen nights that moves on: as many tests as a year has."""
    draw, alarms = np.random.default_rng(0), 0
    tests = 24 * 4
    values, clusters = clean(draw, 314, clusters=100, each=2)
    for night in range(300):
        found = change(values[:, night : night + 15], clusters)
        alarms += found is not None and found.p * tests <= ALARM
    assert alarms <= 3


def test_rare_failures_of_earlier_nights_are_no_news() -> None:
    """Zeros and ones, almost all the same: sums that lean to one side, for which bounds for symmetric sums do not hold."""
    draw, tests = np.random.default_rng(1), 180
    found = [change((draw.random((800, 15)) > 0.003).astype(float), np.arange(800)) for _ in range(100)]
    assert not any(each is not None and each.p * tests <= ALARM for each in found)


@pytest.mark.parametrize(("nights", "clusters"), [(3, 3), (4, 2)])
def test_the_bound_holds_where_all_orders_can_be_counted(nights: int, clusters: int) -> None:
    draw = np.random.default_rng(nights)
    values = draw.integers(0, 3, (clusters, nights)).astype(float)
    orders = [np.array(each) for each in itertools.permutations(range(nights))]
    drawn = [
        np.array([row[order] for row, order in zip(values, each, strict=True)])
        for each in itertools.product(orders, repeat=clusters)
    ]
    found = np.array([change(each, np.arange(clusters)).p for each in drawn])
    for level in np.unique(found):
        assert np.mean(found <= level) <= level + 1e-9


@pytest.mark.parametrize("first", [1, 4, 9])
def test_a_change_is_found_and_dated(first: int) -> None:
    draw = np.random.default_rng(first)
    values, clusters = clean(draw, 10)
    values[:, first:] *= 1.8
    found = change(values, clusters)
    assert found is not None and found.z > 0 and found.p < 1e-6
    assert found.night == first and found.clusters == 200
    values[:, first:] /= 1.8**2
    fallen = change(values, clusters)
    assert fallen is not None and fallen.z < 0 and fallen.night == first


def test_with_one_task_a_cluster_it_counts_like_mann_and_whitney() -> None:
    draw = np.random.default_rng(3)
    nights = draw.normal(size=(1, 12))
    nights[:, 5:] += 10
    found = change(nights, [0])
    u = mannwhitneyu(nights[0, 5:], nights[0, :5]).statistic
    assert u == 35 and found is not None and found.z == pytest.approx(1.0)
    assert 2 * 11 / math.comb(12, 5) <= found.p <= 1  # the clearest of all splits, counted exactly, is not less likely than said


def test_tasks_that_share_their_draws_count_once() -> None:
    draw = np.random.default_rng(4)
    values, clusters = clean(draw, 6, clusters=60, each=1)
    copies = change(np.repeat(values, 50, axis=0), np.repeat(clusters, 50))
    assert copies is not None and copies.z == pytest.approx(change(values, clusters).z)


def test_monotone_changes_of_scale_change_nothing() -> None:
    values, clusters = clean(np.random.default_rng(5), 8)
    assert change(values, clusters) == change(np.log(values), clusters)


def test_rows_with_gaps_are_left_out_and_nothing_is_no_news() -> None:
    values, clusters = clean(np.random.default_rng(6), 4)
    gaps = values.copy()
    gaps[::2, 1] = np.nan
    assert change(gaps, clusters) == change(values[1::2], clusters[1::2])
    assert change(values[:, :1], clusters) is None
    assert change(values[:0], clusters[:0]) is None
    same = change(np.ones((50, 3)), np.arange(50))
    assert same is not None and (same.z, same.p) == (0.0, 1.0)


@pytest.mark.parametrize(("clusters", "nights"), [(3, 2), (6, 15), (40, 4)])
def test_no_night_can_be_told_apart_better_than_one_that_moves_everywhere(clusters: int, nights: int) -> None:
    values = np.random.default_rng(nights).normal(0, 1, (clusters, nights))
    values[:, -1] = 10.0
    assert change(values, np.arange(clusters)).p == pytest.approx(least(clusters, nights), rel=1e-6)
