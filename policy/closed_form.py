"""Bias and variance of every method in closed form, from a calibration, a circuit's features and the shots.

The model: a Pauli string's value decays by exp(-rate x scale) in the gates, where `rate` adds up each gate's depolarising
strength d / (d - 1) x infidelity (Magesan et al. 2012, arXiv:1109.6887), and by (1 - 2 e) per qubit that is read.
Extrapolation acts on these values with its own gradient, so that its bias is what the model leaves and its variance is
amplified by the squared coefficients (Temme et al. 2017, arXiv:1612.02058; Giurgica-Tiron et al. 2020, arXiv:2005.10921).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import erf, exp, expm1, pi, sqrt
from types import MappingProxyType

import numpy as np

from em.circuits import CircuitFeatures
from em.learned.physical import DOUBT
from em.methods import METHODS, Method
from em.methods.learned import Learned, spent
from em.methods.zne import EXTRAPOLATIONS
from policy.demand import Target
from policy.device import Region

SIGNAL = 0.5
"""|<P>| assumed of a Pauli string before the circuit has run: a stabiliser has 1, a random circuit far less."""

MODEL_ERROR = 0.08
"""What is left of the decay's effect where it was taken out by a model: real noise is not one exponential."""

_TWIRLS = int(METHODS["trex"].parameters({})["twirls"])  # type: ignore[arg-type]  # flip patterns of a run
_REMOVES_READOUT = frozenset({"readout", "correlated", "trex"})
"""Readers that are taken for removing readout errors; an unknown one is taken for removing nothing."""

_PRICE: Mapping[str, float] = MappingProxyType({"cancelled": 2.0, "learned": 1.0, "distilled": 2.0})
"""Treatment of gate noise -> exponent, in units of the rate, of what it multiplies the standard error by.

Cancelled: gamma of depolarising noise, to first order. Learned: the slope of a fit. Distilled: the purity of two copies.
"""

_MOST_EXPONENT = 300.0  # e^300 is hopeless enough, and its square is still a number
_DECAYS = frozenset({"exponential", "poly-exponential", "adaptive"})  # the latter two predicted as the first
_SWAP = 3  # two-qubit gates
_SWAPS_SAVED = 0.5  # a good router moves a qubit once for several gates
_REPETITION_SECONDS = 250e-6  # pause between shots: IBM's default_rep_delay


@dataclass(frozen=True, slots=True)
class Noise:
    """What a device does to a target, before any mitigation.

    Attributes:
        rate: exponent of the decay in the gates, at scale 1.
        readout: factor that readout leaves of a Pauli string, in (0, 1].
        flips: relative standard deviation that one random flip pattern of the readout adds to a Pauli string.
        two_qubit_gates: in the light cone, routing included.
        circuit_seconds: one pass through the gates of the largest circuit.
        shot_seconds: readout and pause of one shot.
    """

    rate: float
    readout: float
    flips: float
    two_qubit_gates: float
    circuit_seconds: float
    shot_seconds: float

    @property
    def gates(self) -> float:
        """Factor that the gates leave of a Pauli string, in (0, 1]."""
        return exp(-self.rate)


@dataclass(frozen=True)
class Prediction:
    """How far a method's estimate is expected to lie from the ideal value, in units of the spectral bound.

    Attributes:
        bias: |expectation of the estimate - ideal|.
        deviation: standard deviation of the estimate.
    """

    bias: float
    deviation: float

    @cached_property
    def error(self) -> float:
        """E|estimate - ideal|: the mean of a folded normal distribution (Leone et al. 1961), at most 2."""
        if self.deviation == 0:
            return min(self.bias, 2.0)
        ratio = self.bias / self.deviation
        mean = self.deviation * sqrt(2 / pi) * exp(-(ratio**2) / 2) + self.bias * erf(ratio / sqrt(2))
        return min(mean, 2.0)


def noise(target: Target, circuit: CircuitFeatures, region: Region) -> Noise:
    """The noise of a target when its largest circuit runs on the region."""
    routing = 1 + _SWAP * _swaps_per_gate(circuit, region)
    two = target.two_qubit_gates * routing
    rate = two * region.two_qubit_error * 4 / 3 + target.one_qubit_gates * region.one_qubit_error * 2
    return Noise(
        rate=rate,
        readout=max(1 - 2 * region.readout_error, 1e-3) ** target.weight,
        flips=region.readout_asymmetry * sqrt(target.weight),
        two_qubit_gates=two,
        circuit_seconds=circuit.two_qubit_depth * routing * region.two_qubit_seconds
        + (circuit.depth - circuit.two_qubit_depth) * region.one_qubit_seconds,
        shot_seconds=region.readout_seconds + _REPETITION_SECONDS,
    )


def predict(noise: Noise, target: Target, method: Method, scales: Sequence[float], shots: int) -> Prediction:
    """Bias and deviation of one method, with `shots` per scale and as many for the readout calibration.

    Methods that do not extrapolate are predicted roughly: what is done about gate noise takes the decay away, and multiplies
    the deviation by exp(`_PRICE` x rate). Twirls and decoupling change nothing, as they do under the noise of a snapshot.
    ml-qem, which knows the decay of what it reads, is predicted by `_foretold`.
    """
    if isinstance(method, Learned):
        return _foretold(noise, target, spent(shots))
    mitigated = method.reader in _REMOVES_READOUT or method.gates == "learned"
    rate = 0.0 if method.gates in _PRICE else noise.rate
    read, amplified = (1.0, 1 / noise.readout) if mitigated else (noise.readout, 1.0)
    amplified *= exp(min(_PRICE.get(method.gates, 0.0) * noise.rate, _MOST_EXPONENT))
    ideal = SIGNAL * target.share
    values = [ideal * read * exp(-rate * scale) for scale in scales]
    polarisation = SIGNAL * read
    variances = [(amplified * target.spread) ** 2 * (1 - (polarisation * exp(-rate * scale)) ** 2) / shots for scale in scales]
    # with a stabiliser's signal: with a smaller one trex would look better than it is
    patterns = (noise.flips / SIGNAL) ** 2 / _TWIRLS if method.reader == "trex" else 0.0
    variances = [variance + patterns * value**2 for variance, value in zip(variances, values, strict=True)]
    estimate, variance = _extrapolate(method.extrapolation, tuple(scales), values, variances)
    if mitigated:
        variance += estimate**2 * (amplified**2 * (1 - noise.readout**2) / shots + patterns)
    left = MODEL_ERROR * ideal * (mitigated * (1 - noise.readout) + bool(method.gates) * -expm1(-noise.rate))
    return Prediction(bias=abs(ideal - estimate) + left, deviation=sqrt(variance))


def _foretold(noise: Noise, target: Target, shots: Mapping[int, int]) -> Prediction:
    """Of the best estimate from readings at some scales, of a value and of a noise u times the reported one.

    Readings are v exp(-u rate scale). What they say of v and of u adds to what is known before (Fisher information): v is about
    `SIGNAL`, u about 1. Readout errors are inverted as they are reported, without shots of their own.

    Args:
        shots: scale -> shots of a run.
    """
    ideal = SIGNAL * target.share
    known = np.diag([1 / max(ideal, 1e-9) ** 2, 1 / DOUBT**2])
    for scale, count in shots.items():
        left = exp(-noise.rate * scale)
        slopes = np.array([left, -ideal * noise.rate * scale * left])
        known += np.outer(slopes, slopes) * count / ((target.spread / noise.readout) ** 2 * (1 - (SIGNAL * left) ** 2) + 1e-30)
    return Prediction(bias=MODEL_ERROR * ideal * (1 - noise.readout), deviation=sqrt(np.linalg.inv(known)[0, 0]))


def seconds(noise: Noise, shots_by_scale: Mapping[float, int]) -> float:
    """Time on the device: shots x (scale x gates + readout + pause)."""
    return sum(shots * (scale * noise.circuit_seconds + noise.shot_seconds) for scale, shots in shots_by_scale.items())


def _extrapolate(
    name: str | None, scales: tuple[float, ...], values: Sequence[float], variances: Sequence[float]
) -> tuple[float, float]:
    """(estimate, its variance) from the values and variances at each scale."""
    if name is None:
        return values[0], variances[0]
    if name in _DECAYS:
        if all(value**2 > 4 * variance for value, variance in zip(values, variances, strict=True)):
            return _exponential(scales, values, variances)
        name = "linear"  # what em.methods.zne falls back to where a value is not clearly different from zero
    gradient = _gradient(name, scales)
    estimate = sum(slope * value for slope, value in zip(gradient, values, strict=True))
    return estimate, sum(slope**2 * variance for slope, variance in zip(gradient, variances, strict=True))


def _exponential(scales: Sequence[float], values: Sequence[float], variances: Sequence[float]) -> tuple[float, float]:
    """The intercept of a weighted fit to log values, and its variance (S2 / (S0 S2 - S1^2) of weighted least squares)."""
    weights = [value**2 / max(variance, 1e-30) for value, variance in zip(values, variances, strict=True)]
    s0, s1, s2 = (sum(weight * scale**power for weight, scale in zip(weights, scales, strict=True)) for power in range(3))
    intercept = values[0] * (values[0] / values[1]) ** (scales[0] / (scales[1] - scales[0]))
    return intercept, intercept**2 * s2 / (s0 * s2 - s1**2)


@cache
def _gradient(name: str, scales: tuple[float, ...]) -> list[float]:
    """Of an extrapolation that is linear in the values: the same whatever they are."""
    given = np.array(scales)
    return [float(slope) for slope in EXTRAPOLATIONS[name](given, np.ones_like(given), np.ones_like(given), 1.0).gradient]


def _swaps_per_gate(circuit: CircuitFeatures, region: Region) -> float:
    """Expected SWAPs per two-qubit gate: the share of pairs that cannot be neighbours, times how far apart such pairs are."""
    if not circuit.interactions:
        return 0.0
    degrees: dict[int, int] = {}
    for pair in circuit.interactions:
        for qubit in pair:
            degrees[qubit] = degrees.get(qubit, 0) + 1
    wanted = len(circuit.interactions)
    too_many = max(wanted - region.couplings, sum(max(0, degree - region.degree) for degree in degrees.values()), 0)
    return _SWAPS_SAVED * min(1.0, too_many / wanted) * max(region.distance - 1, 1.0)
