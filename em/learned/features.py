"""What a model is told about a Pauli string: what was read, what the calibration lets expect, and what the circuit looks like.

A model knows no sign: each string is turned so that its physical estimate is positive, and what is read with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backends import qasm
from backends.forecast import Forecast, StringForecast
from em.learned.physical import physical
from em.observables import Group, support

if TYPE_CHECKING:  # methods know this room, not the other way round
    from em.methods.samples import Sample

Floats = NDArray[np.float64]

_OUTCOME: Mapping[str, str] = {
    "base": "size of the physical estimate (`em.learned.physical`), which says how this string and the next rows are turned",
    "sigma": "its standard deviation",
    "read": "mean of what was read, the reported readout errors inverted",
    "folded": "the same where the noise acts three times",
    "read_sigma": "standard deviation of `read`, from shots and twirls",
    "folded_sigma": "of `folded`",
    "careful": "the physical estimate of one who expects values as small as those of random circuits, less `base`",
    "decayed": "exponential extrapolation of `read` and `folded`, less `base`",
    "strength": "noise / reported noise, as all strings of the circuit tell",
    "others": "mean `base` of all strings of the circuit",
    "leaning": "mean physical estimate of all strings on one qubit of the circuit",
    "pairs": "mean physical estimate of all strings on two qubits of the circuit",
}
_EXPECTED: Mapping[str, str] = {
    "attenuation": "what reported gate noise should leave, along sampled Pauli paths (`backends.forecast`)",
    "thrice": "what it should leave acting three times",
    "spread": "standard deviation of the attenuation between paths",
    "seen": "fraction of paths that end in I and Z, which alone see the initial state",
    "meetings": "two-qubit gates on a path",
    "decay": "what relaxation should add without twirls",
    "slope": "what readout errors should leave",
    "two_qubit_gates": "in the compiled circuit",
    "two_qubit_error": "their mean reported error",
}
_SHAPE: Mapping[str, str] = {
    "qubits": "of the circuit",
    "weight": "qubits that the string acts on",
    "x": "letters X in the string",
    "y": "letters Y",
    "edge": "mean distance of its qubits from the nearer end of the register, from 0 to 1",
    "entanglers": "two-qubit gates per qubit, as written",
    "fixed": "one-qubit gates without an angle, per qubit",
    "rx": "gates per qubit",
    "ry": "gates per qubit",
    "rz": "gates per qubit",
    "rx_mean": "mean angle",
    "ry_mean": "mean angle",
    "rz_mean": "mean angle",
    "rx_std": "standard deviation of the angles",
    "ry_std": "standard deviation of the angles",
    "rz_std": "standard deviation of the angles",
}
FEATURES: Mapping[str, str] = MappingProxyType({**_OUTCOME, **_EXPECTED, **_SHAPE})
"""Name -> what it is, in the order of the columns."""

NAMES = tuple(FEATURES)

STRUCTURE = tuple(NAMES.index(name) for name in (*_EXPECTED, *_SHAPE))
"""The columns that are known before anything is read: what the novelty test looks at."""

_KINDS = ("rx", "ry", "rz")
_USUAL, _LEAST_SEEN = 0.25, 0.04
"""Variances of values before anything is read: half a unit either way; and a fifth, the least that is ever expected."""

_LEAST_SLOPE = 0.05  # beyond, inverting a readout multiplies noise by more than twenty


@dataclass(frozen=True, slots=True)
class Table:
    """A circuit's strings.

    Attributes:
        features: (strings, features).
        signs: (strings,) of the physical estimates, +1 or -1.
    """

    features: Floats
    signs: Floats

    @property
    def estimates(self) -> Floats:
        """(strings,) the physical estimates."""
        return np.asarray(self.signs * self.features[:, 0])

    @property
    def sigmas(self) -> Floats:
        """(strings,) their standard deviations."""
        return self.features[:, 1]


def table(source: str, groups: Sequence[Group], samples: "Sequence[Sequence[Sample]]", forecasts: Sequence[Forecast]) -> Table:
    """The strings of all groups, in order.

    Args:
        source: the circuit, OpenQASM 3.
        groups: what was measured.
        samples: of each group, at each of `em.learned.physical.SCALES`.
        forecasts: of each group.
    """
    paulis = [pauli for group in groups for pauli in group.paulis]
    seen = [_inverted(*each) for each in zip(groups, samples, forecasts, strict=True)]
    read, variances = (np.concatenate(each) for each in zip(*seen, strict=True))
    outcome, signs = _outcome(read, variances, [string for each in forecasts for string in each.strings], paulis)
    expected = np.concatenate([_expected(*each) for each in zip(groups, forecasts, strict=True)])
    shape = np.array([[*_string(pauli), *circuit(source)] for pauli in paulis])
    return Table(np.hstack([outcome, expected, shape]), signs)


@lru_cache(maxsize=1024)
def circuit(source: str) -> tuple[float, ...]:
    """Gates per qubit by kind, and the angles of the rotations: the columns from `entanglers` on."""
    body = qasm.program(source).body
    angles: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    fixed = pairs = 0
    for item in body.data:
        if item.operation.name in angles:
            angles[item.operation.name].append(float(item.operation.params[0]))
        elif len(item.qubits) == 2:
            pairs += 1
        elif len(item.qubits) == 1:
            fixed += 1
    found = [np.array(angles[kind]) if angles[kind] else np.zeros(1) for kind in _KINDS]
    return (
        pairs / body.num_qubits,
        fixed / body.num_qubits,
        *(len(angles[kind]) / body.num_qubits for kind in _KINDS),
        *(float(values.mean()) for values in found),
        *(float(values.std()) for values in found),
    )


def _inverted(group: Group, samples: "Sequence[Sample]", forecast: Forecast) -> tuple[Floats, Floats]:
    """(strings, scales) means and variances of what was read, readout errors inverted."""
    wrong0, wrong1 = np.array(forecast.readout).T
    slope, offset = np.maximum(1 - wrong0 - wrong1, _LEAST_SLOPE), wrong1 - wrong0
    products = [sample.products((sample.outcomes - offset) / slope, group.paulis) for sample in samples]
    pairs = list(zip(samples, products, strict=True))
    means = [sample.mean(each) for sample, each in pairs]
    variances = [np.maximum(sample.run_variance(each), sample.shot_variance(each)) for sample, each in pairs]
    return np.stack(means, axis=1), np.stack(variances, axis=1)


def _outcome(read: Floats, variances: Floats, strings: Sequence[StringForecast], paulis: Sequence[str]) -> tuple[Floats, Floats]:
    """The columns of `_OUTCOME`, and the signs of the strings."""
    moments, seen = np.array([string.moments for string in strings]), np.array([string.seen for string in strings])
    found = physical(read, variances, moments, np.full(len(read), _USUAL))
    careful = physical(read, variances, moments, np.maximum(seen, _LEAST_SEEN))
    signs = np.where(found.values < 0, -1.0, 1.0)
    weights, everywhere = np.array([len(support(pauli)) for pauli in paulis]), np.ones(len(read))
    alike = [found.values[weights == weight].mean() if np.any(weights == weight) else 0.0 for weight in (1, 2)]
    columns = (
        signs * found.values,
        found.sigmas,
        *(signs[:, None] * read).T,
        *np.sqrt(variances).T,
        signs * (careful.values - found.values),
        signs * (_decayed(read, variances) - found.values),
        found.strength * everywhere,
        np.abs(found.values).mean() * everywhere,
        *(signs * mean for mean in alike),
    )
    return np.column_stack(columns), signs


def _decayed(read: Floats, variances: Floats) -> Floats:
    """(strings,): a b^scale through both means; the line where they do not look like a decay."""
    one, three = read.T
    ratio = np.divide(one, three, out=np.zeros(len(one)), where=np.abs(three) > 2 * np.sqrt(variances[:, 1]))
    found = np.where(ratio > 1, one * np.sqrt(np.maximum(ratio, 1.0)), 1.5 * one - 0.5 * three)
    return np.clip(found, -1.0, 1.0)


def _expected(group: Group, forecast: Forecast) -> Floats:
    """The columns of `_EXPECTED`."""
    places = {qubit: 1 - sum(wrong) for qubit, wrong in zip(group.qubits, forecast.readout, strict=True)}
    rows = [
        (
            string.attenuation,
            string.moments[2],
            *(string.spread, string.seen, string.meetings, string.decay),
            float(np.prod([places[qubit] for qubit in support(pauli)])),
            float(forecast.two_qubit_gates),
            forecast.two_qubit_error,
        )
        for pauli, string in zip(group.paulis, forecast.strings, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(_EXPECTED))


def _string(pauli: str) -> tuple[float, ...]:
    width, acts = len(pauli), support(pauli)
    edge = float(np.mean([min(qubit, width - 1 - qubit) for qubit in acts])) / max((width - 1) / 2, 1) if acts else 0.0
    return (width, len(acts), pauli.count("X"), pauli.count("Y"), edge)
