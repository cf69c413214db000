"""Zero-noise extrapolation: from noise scaled by global folding to none. Temme et al. 2017, arXiv:1612.02058.

Folding G -> G (G^-1 G)^n scales the noise by 2n + 1 (Giurgica-Tiron et al. 2020, arXiv:2005.10921); the backend folds the
device's own gates. Every extrapolation returns its gradient with respect to the values, which is how noise is propagated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from em.errors import JobInvalidError
from em.methods.samples import Floats
from schemas.mitigation import Parameters

DEFAULT_SCALES = [1.0, 3.0, 5.0]
_MAX_SCALE = 15  # a body folded seven times: beyond, nothing but noise is left to extrapolate


@dataclass(frozen=True)
class Extrapolated:
    """A value at zero noise.

    Attributes:
        value: the estimate.
        gradient: (scales,) d value / d measured value.
        note: why another extrapolation stood in, or empty.
    """

    value: float
    gradient: Floats
    note: str = ""


Extrapolation: TypeAlias = Callable[[Floats, Floats, Floats, float], Extrapolated]
"""(scales, values, standard errors, largest possible |value|) -> the value at zero noise."""


def linear(scales: Floats, values: Floats, sigmas: Floats, bound: float) -> Extrapolated:
    """The intercept of the least-squares line, every scale weighing the same."""
    gradient = np.linalg.pinv(np.vander(scales, 2))[1]
    return Extrapolated(float(gradient @ values), gradient)


def richardson(scales: Floats, values: Floats, sigmas: Floats, bound: float) -> Extrapolated:
    """The value at zero of the polynomial through all points (Lagrange)."""
    ratios = scales[None, :] / (scales[None, :] - scales[:, None] + np.eye(len(scales)))
    np.fill_diagonal(ratios, 1.0)
    gradient = ratios.prod(axis=1)
    return Extrapolated(float(gradient @ values), gradient)


def exponential(scales: Floats, values: Floats, sigmas: Floats, bound: float) -> Extrapolated:
    """The intercept of a exp(-b scale), fitted to log |value| with weights (value / sigma)^2.

    The asymptote is zero: a traceless observable's value under ever more depolarising noise. Where the data do not look
    like such a decay (signs differ, a value within two standard errors of zero, a rise with noise, an intercept
    beyond what the observable can be), the line stands in and the note says why.
    """
    sizes = np.abs(values)
    if not (np.all(values > 0) or np.all(values < 0)):
        return _instead(scales, values, sigmas, bound, "the values change sign")
    if np.any(sizes < 2 * sigmas):
        return _instead(scales, values, sigmas, bound, "a value is not clearly different from zero")
    weights = np.square(sizes / np.maximum(sigmas, 1e-12 * sizes))
    design = np.vander(scales, 2)
    solve = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)
    slope, intercept = solve @ np.log(sizes)
    if slope > 0 or np.exp(intercept) > bound:
        return _instead(scales, values, sigmas, bound, "the values grow with noise" if slope > 0 else "the fit leaves the spectrum")
    value = float(np.sign(values[0]) * np.exp(intercept))
    return Extrapolated(value, value * solve[1] / values)


EXTRAPOLATIONS: Mapping[str, Extrapolation] = MappingProxyType(
    {"linear": linear, "richardson": richardson, "exponential": exponential}
)


def scales_of(parameters: Parameters) -> list[int]:
    """The scale factors as whole numbers.

    Raises:
        JobInvalidError: not two to six different odd numbers that start with 1.
    """
    given = parameters["scale_factors"]
    if not isinstance(given, list) or not 2 <= len(given) <= 6 or given[0] != 1 or sorted(set(given)) != given:
        raise JobInvalidError(f"scale_factors must be two to six ascending numbers that start with 1, got {given!r}")
    if any(scale % 2 != 1 or scale > _MAX_SCALE for scale in given):
        raise JobInvalidError(f"scale_factors must be odd and at most {_MAX_SCALE}: folding scales by 2n + 1; got {given!r}")
    return [int(scale) for scale in given]


def _instead(scales: Floats, values: Floats, sigmas: Floats, bound: float, why: str) -> Extrapolated:
    line = linear(scales, values, sigmas, bound)
    return Extrapolated(line.value, line.gradient, f"linear instead of exponential extrapolation: {why}")
