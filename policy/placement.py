"""What a circuit meets where a device's compiler puts it: the gates that it becomes, and the qubits that are read.

A region's averages (`policy.device`) are known at once, but a compiler chooses its couplings by their errors and does not look at
the readout. The circuit is therefore compiled for each candidate as the executor will, which takes about ten milliseconds the first
time and nothing afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backends.device import Compiled, Device, Operation
from backends.timing import REPETITION_SECONDS, critical_path
from em.observables import bound, coefficients, grouped, support
from em.planning import TRANSPILER_SEED
from policy.closed_form import Noise
from policy.signal import Signal, cone, signal
from policy.simulated import cheap, simulated
from schemas.jobs import Observable

_LEAST_SLOPE = 1e-3
_MOST_TERMS = 200  # of an observable: the heaviest say what it meets


@dataclass(frozen=True, slots=True)
class Placement:
    """An observable of a circuit on a device.

    Attributes:
        noise: as the closed form takes it, from the compiled gates in the light cone.
        signal: of the observable.
        two_qubit_error, readout_error: means over the gates that are used and the qubits that are read.
        gates: two-qubit gates of the compiled circuit.
    """

    noise: Noise
    signal: Signal
    two_qubit_error: float
    readout_error: float
    gates: int


def placed(device: Device, source: str, observable: Observable, level: int = 2) -> Placement:
    """The placement.

    Raises:
        BackendError: the device cannot run the circuit; a sentence.
    """
    compiled = device.compile(source, TRANSPILER_SEED, level)
    sizes = coefficients(observable)
    heaviest = sorted(sizes, key=lambda pauli: (-abs(sizes[pauli]), pauli))[:_MOST_TERMS]
    weights = np.array([abs(sizes[pauli]) for pauli in heaviest] or [1.0])
    weights = weights / weights.sum()
    supports = [tuple(support(pauli)) for pauli in heaviest] or [()]
    cones = {qubits: _cone(device, compiled, qubits) for qubits in set(supports)}
    two, ones, gates = (weights @ np.array([cones[qubits][part] for qubits in supports]) for part in range(3))
    rows = device.calibration.qubits
    slopes = np.array([1 - row.prob_meas1_prep0 - row.prob_meas0_prep1 for row in rows])
    lopsided = np.array([row.prob_meas0_prep1 - row.prob_meas1_prep0 for row in rows])
    places = [[compiled.places[qubit] for qubit in qubits] for qubits in supports]
    read = weights @ np.array([np.maximum(slopes[each], _LEAST_SLOPE).prod() for each in places])
    flips = weights @ np.array([np.square(lopsided[each]).sum() for each in places])
    pairs = [_error(device, operation) for operation in compiled.operations if len(operation.qubits) == 2]
    used = sorted({place for each in places for place in each})
    durations = critical_path(compiled.operations, device.durations)
    readout_seconds = max((rows[place].readout_seconds for place in used), default=0.0)
    return Placement(
        noise=Noise(two + ones, float(read), float(np.sqrt(flips)), float(gates), durations, readout_seconds + REPETITION_SECONDS),
        signal=_signal(device, source, compiled, observable, level),
        two_qubit_error=float(np.mean(pairs)) if pairs else 0.0,
        readout_error=float(np.mean(1 - slopes[used]) / 2) if used else 0.0,
        gates=len(pairs),
    )


def _signal(device: Device, source: str, compiled: Compiled, observable: Observable, level: int) -> Signal:
    """By simulation where it is cheap, else by strings."""
    sizes = coefficients(observable)
    inside, bits = cone(compiled, {qubit for pauli in sizes for qubit in support(pauli)})
    if sizes and cheap(inside, len(bits), len(compiled.places), len(grouped((observable,)))):
        return simulated(device, source, observable, level)
    return signal(device, compiled, sizes, bound(observable))


def _cone(device: Device, compiled: Compiled, qubits: Sequence[int]) -> tuple[float, float, int]:
    """Exponents of the two-qubit and of the one-qubit gates that can reach the given qubits, and how many of the former."""
    reached = {compiled.places[qubit] for qubit in qubits}
    exponents, gates = [0.0, 0.0], 0
    for operation in reversed(compiled.operations):
        if not reached.isdisjoint(operation.qubits):
            pair = len(operation.qubits) == 2
            reached.update(operation.qubits)
            exponents[not pair] += _exponent(device, operation)
            gates += pair
    return exponents[0], exponents[1], gates


def _exponent(device: Device, operation: Operation) -> float:
    """d / (d - 1) x infidelity (Magesan et al. 2012, arXiv:1109.6887)."""
    return _error(device, operation) * (4 / 3 if len(operation.qubits) == 2 else 2.0)


def _error(device: Device, operation: Operation) -> float:
    return device.gates[operation.name, operation.qubits].error
