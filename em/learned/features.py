"""What a model is told about a Pauli string: what was read, what the calibration lets expect, and what the circuit looks like."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backends import qasm
from backends.adapter import Run
from backends.forecast import Forecast, StringForecast
from em.observables import Group, support

if TYPE_CHECKING:  # methods know this room, not the other way round
    from em.methods.samples import Sample

Floats = NDArray[np.float64]

_OUTCOME: Mapping[str, str] = {
    "base": "physical estimate: `inverted` / `attenuation`, shrunk by the shot noise and by how small the value should be",
    "raw": "mean of what was read",
    "inverted": "the same with the reported readout errors inverted",
    "sigma": "standard deviation of `inverted` from shots",
    "others": "mean absolute `base` of all strings of the circuit",
    "leaning": "mean `base` of all strings on one qubit of the circuit",
    "pairs": "mean `base` of all strings on two qubits of the circuit",
}
_EXPECTED: Mapping[str, str] = {
    "attenuation": "what reported gate noise should leave, along sampled Pauli paths (`backends.forecast`)",
    "spread": "its standard deviation between paths",
    "seen": "fraction of paths that end in I and Z, which alone see the initial state",
    "meetings": "two-qubit gates on a path",
    "decay": "what relaxation should add",
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
_LEAST_SEEN = 0.04
"""Fewer of 64 paths say nothing: values are never expected to be smaller than 0.2."""


def runs(body: int, shots: int, groups: Sequence[Group]) -> tuple[Run, ...]:
    """The plain runs of a body, which ask for a forecast: what `table` needs."""
    return tuple(Run(body, shots, 1, group.basis, paulis=group.paulis) for group in groups)


def table(source: str, groups: Sequence[Group], samples: "Sequence[Sample]", forecasts: Sequence[Forecast]) -> Floats:
    """(strings, features): the strings of all groups, in order.

    Args:
        source: the circuit, OpenQASM 3.
        groups: what was measured.
        samples: of each group.
        forecasts: of each group.
    """
    rows: list[list[float]] = []
    for group, sample, forecast in zip(groups, samples, forecasts, strict=True):
        rows += _rows(group, sample, forecast)
    outcome = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    paulis = [pauli for group in groups for pauli in group.paulis]
    base = outcome[:, 0]
    weights = np.array([len(support(pauli)) for pauli in paulis])
    circuitwide = [
        np.abs(base).mean(),
        *(base[weights == weight].mean() if np.any(weights == weight) else 0.0 for weight in (1, 2)),
    ]
    shape = np.array([[*_string(pauli), *circuit(source)] for pauli in paulis]).reshape(len(rows), -1)
    split = len(_OUTCOME) - len(circuitwide)
    return np.column_stack([outcome[:, :split], np.tile(circuitwide, (len(rows), 1)), outcome[:, split:], shape])


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


def _rows(group: Group, sample: "Sample", forecast: Forecast) -> list[list[float]]:
    """What was read and what was expected of each string of a group."""
    wrong0, wrong1 = np.array(forecast.readout).T
    slope = np.maximum(1 - wrong0 - wrong1, 0.05)
    products = sample.products((sample.outcomes - (wrong1 - wrong0)) / slope, group.paulis)
    inverted, variances = sample.mean(products), sample.shot_variance(products)
    raw, left = sample.mean(sample.parities(group.paulis)), np.where(sample.mask(group.paulis), slope, 1.0).prod(axis=1)
    return [
        [
            physical(value, variance, string),
            read,
            value,
            float(np.sqrt(variance)),
            *(string.attenuation, string.spread, string.seen, string.meetings, string.decay),
            float(readout),
            float(forecast.two_qubit_gates),
            forecast.two_qubit_error,
        ]
        for value, variance, read, readout, string in zip(inverted, variances, raw, left, forecast.strings, strict=True)
    ]


def physical(inverted: float, variance: float, string: StringForecast) -> float:
    """The mean of the ideal value after `inverted` was read, if it was N(0, seen) before and the noise is as forecast."""
    before = max(string.seen, _LEAST_SEEN)
    gain = string.attenuation * before / (string.attenuation**2 * before + variance)
    return float(np.clip(gain * inverted, -1.0, 1.0))


def _string(pauli: str) -> tuple[float, ...]:
    width, acts = len(pauli), support(pauli)
    edge = float(np.mean([min(qubit, width - 1 - qubit) for qubit in acts])) / max((width - 1) / 2, 1) if acts else 0.0
    return (width, len(acts), pauli.count("X"), pauli.count("Y"), edge)
