"""Native methods and mitiq's on the same counts; mitiq is the oracle."""

import numpy as np
import pytest

pytest.importorskip("mitiq", reason="mitiq has no release for this Python")

from benchmarks.em_agreement import cancellation, differences
from benchmarks.mitiq_reference import extrapolated
from em.methods.zne import EXTRAPOLATIONS

SCALES = np.array([1.0, 3.0, 5.0, 7.0])
VALUES = np.array([0.61, 0.43, 0.29, 0.22])


@pytest.mark.parametrize("name", ["linear", "quadratic", "richardson"])
def test_polynomials_are_mitiqs(name: str) -> None:
    ours = EXTRAPOLATIONS[name](SCALES, VALUES, np.full(4, 0.01), 1.0)
    assert ours.value == pytest.approx(extrapolated(name, SCALES.tolist(), VALUES.tolist()), abs=1e-6)


@pytest.mark.parametrize("name", ["exponential", "poly-exponential"])
def test_exponentials_are_mitiqs_but_for_the_weights(name: str) -> None:
    """Mitiq weighs log values by the values, we by value / standard error: the same where all errors are equal."""
    ours = EXTRAPOLATIONS[name](SCALES, VALUES, np.full(4, 0.01), 1.0)
    assert not ours.note
    assert ours.value == pytest.approx(extrapolated(name, SCALES.tolist(), VALUES.tolist()), abs=0.01)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_parabola_in_the_exponent_is_recovered(sign: float) -> None:
    values = sign * 0.8 * np.exp(-0.2 * SCALES + 0.01 * SCALES**2)
    ours = EXTRAPOLATIONS["poly-exponential"](SCALES, values, np.full(4, 0.01), 1.0)
    assert ours.value == pytest.approx(sign * 0.8, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "chosen"),
    [
        (0.9 - 0.1 * SCALES + 0.003 * np.array([1, -1, -1, 1]), "linear"),  # bent by less than its errors
        (0.9 - 0.18 * SCALES + 0.02 * SCALES**2 * np.sign(3 - SCALES), "quadratic"),
        (0.9 * np.exp(-0.3 * SCALES), "exponential"),
    ],
)
def test_adaptive_takes_the_model_that_the_values_follow(values: np.ndarray, chosen: str) -> None:
    sigmas = np.full(4, 0.005)
    found = EXTRAPOLATIONS["adaptive"](SCALES, values, sigmas, 10.0)
    assert found.value == pytest.approx(EXTRAPOLATIONS[chosen](SCALES, values, sigmas, 10.0).value)
    assert found.note == ("" if chosen == "exponential" else f"{chosen} chosen instead of exponential extrapolation")


def test_methods_agree_with_mitiqs_on_the_same_counts_to_statistical_error() -> None:
    for name, rows in differences(circuits=2, shots=2000).items():
        assert len(rows) or name == "zne-poly-exponential"
        assert np.all(np.abs(rows[:, 0]) < 0.5 * rows[:, 1]) if len(rows) else True, name


def test_quasi_probabilities_are_mitiqs() -> None:
    assert max(cancellation().values()) < 1e-9
