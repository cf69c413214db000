"""Extrapolations of many readings at once, as `em.methods.zne` does one."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from em.methods.zne import EXTRAPOLATIONS

Floats = NDArray[np.float64]

SCALES = (1.0, 3.0, 5.0)
"""Of the noise, as extrapolations have them by default."""


def exponential(values: Floats, sigmas: Floats, largest: float) -> Floats:
    """(draws,): `em.methods.zne.exponential` of (draws, scales) values at once, the line where it takes the line."""
    scales = np.array(SCALES)
    sizes = np.abs(values)
    weights = np.square(sizes / np.maximum(sigmas, 1e-12 * sizes))
    s0, s1, s2 = ((weights * scales**power).sum(axis=1) for power in range(3))
    logs = np.log(np.maximum(sizes, 1e-300))
    t0, t1 = ((weights * logs * scales**power).sum(axis=1) for power in range(2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        determinant = s0 * s2 - s1**2
        intercept, slope = np.exp((s2 * t0 - s1 * t1) / determinant), (s0 * t1 - s1 * t0) / determinant
        same_sign = np.abs(np.sign(values).sum(axis=1)) == len(scales)
        good = same_sign & (sizes >= 2 * sigmas).all(axis=1) & (slope <= 0) & (intercept <= largest)
    return np.where(good, np.sign(values[:, 0]) * intercept, values @ gradient("linear"))


@cache
def gradient(name: str) -> Floats:
    """Of an extrapolation that is linear in the values: the same whatever they are."""
    scales = np.array(SCALES)
    return np.asarray(EXTRAPOLATIONS[name](scales, np.ones_like(scales), np.ones_like(scales), 1.0).gradient)
