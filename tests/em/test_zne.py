"""Oracles: numpy's polynomial fits, scipy's curve fit, and finite differences for the gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists
from scipy.optimize import curve_fit

from em.errors import JobInvalidError
from em.methods import METHODS
from em.methods.zne import EXTRAPOLATIONS, exponential, linear, richardson

SCALES = np.array([1.0, 3.0, 5.0])
SIGMAS = np.array([0.01, 0.012, 0.015])


@given(lists(floats(-1, 1), min_size=3, max_size=3))
def test_linear_is_polyfits_line(values: list[float]) -> None:
    assert linear(SCALES, np.array(values), SIGMAS, 1.0).value == pytest.approx(np.polyfit(SCALES, values, 1)[1], abs=1e-12)


@given(lists(floats(-1, 1), min_size=3, max_size=3))
def test_richardson_is_the_interpolating_polynomial(values: list[float]) -> None:
    assert richardson(SCALES, np.array(values), SIGMAS, 1.0).value == pytest.approx(np.polyfit(SCALES, values, 2)[2], abs=1e-11)


def test_richardson_of_two_points_is_their_line() -> None:
    assert richardson(SCALES[:2], np.array([0.8, 0.4]), SIGMAS[:2], 1.0).value == pytest.approx(1.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_exact_decay_is_recovered(sign: float) -> None:
    result = exponential(SCALES, sign * 0.7 * np.exp(-0.2 * SCALES), SIGMAS, 1.0)
    assert result.value == pytest.approx(sign * 0.7, abs=1e-12)
    assert not result.note


def test_a_noisy_decay_agrees_with_a_weighted_nonlinear_fit() -> None:
    values = 0.7 * np.exp(-0.2 * SCALES) + np.array([0.003, -0.004, 0.002])
    (amplitude, _), covariance = curve_fit(
        lambda x, a, b: a * np.exp(-b * x), SCALES, values, (1, 0.1), SIGMAS, absolute_sigma=True
    )
    result = exponential(SCALES, values, SIGMAS, 1.0)
    assert result.value == pytest.approx(amplitude, abs=5e-4)
    assert np.sqrt(np.square(result.gradient) @ np.square(SIGMAS)) == pytest.approx(np.sqrt(covariance[0, 0]), rel=0.05)


@pytest.mark.parametrize("name", EXTRAPOLATIONS)
def test_gradients_are_finite_differences(name: str) -> None:
    values, step = np.array([0.6, 0.41, 0.3]), 1e-6
    weights_fixed = SIGMAS / values  # the fit's weights are taken as known, as the delta method does
    result = EXTRAPOLATIONS[name](SCALES, values, weights_fixed * values, 1.0)
    for index in range(3):
        moved = values + step * np.eye(3)[index]
        other = EXTRAPOLATIONS[name](SCALES, moved, weights_fixed * moved, 1.0)
        assert (other.value - result.value) / step == pytest.approx(result.gradient[index], abs=1e-4)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.5, -0.1, 0.1], "change sign"),
        ([0.5, 0.1, 0.001], "not clearly different from zero"),
        ([0.3, 0.4, 0.5], "grow with noise"),
        ([0.95, 0.5, 0.3], "leaves the spectrum"),
    ],
)
def test_what_is_no_decay_falls_back_to_the_line_and_says_why(values: list[float], why: str) -> None:
    result = exponential(SCALES, np.array(values), SIGMAS, 1.0)
    assert why in result.note
    assert result.value == pytest.approx(np.polyfit(SCALES, values, 1)[1])


@pytest.mark.parametrize(
    "scales", [[1.0], [1.0, 2.0], [3.0, 5.0], [1.0, 3.0, 3.0], [1.0, 17.0], [1.0, 3.5], 3, "1,3", [5.0, 3.0, 1.0]]
)
def test_scale_factors_that_folding_cannot_make_are_refused(scales: object) -> None:
    with pytest.raises(JobInvalidError, match="scale_factors"):
        METHODS["zne-linear"].parameters({"scale_factors": scales})
