"""Windows against the exact optimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scheduler import silence
from scheduler.oracle import optimum
from scheduler.window import NOWHERE, assign, capacities, value


def drawn(seed, jobs, slack=1.0):
    draw = np.random.default_rng(seed)
    backends = int(draw.integers(3, 7))
    values = draw.uniform(0.2, 1, (jobs, backends)) * draw.choice([1, 1, 1, 0], (jobs, backends))
    seconds = draw.lognormal(4, 1, (jobs, 1)) * draw.uniform(0.8, 1.2, (jobs, backends))
    return values, seconds, np.full(backends, seconds.mean(axis=1).sum() / backends * slack)


def holds(values, seconds, room, chosen):
    placed = np.flatnonzero(chosen != NOWHERE)
    used = np.bincount(chosen[placed], seconds[placed, chosen[placed]], minlength=len(room))
    return (values[placed, chosen[placed]] > 0).all() and (used <= room * (1 + 1e-9) + 1e-9).all()


@given(seed=st.integers(0, 10_000), jobs=st.integers(0, 40), slack=st.sampled_from([0.1, 0.7, 1.0, 1.3]))
@settings(deadline=None, max_examples=60)
def test_no_backend_is_overfull_and_no_job_is_where_it_may_not_be(seed, jobs, slack):
    values, seconds, room = drawn(seed, jobs, slack)
    assert holds(values, seconds, room, assign(values, seconds, room))


@pytest.mark.parametrize("slack", [0.7, 1.0, 1.25])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_least_95_percent_of_the_exact_optimum(seed, slack):
    values, seconds, room = drawn(seed, 40, slack)
    with silence():
        exact, bound = optimum(values, seconds, room)
    assert holds(values, seconds, room, exact)
    ours = assign(values, seconds, room)
    assert value(values, ours) >= 0.95 * value(values, exact)
    assert value(values, ours) <= bound * (1 + 1e-6)


def test_with_room_for_all_each_goes_where_it_is_worth_most():
    values, seconds, _ = drawn(7, 30)
    plenty = np.full(values.shape[1], seconds.sum())
    may = values.max(axis=1) > 0
    assert (assign(values, seconds, plenty)[may] == values.argmax(axis=1)[may]).all()


def test_the_room_of_a_window_is_enough_for_all_of_it():
    values, seconds, _ = drawn(3, 60)
    waits = np.linspace(0, 500, values.shape[1])
    room = capacities(waits, seconds, values > 0)
    placed = assign(values, seconds, room)
    assert (placed[(values > 0).any(axis=1)] != NOWHERE).mean() > 0.95
    assert room[0] > room[-1]  # what has waited for has less
