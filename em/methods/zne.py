"""Zero-noise extrapolation: from noise scaled by folding to none. Temme et al. 2017, arXiv:1612.02058.

Folding G -> G (G^-1 G)^n scales the noise by 2n + 1 (Giurgica-Tiron et al. 2020, arXiv:2005.10921), G being the whole circuit,
each gate or each layer (`backends.folding`); it is the device's own gates that are folded. Every extrapolation returns its
gradient with respect to the values, which is how noise is propagated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from backends.folding import FOLDINGS
from em.errors import JobInvalidError
from em.methods.parameters import choice
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
    return _polynomial(scales, values, 1)[0]


def quadratic(scales: Floats, values: Floats, sigmas: Floats, bound: float) -> Extrapolated:
    """The intercept of the least-squares parabola, every scale weighing the same."""
    return _polynomial(scales, values, 2)[0]


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
    return _decay_or_line(scales, values, sigmas, bound, 1)


def poly_exponential(scales: Floats, values: Floats, sigmas: Floats, bound: float) -> Extrapolated:
    """As `exponential`, with a parabola in the exponent: a exp(-b scale + c scale^2)."""
    return _decay_or_line(scales, values, sigmas, bound, 2)


def adaptive(scales: Floats, values: Floats, sigmas: Floats, bound: float) -> Extrapolated:
    """The line, the parabola or the exponential: whichever has the least chi^2 + 2 x parameters (Akaike 1974).

    The standard error is that of the chosen fit, without the doubt about the choice. All scales are fixed beforehand;
    choosing them one after the other, as mitiq's adaptive exponential does, would need a round trip for each.
    """
    decay = _decay(scales, values, sigmas, bound, 1)
    fits = {"linear": (*_polynomial(scales, values, 1), 2), "quadratic": (*_polynomial(scales, values, 2), 3)}
    if not isinstance(decay, str):
        fits["exponential"] = (*decay, 2)
    least = np.maximum(sigmas, 1e-12)

    def criterion(name: str) -> float:
        _, fitted, parameters = fits[name]
        return float(np.square((fitted - values) / least).sum()) + 2 * parameters

    name = min(fits, key=criterion)
    return replace(fits[name][0], note="" if name == "exponential" else f"{name} chosen instead of exponential extrapolation")


EXTRAPOLATIONS: Mapping[str, Extrapolation] = MappingProxyType(
    {
        "linear": linear,
        "quadratic": quadratic,
        "richardson": richardson,
        "exponential": exponential,
        "poly-exponential": poly_exponential,
        "adaptive": adaptive,
    }
)

LEAST_SCALES: Mapping[str, int] = MappingProxyType({"quadratic": 3, "poly-exponential": 3, "adaptive": 3})
"""Extrapolation -> scale factors that it needs, where two are not enough."""


def scales_of(parameters: Parameters) -> list[float]:
    """The scale factors; whole numbers where the whole circuit is folded.

    Raises:
        JobInvalidError: not two to six (three for some) ascending numbers that start with 1 and that the folding can make.
    """
    given, fold = parameters["scale_factors"], choice(parameters, "fold", FOLDINGS)
    least = LEAST_SCALES.get(str(parameters["extrapolation"]), 2)
    if not isinstance(given, list) or not 2 <= len(given) <= 6 or given[0] != 1 or sorted(set(given)) != given:
        raise JobInvalidError(f"scale_factors must be two to six ascending numbers that start with 1, got {given!r}")
    if len(given) < least:
        raise JobInvalidError(f"scale_factors must be at least {least} for {parameters['extrapolation']}, got {given!r}")
    if given[-1] > _MAX_SCALE or (fold == "global" and any(scale % 2 != 1 for scale in given)):
        raise JobInvalidError(
            f"scale_factors must be at most {_MAX_SCALE}, and odd where the whole circuit is folded (by 2n + 1); got {given!r}"
        )
    return [int(scale) if scale % 1 == 0 else float(scale) for scale in given]


def _polynomial(scales: Floats, values: Floats, degree: int) -> tuple[Extrapolated, Floats]:
    """The least-squares polynomial's value at zero, and its values at the scales."""
    design = np.vander(scales, degree + 1)
    solve = np.linalg.pinv(design)
    return Extrapolated(float(solve[-1] @ values), solve[-1]), design @ (solve @ values)


def _decay(scales: Floats, values: Floats, sigmas: Floats, bound: float, degree: int) -> tuple[Extrapolated, Floats] | str:
    """The value at zero of exp(polynomial), and its values at the scales; or why the data do not look like such a decay."""
    sizes = np.abs(values)
    if not (np.all(values > 0) or np.all(values < 0)):
        return "the values change sign"
    if np.any(sizes < 2 * sigmas):
        return "a value is not clearly different from zero"
    weights = np.square(sizes / np.maximum(sigmas, 1e-12 * sizes))
    design = np.vander(scales, degree + 1)
    solve = np.linalg.solve(design.T @ (weights[:, None] * design), design.T * weights)
    solution = solve @ np.log(sizes)
    if degree == 1 and solution[0] > 0:
        return "the values grow with noise"
    if np.exp(solution[-1]) > bound:
        return "the fit leaves the spectrum"
    sign = np.sign(values[0])
    value = float(sign * np.exp(solution[-1]))
    return Extrapolated(value, value * solve[-1] / values), sign * np.exp(design @ solution)


def _decay_or_line(scales: Floats, values: Floats, sigmas: Floats, bound: float, degree: int) -> Extrapolated:
    decay = _decay(scales, values, sigmas, bound, degree)
    if not isinstance(decay, str):
        return decay[0]
    return replace(linear(scales, values, sigmas, bound), note=f"linear instead of exponential extrapolation: {decay}")
