"""What the closed form predicts when it knows the signal: bias and variance of every method on every candidate, in one go.

As `policy.closed_form`, with two differences: values and their decay come from followed Pauli strings (`policy.signal`) in place of
an assumed size and one exponent, and the exponential extrapolation takes the line with the probability that shot noise makes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr

from em.methods import METHODS, Method
from em.methods.zne import EXTRAPOLATIONS
from policy.demand import Target
from policy.placement import Placement

Floats = NDArray[np.float64]

SCALES = np.array([1.0, 3.0, 5.0])
_TWIRLS = int(METHODS["trex"].parameters({})["twirls"])  # type: ignore[arg-type]
_LEAST = 1e-12
_DOUBT = 0.02  # what is left of an effect that was taken out: less than in `policy.closed_form`, since the signal is followed
_LINES = {
    name: np.asarray(EXTRAPOLATIONS[name](SCALES, np.ones(3), np.ones(3), 1.0).gradient) for name in ("linear", "richardson")
} | {"": np.array([1.0, 0.0, 0.0])}


@dataclass(frozen=True, slots=True)
class Prior:
    """Predictions of (candidates, methods), in units of the observable's bound.

    Attributes:
        bias, deviation, error: as in `policy.closed_form.Prediction`.
        decays: (candidates, methods) the chance that an exponential extrapolation is one; 0 for the others.
        values: (candidates, 1 + scales) of the observable before it is read; without noise first.
    """

    bias: Floats
    deviation: Floats
    error: Floats
    decays: Floats
    values: Floats


def prior(target: Target, placements: Sequence[Placement], methods: Sequence[str], shots: Floats) -> Prior:
    """The predictions.

    Args:
        target: what noise acts on.
        placements: one for each candidate.
        methods: of raw, readout and trex, with or without an extrapolation.
        shots: (methods,) of each run.
    """
    found = [each.noise for each in placements]
    read, flips, rate = (np.array([getattr(noise, name) for noise in found]) for name in ("readout", "flips", "rate"))
    values, seen = (np.array([getattr(each.signal, name) for each in placements]) for name in ("values", "read"))
    missing = target.spread * np.sqrt(1 - np.array([each.signal.kept for each in placements]))
    met = _Met(values[:, 0], values[:, 1:], seen, missing, read, flips, -np.expm1(-rate), target)
    columns = [_column(METHODS[name], count, met) for name, count in zip(methods, shots, strict=True)]
    bias, deviation, decays = (np.array(column).T for column in zip(*columns, strict=True))
    return Prior(bias, deviation, folded(bias, deviation), decays, values)


def folded(bias: Floats, deviation: Floats) -> Floats:
    """E|X| of normal X (Leone et al. 1961)."""
    deviation = np.maximum(deviation, _LEAST)
    ratio = bias / deviation
    return np.asarray(deviation * np.sqrt(2 / pi) * np.exp(-(ratio**2) / 2) + bias * erf(ratio / np.sqrt(2)))


@dataclass(frozen=True, slots=True)
class _Met:
    """What all methods meet on (candidates,): ideal, noisy, read values, what was not followed, readout, flips, gates' loss."""

    ideal: Floats
    noisy: Floats
    seen: Floats
    missing: Floats
    read: Floats
    flips: Floats
    gates: Floats
    target: Target


def _column(method: Method, shots: float, met: _Met) -> tuple[Floats, Floats, Floats]:
    """(bias, deviation, decays) of one method on each candidate."""
    mitigated, none = method.reader != "raw", np.zeros_like(met.read)
    amplified = 1 / met.read if mitigated else np.ones_like(met.read)
    seen = met.noisy if mitigated else met.seen
    left = seen / amplified[:, None] / max(met.target.share, _LEAST)
    own = np.square(amplified * met.target.spread)[:, None] * np.clip(1 - np.square(left), 0.02, 1.0) / shots
    patterns = np.square(met.flips) / min(_TWIRLS, max(2.0, shots // 2)) if method.reader == "trex" else none
    own = own + patterns[:, None] * np.square(met.noisy)
    shared = np.square(amplified) * (1 - np.square(met.read)) / shots + patterns if mitigated else none
    estimate, variance = _line(method.extrapolation if method.extrapolation != "exponential" else "linear", seen, own)
    decays = none
    if method.extrapolation == "exponential":
        fitted, spread, decays = _decay(seen, own)
        estimate, variance = decays * fitted + (1 - decays) * estimate, decays * spread + (1 - decays) * variance
    variance = variance + np.square(estimate) * shared
    doubt = _DOUBT * np.abs(met.ideal) * (mitigated * (1 - met.read) + (method.extrapolation is not None) * met.gates)
    lost = met.missing * (met.gates if method.extrapolation is None else np.square(met.gates))
    return np.hypot(np.abs(met.ideal - estimate) + doubt, lost), np.sqrt(variance), decays


def _line(name: str | None, values: Floats, variances: Floats) -> tuple[Floats, Floats]:
    gradient = _LINES[name or ""]
    return values @ gradient, variances @ np.square(gradient)


def _decay(values: Floats, variances: Floats) -> tuple[Floats, Floats, Floats]:
    """(intercept, its variance, chance that the data look like a decay) of a weighted exponential fit."""
    sizes, sigmas = np.maximum(np.abs(values), _LEAST), np.sqrt(np.maximum(variances, _LEAST**2))
    weights = np.minimum(np.square(sizes / sigmas), 1e15)
    s0, s1, s2 = (weights @ SCALES**power for power in range(3))
    logs = np.log(sizes)
    t0, t1 = (np.einsum("cs,s->c", weights * logs, SCALES**power) for power in range(2))
    determinant = np.maximum(s0 * s2 - s1**2, _LEAST)
    intercept = np.minimum(np.exp(np.clip((s2 * t0 - s1 * t1) / determinant, -50.0, 0.0)), 1.0)
    chance = ndtr((sizes / sigmas - 2).min(axis=1))
    alike = np.abs(np.sign(values).sum(axis=1)) == len(SCALES)
    return np.sign(values[:, 0]) * intercept, np.square(intercept) * s2 / determinant, np.where(alike, chance, 0.0)
