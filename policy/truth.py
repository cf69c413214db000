"""What each method's error really is: the mean over all shots, from the exact distributions that em's engines compute.

Nothing is drawn to read a circuit: readers are given the exact distributions, so that they say what they read on average and how
far one shot is off. Linear extrapolations follow exactly. The exponential one is not linear, and takes the line where the data do
not decay: it is averaged over quasi-random normal readings (Owen 1998, scrambled Sobol points).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from scipy.stats import norm, qmc

from backends.adapter import Run, Work
from backends.device import Device
from backends.preparation import Prepared, prepare
from backends.sampling import reading
from em.engines import ENGINES, NoisyCircuit
from em.engines.shots import misread
from em.families import Instance
from em.methods import METHODS, Workload
from em.methods.raw import RawReader
from em.methods.readout import Confusion, ReadoutReader
from em.methods.samples import Sample
from em.observables import Group, bound, constant, grouped
from em.planning import TRANSPILER_SEED
from policy.extrapolations import SCALES, exponential, gradient
from policy.readable import LEAST, LOST
from policy.simulated import outcomes

Floats = NDArray[np.float64]

_ENGINE = ENGINES["pauli-transfer"]
_SHOTS = 1_000_000  # that readers are told: variances are scaled from there
_TWIRLS = int(METHODS["trex"].parameters({})["twirls"])  # type: ignore[arg-type]
_POINTS = 512
_MOST_PATTERNS = 128  # of random flips that are averaged over


@dataclass(frozen=True)
class Moments:
    """What a reader reads of one observable, at each scale, without its constant.

    Attributes:
        means: (scales,) on average.
        shot: (scales,) variance of one shot.
        pattern: (scales,) variance of one random pattern of flips; 0 for readers that flip nothing.
        shared_shot, shared_pattern: (scales, scales) the same of the calibration, which all scales share.
    """

    means: Floats
    shot: Floats
    pattern: Floats
    shared_shot: Floats
    shared_pattern: Floats

    def own(self, shots: int) -> Floats:
        """(scales,) variances from each scale's own shots."""
        return self.shot / shots + self.pattern / _patterns(shots)

    def shared(self, shots: int) -> Floats:
        """(scales, scales) covariance from the calibration with as many shots."""
        return self.shared_shot / shots + self.shared_pattern / _patterns(shots)


@dataclass(frozen=True)
class Truth:
    """An observable on a device.

    Attributes:
        ideal: its exact value, without its constant.
        bound: the sum of its |coefficients|; `largest`: that without the constant's.
        readers: by name.
    """

    ideal: float
    bound: float
    largest: float
    readers: Mapping[str, Moments]

    def error(self, method: str, shots: int) -> tuple[float, float]:
        """(mean |error|, root mean square error) of a method with so many shots per run, in units of the bound."""
        how = METHODS[method]
        moments = self.readers[how.reader]
        own, shared = moments.own(shots), moments.shared(shots)
        if not np.isfinite(moments.means).all():
            return LOST, LOST
        if how.extrapolation == "exponential":
            return self._averaged(moments.means, own, shared)
        slopes = np.array([1.0, 0.0, 0.0]) if how.extrapolation is None else gradient(how.extrapolation)
        bias = float(slopes @ moments.means) - self.ideal
        variance = float(np.square(slopes) @ own + slopes @ shared @ slopes)
        return folded(bias / self.bound, variance**0.5 / self.bound), float(np.hypot(bias, variance**0.5)) / self.bound

    def _averaged(self, means: Floats, own: Floats, shared: Floats) -> tuple[float, float]:
        covariance = np.diag(own) + shared
        values, vectors = np.linalg.eigh(covariance)
        drawn = means + _points() @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        errors = (exponential(drawn, np.sqrt(np.diag(covariance)), self.largest) - self.ideal) / self.bound
        return float(np.abs(errors).mean()), float(np.sqrt(np.square(errors).mean()))


def truths(device: Device, instances: Sequence[Instance]) -> list[tuple[Truth, ...]]:
    """Per circuit, its observables on the device.

    Raises:
        BackendError, EngineRefusedError: a circuit that does not fit, or is too wide for exact simulation.
    """
    asked = [_asked(device, instance) for instance in instances]
    circuits = [NoisyCircuit(each.operations, each.places) for prepared in asked for each in prepared]
    found = iter(_ENGINE.distributions(device, circuits))
    return [
        _truths(device, instance, prepared, [next(found) for _ in prepared])
        for instance, prepared in zip(instances, asked, strict=True)
    ]


def folded(bias: float, deviation: float) -> float:
    """E|X| of a normal X (Leone et al. 1961)."""
    if deviation == 0:
        return abs(bias)
    ratio = bias / deviation
    return float(deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + bias * erf(ratio / np.sqrt(2)))


def _asked(device: Device, instance: Instance) -> list[Prepared]:
    """All scales of the first group, then of the second, ..."""
    groups = grouped(instance.observables)
    runs = tuple(Run(0, _SHOTS, scale, group.basis) for group in groups for scale in SCALES)
    work = Work((instance.source,), runs, 0, TRANSPILER_SEED, 2)
    return [prepare(device, work, run) for run in runs]


def _truths(device: Device, instance: Instance, prepared: Sequence[Prepared], exact: Sequence[Floats]) -> tuple[Truth, ...]:
    groups = grouped(instance.observables)
    terms = Workload(1, instance.observables, groups, _SHOTS, (instance.source,)).terms()
    shown = [prepared[index * len(SCALES)] for index in range(len(groups))]
    places = {qubit: place for each in shown for qubit, place in zip(each.read, each.places, strict=True)}
    flips = _Flips(device, dict(sorted(places.items())), groups)
    tables = [exact[start:stop] for start, stop in pairwise(range(0, len(exact) + 1, len(SCALES)))]
    plain = _plain(device, places, groups, tables, terms)
    twirled = flips.moments(tables, terms)
    return tuple(
        Truth(
            ideal=ideal - constant(observable),
            bound=bound(observable),
            largest=bound(observable) - abs(constant(observable)),
            readers={**{name: found[index] for name, found in plain.items()}, "trex": twirled[index]},
        )
        for index, (observable, ideal) in enumerate(zip(instance.observables, instance.ideal, strict=True))
    )


def _plain(
    device: Device, places: Mapping[int, int], groups: Sequence[Group], tables: Sequence[Sequence[Floats]], terms: Sequence[Floats]
) -> dict[str, list[Moments]]:
    """Of `raw` and `readout`: those readers themselves, given exact distributions."""
    confusion = _confusion(device, dict(sorted(places.items())))
    samples = [
        [_sample(device, places, group, table[step]) for group, table in zip(groups, tables, strict=True)] for step in range(3)
    ]
    found = {}
    blind = bool((confusion.slope < LEAST).any())
    for name, read in (
        ("raw", [RawReader().read(None, groups, each, terms) for each in samples]),
        ("readout", [ReadoutReader().read(confusion, groups, each, terms) for each in samples] if not blind else []),
    ):
        found[name] = [
            Moments(
                means=np.array([each.values[index] for each in read]),
                shot=np.array([each.variances[index] for each in read]) * _SHOTS,
                pattern=np.zeros(3),
                shared_shot=_outer(np.array([each.shared[index] for each in read])) * _SHOTS,
                shared_pattern=np.zeros((3, 3)),
            )
            if read
            else _blind()
            for index in range(len(terms[0]))
        ]
    return found


def _blind() -> Moments:
    nothing = np.full(len(SCALES), np.nan)
    return Moments(nothing, nothing, nothing, np.outer(nothing, nothing), np.outer(nothing, nothing))


def _sample(device: Device, places: Mapping[int, int], group: Group, exact: Floats) -> Sample:
    qubits = device.calibration.qubits
    readings = np.array([reading(qubits[places[qubit]], False, 0.0) for qubit in group.qubits])
    shots = misread(exact, readings) * _SHOTS
    return Sample(group.qubits, outcomes(len(group.qubits)), shots, np.zeros(len(shots), dtype=np.intp), np.ones(len(shots)), False)


def _confusion(device: Device, places: Mapping[int, int]) -> Confusion:
    """What the two calibration circuits would tell of it on average; the second's x gates fail as reported."""
    zero, one = (
        np.array(
            [
                _read_of(device, place, flipped)[1, 0] if not flipped else _read_of(device, place, True)[0, 0]
                for place in places.values()
            ]
        )
        for flipped in (False, True)
    )
    sigma0, sigma1 = (np.sqrt(np.maximum(each * (1 - each), 0.5 / _SHOTS) / _SHOTS) for each in (zero, one))
    return Confusion(tuple(places), one - zero, 1 - zero - one, sigma0, sigma1)


def _read_of(device: Device, place: int, flipped: bool) -> Floats:
    return reading(device.calibration.qubits[place], flipped, device.gates["x", (place,)].error)


class _Flips:
    """What `trex` reads: every pattern of flips, or `_MOST_PATTERNS` random ones of many qubits."""

    def __init__(self, device: Device, places: Mapping[int, int], groups: Sequence[Group]) -> None:
        self.groups = groups
        self.qubits = tuple(places)
        width = len(places)
        every = np.array(list(product((False, True), repeat=width))) if 2**width <= _MOST_PATTERNS else None
        self.patterns = np.random.default_rng(0).random((_MOST_PATTERNS, width)) < 0.5 if every is None else every
        both = np.array([[_read_of(device, place, flipped) for flipped in (False, True)] for place in places.values()])
        self.readings = both[np.arange(width)[None, :], self.patterns.astype(int)]

    def moments(self, tables: Sequence[Sequence[Floats]], terms: Sequence[Floats]) -> list[Moments]:
        """Per observable."""
        masks = [self._mask(group) for group in self.groups]
        ground = np.eye(1, 2 ** len(self.qubits))[0]
        unity, shot, pattern = self._read(self.qubits, ground, np.concatenate(masks), None)
        count = len(terms[0])
        if unity.min() < LEAST:
            return [_blind()] * count
        means, own, between = np.zeros((3, count)), np.zeros((3, count)), np.zeros((3, count))
        slopes: list[list[Floats]] = [[], [], []]
        start = 0
        for group, mask, table, weights in zip(self.groups, masks, tables, terms, strict=True):
            here = slice(start, start + len(group.paulis))
            start += len(group.paulis)
            columns = [self.qubits.index(qubit) for qubit in group.qubits]
            for step in range(3):
                signal, _, _ = self._read(group.qubits, table[step], mask[:, columns], None)
                _, variance, spread = self._read(group.qubits, table[step], mask[:, columns], weights / unity[here])
                means[step] += weights @ (signal / unity[here])
                own[step] += variance
                between[step] += spread
                slopes[step].append(weights * signal / unity[here] ** 2)
        gradient = np.array([np.concatenate(each, axis=1) for each in slopes])
        return [
            Moments(
                means[:, index],
                own[:, index],
                between[:, index],
                gradient[:, index] @ shot @ gradient[:, index].T,
                gradient[:, index] @ pattern @ gradient[:, index].T,
            )
            for index in range(count)
        ]

    def _mask(self, group: Group) -> NDArray[np.bool_]:
        return np.array([[pauli[-1 - qubit] != "I" for qubit in self.qubits] for pauli in group.paulis], dtype=bool).reshape(
            len(group.paulis), len(self.qubits)
        )

    def _read(
        self, qubits: Sequence[int], exact: Floats, mask: NDArray[np.bool_], weights: Floats | None
    ) -> tuple[Floats, Floats, Floats]:
        """(means of the strings, variance of a shot, variance of a pattern): matrices of strings, or of `weights` @ strings."""
        columns = [self.qubits.index(qubit) for qubit in qubits]
        seen, signs = self.readings[:, columns], np.where(self.patterns[:, columns], -1.0, 1.0)
        tables = misread(exact, seen)
        bits = outcomes(len(qubits))
        parities = np.array([bits[:, row].prod(axis=1) for row in mask])
        undone = np.array([signs[:, row].prod(axis=1) for row in mask])
        by_pattern = undone * (parities @ tables.T)
        means = by_pattern.mean(axis=1)
        if weights is None:
            square = np.einsum("pf,qf,pb,qb,fb->pq", undone, undone, parities, parities, tables, optimize=True) / len(tables)
            patterns = by_pattern @ by_pattern.T / len(tables)
            return means, square - patterns, patterns - np.outer(means, means)
        summed = weights @ by_pattern
        squares = np.array([np.square((weights * undone[:, f]) @ parities) @ tables[f] for f in range(len(tables))]).mean(axis=0)
        return means, squares - np.square(summed).mean(axis=1), summed.var(axis=1)


def _patterns(shots: int) -> int:
    return min(_TWIRLS, max(2, shots // 2))


def _outer(rows: Floats) -> Floats:
    return np.asarray(rows @ rows.T)


@cache
def _points() -> Floats:
    """(points, scales) of a standard normal distribution, the same for all: methods are compared on the same readings."""
    return np.asarray(norm.ppf(np.clip(qmc.Sobol(len(SCALES), seed=0).random(_POINTS), 1e-9, 1 - 1e-9)))
