"""Random jobs x backends x routes, judged by the benchmark's own checker, which shares nothing with the scheduler."""

import pytest

from benchmarks import scheduler as benchmark


def test_no_route_breaks_its_mode_and_every_rejection_is_true():
    benchmark.crypto(1_000)


@pytest.mark.slow
def test_no_route_breaks_its_mode_and_every_rejection_is_true_a_hundred_thousand_times():
    benchmark.crypto(100_000)


def test_memory_does_not_grow_with_the_jobs_that_came_and_went(capsys):
    benchmark.memory(2_000)
    first, *_, last = (float(size) for size in capsys.readouterr().out.split(": ")[1].split(" MB")[0].split(", "))
    assert last < 2 * first + 0.1
