"""What the closed form predicts when it knows the signal: bias and variance of every method on every candidate, in one go.

As `policy.closed_form`, with two differences: values, their decay and the variance of a shot come from a simulation or from Pauli
strings (`policy.simulated`, `policy.signal`) in place of an assumed size and one exponent, and the exponential extrapolation, which
is not linear and takes the line where shots make it, is averaged over quasi-random readings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import pi

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from scipy.stats import norm, qmc

from em.methods import METHODS, Method
from em.methods.zne import EXTRAPOLATIONS
from policy.demand import Target
from policy.extrapolations import exponential, gradient
from policy.placement import Placement

Floats = NDArray[np.float64]

SCALES = np.array([1.0, 3.0, 5.0])
_TWIRLS = int(METHODS["trex"].parameters({})["twirls"])  # type: ignore[arg-type]
_LEAST = 1e-12
_DRAWS = 64  # readings; more change the mean error by less than 1 %
_DOUBT = 0.02  # what is left of an effect that was taken out, where strings were followed: less than in `policy.closed_form`
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
    shot = np.array([_shot(each, target) for each in placements])
    doubt = np.array([_DOUBT * (each.signal.shot is None) for each in placements])
    met = _Met(values[:, 0], values[:, 1:], seen, shot, missing, doubt, read, flips, -np.expm1(-rate), target)
    columns = [_column(METHODS[name], count, met) for name, count in zip(methods, shots, strict=True)]
    bias, deviation, error, decays = (np.array(column).T for column in zip(*columns, strict=True))
    return Prior(bias, deviation, error, decays, values)


def folded(bias: Floats, deviation: Floats) -> Floats:
    """E|X| of normal X (Leone et al. 1961)."""
    deviation = np.maximum(deviation, _LEAST)
    ratio = bias / deviation
    return np.asarray(deviation * np.sqrt(2 / pi) * np.exp(-(ratio**2) / 2) + bias * erf(ratio / np.sqrt(2)))


@dataclass(frozen=True, slots=True)
class _Met:
    """What all methods meet on (candidates, ...).

    Attributes:
        ideal, noisy, seen: values without noise, (scales) with it, and (scales) as they are read.
        shot: (2, scales) variances, see `Signal.shot`.
        missing, doubt: what was not followed, and what part of an effect is left where it was taken out.
        read, flips, gates: what readout leaves, how much its flips scatter, what gates take.
    """

    ideal: Floats
    noisy: Floats
    seen: Floats
    shot: Floats
    missing: Floats
    doubt: Floats
    read: Floats
    flips: Floats
    gates: Floats
    target: Target


def _shot(place: Placement, target: Target) -> Floats:
    """(2, scales): variance of a shot as it is read and with readout inverted; a guess where the signal does not say."""
    if place.signal.shot is not None:
        return place.signal.shot
    amplified = 1 / place.noise.readout
    left = np.array([place.signal.read, place.signal.values[1:] / amplified]) / max(target.share, _LEAST)
    return np.asarray(np.square(np.array([[1.0], [amplified]]) * target.spread) * np.clip(1 - np.square(left), 0.02, 1.0))


def _column(method: Method, shots: float, met: _Met) -> tuple[Floats, Floats, Floats, Floats]:
    """(bias, deviation, error, decays) of one method on each candidate."""
    mitigated, none = method.reader != "raw", np.zeros_like(met.read)
    amplified = 1 / met.read if mitigated else np.ones_like(met.read)
    seen = met.noisy if mitigated else met.seen
    own = met.shot[:, int(mitigated)] / shots
    patterns = np.square(met.flips) / min(_TWIRLS, max(2.0, shots // 2)) if method.reader == "trex" else none
    own = own + patterns[:, None] * np.square(met.noisy)
    shared = np.square(amplified) * (1 - np.square(met.read)) / shots + patterns if mitigated else none
    lost = met.missing * (met.gates if method.extrapolation is None else np.square(met.gates))
    doubt = met.doubt * np.abs(met.ideal) * (mitigated * (1 - met.read) + (method.extrapolation is not None) * met.gates)
    if method.extrapolation == "exponential":
        errors, decays = _fits(seen, own, shared, met)
        bias, deviation = np.hypot(np.abs(errors.mean(axis=1)) + doubt, lost), errors.std(axis=1)
        return bias, deviation, np.hypot(np.abs(errors).mean(axis=1) + doubt, lost), decays
    estimate, variance = _line(method.extrapolation, seen, own)
    bias, deviation = np.hypot(np.abs(met.ideal - estimate) + doubt, lost), np.sqrt(variance + np.square(estimate) * shared)
    return bias, deviation, folded(bias, deviation), none


def _line(name: str | None, values: Floats, variances: Floats) -> tuple[Floats, Floats]:
    gradient = _LINES[name or ""]
    return values @ gradient, variances @ np.square(gradient)


def _fits(values: Floats, own: Floats, shared: Floats, met: _Met) -> tuple[Floats, Floats]:
    """((candidates, draws) errors of the exponential on readings as they may come, the share that it does not take for a line)."""
    points = _points()
    drawn = values[:, None] * (1 + np.sqrt(shared)[:, None, None] * points[:, 3:]) + np.sqrt(own)[:, None] * points[:, :3]
    sigmas = np.sqrt(own + np.square(values) * shared[:, None])
    flat, sizes = drawn.reshape(-1, len(SCALES)), np.repeat(sigmas, len(points), axis=0)
    found = exponential(flat, np.maximum(sizes, _LEAST), met.target.share)
    fitted = (found != flat @ gradient("linear")).reshape(drawn.shape[:2])
    return found.reshape(drawn.shape[:2]) - met.ideal[:, None], fitted.mean(axis=1)


@cache
def _points() -> Floats:
    """(draws, scales + 1) of a standard normal distribution (Owen 1998): each scale's own noise, and what all share."""
    return np.asarray(norm.ppf(np.clip(qmc.Sobol(len(SCALES) + 1, seed=0).random(_DRAWS), 1e-9, 1 - 1e-9)))
