"""What was read at two noise scales, and what is foretold of the noise, to one estimate: the best linear one, without learning.

In the Heisenberg picture a value is a sum over Pauli paths, <P> = sum_p c_p; twirled noise that acts s times leaves a_p^s of each.
If the signs of the c_p are random, <P> and what is read are as correlated as the moments of a_p say, which are sampled with the
chances c_p^2 (`backends.forecast`), and the best linear estimate follows (Gauss-Markov). A noise u times as strong as reported
leaves a_p^u; u is a circuit's own, and what all its strings say of it counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SCALES = (1, 3)
"""How often the noise acts in the runs: scale factors."""

DOUBT = 0.12
"""Standard deviation of u around 1 before anything is read: what a calibration misses, and errors that it does not report."""

_STRENGTHS: Floats = np.linspace(0.6, 1.7, 23, dtype=np.float64)
_LEAST = 1e-12  # of determinants and variances: rounding can leave less than nothing


@dataclass(frozen=True, slots=True)
class Physical:
    """The estimate of a circuit's strings.

    Attributes:
        values: (strings,) in [-1, 1].
        sigmas: (strings,) standard deviations, the doubt about paths and shots together.
        strength: the noise / the reported one, as far as what was read tells.
    """

    values: Floats
    sigmas: Floats
    strength: float


def physical(read: Floats, variances: Floats, moments: Floats, before: Floats) -> Physical:
    """The mean and deviation of each string's ideal value after all strings of a circuit were read.

    Args:
        read: (strings, 2) mean outcomes at the noise scales `SCALES`, readout errors inverted.
        variances: (strings, 2) of them, from shots and twirls.
        moments: (strings, powers) as in `backends.forecast.StringForecast.moments`.
        before: (strings,) variance of the ideal values before anything is read.
    """
    one, two = read.T
    known = np.log(np.clip(np.hstack([np.ones((len(moments), 1)), moments]), 1e-9, 1.0))
    low, high = SCALES

    def kept(scale: float) -> Floats:
        """(strengths, strings): the moment of that order, each strength being one more factor of the order."""
        return np.asarray(before * np.exp(_between(known, scale * _STRENGTHS)))

    first, second, both = kept(2 * low) + variances[:, 0], kept(2 * high) + variances[:, 1], kept(low + high)
    towards, further = kept(low), kept(high)
    determinant = np.maximum(first * second - both**2, _LEAST)
    gains = (towards * second - further * both) / determinant, (further * first - towards * both) / determinant
    misfit = (second * one**2 - 2 * both * one * two + first * two**2) / determinant
    chances = -0.5 * ((misfit + np.log(determinant)).sum(axis=1) + np.square((_STRENGTHS - 1) / DOUBT))
    weights = np.exp(chances - chances.max())
    weights /= weights.sum()
    values = weights @ (gains[0] * one + gains[1] * two)
    left = weights @ np.maximum(before - gains[0] * towards - gains[1] * further, _LEAST)
    return Physical(np.clip(values, -1.0, 1.0), np.sqrt(left), float(weights @ _STRENGTHS))


def _between(logarithms: Floats, orders: Floats) -> Floats:
    """(orders, strings): logarithms of moments of broken order, along the line between whole ones and beyond the last."""
    below = np.minimum(orders.astype(int), logarithms.shape[1] - 2)
    lower, upper = logarithms[:, below].T, logarithms[:, below + 1].T
    return np.asarray(lower + (orders - below)[:, None] * (upper - lower))
