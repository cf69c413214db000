"""The signal of few qubits, exactly: where little can be seen, simulating it costs less than following thousands of strings.

em's engine gives the distributions at each scale of the noise; what is read on average, and how far one shot is off, follow. It is
the device as its calibration says it is: nothing runs there.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import numpy as np

from backends.adapter import Run, Work
from backends.device import Device, Operation
from backends.preparation import prepare
from backends.sampling import reading, unpacked
from em.engines import ENGINES, NoisyCircuit
from em.engines.shots import misread
from em.ideal import MAX_QUBITS, ideal
from em.observables import Group, bound, coefficients, constant, grouped
from em.planning import TRANSPILER_SEED
from policy.signal import SCALES, Floats, Signal
from schemas.jobs import Observable

MOST_NUMBERS = 3e7
"""That all products of states and gates may have together: half a second."""

_ENGINE = ENGINES["pauli-transfer"]


def cheap(inside: Sequence[Operation], width: int, qubits: int, groups: int) -> bool:
    """Whether simulating what can be seen is worth it: its gates, its qubits, those of the circuit, and how often it is read."""
    pairs = sum(len(operation.qubits) == 2 for operation in inside)
    return qubits <= MAX_QUBITS and 4.0**width * (pairs + 1) * groups * (len(SCALES) - 1) <= MOST_NUMBERS


def simulated(device: Device, source: str, observable: Observable, level: int) -> Signal:
    """The signal, all of it kept."""
    groups = grouped((observable,))
    runs = tuple(Run(0, 1, float(scale), group.basis) for group in groups for scale in SCALES[1:])
    prepared = [prepare(device, Work((source,), runs, 0, TRANSPILER_SEED, level), run) for run in runs]
    exact = _ENGINE.distributions(device, [NoisyCircuit(each.operations, each.places) for each in prepared])
    weights = {pauli: size / bound(observable) for pauli, size in coefficients(observable).items()}
    steps = len(SCALES) - 1
    parts = [
        _part(device, group, weights, prepared[number * steps].places, np.array(exact[number * steps : (number + 1) * steps]))
        for number, group in enumerate(groups)
    ]
    values, read, shot = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    return Signal(np.concatenate([[_ideal(source, observable)], values]), read, 1.0, shot)


def _part(
    device: Device, group: Group, weights: Mapping[str, float], places: Sequence[int], exact: Floats
) -> tuple[Floats, Floats, Floats]:
    """A group's part of values, of what is read, and of the variances of a shot; (scales, outcomes) distributions."""
    confusions = np.array([reading(device.calibration.qubits[place], False, 0.0) for place in places])
    slope, offset = confusions[:, 0, 0] - confusions[:, 0, 1], confusions[:, 0, 0] + confusions[:, 0, 1] - 1
    signs, read = outcomes(len(places)), misread(exact, confusions)
    plain, undone = (_summed(group, weights, each) for each in (signs, (signs - offset) / np.maximum(slope, 1e-3)))
    shot = np.array([read @ np.square(each) - np.square(read @ each) for each in (plain, undone)])
    return exact @ plain, read @ plain, np.maximum(shot, 0.0)


def _summed(group: Group, weights: Mapping[str, float], factors: Floats) -> Floats:
    """(outcomes,): the weighed sum of the group's strings, each the product of (outcomes, qubits) factors."""
    columns = {qubit: factors[:, index] for index, qubit in enumerate(group.qubits)}
    acting = ([columns[qubit] for qubit in columns if pauli[-1 - qubit] != "I"] for pauli in group.paulis)
    parts = [weights[pauli] * np.prod(each, axis=0) for pauli, each in zip(group.paulis, acting, strict=True)]
    return np.asarray(np.sum(parts, axis=0))


@lru_cache(maxsize=1024)
def _ideal(source: str, observable: Observable) -> float:
    (value,) = ideal(source, (observable,))
    return (value - constant(observable)) / bound(observable)


@cache
def outcomes(width: int) -> Floats:
    """(2^width, width) of +1 and -1."""
    return np.where(unpacked(np.arange(2**width), width), -1.0, 1.0)
