"""Readers that would give up on a device: where a readout says next to nothing, its errors cannot be taken out again."""

from collections.abc import Sequence
from math import prod

from backends.device import Compiled, Device
from em.observables import coefficients, support
from schemas.jobs import Observable

LEAST = 0.05
"""Of a qubit's slope, 1 - P(0|1) - P(1|0), for `readout`; of a string's, their product, for `trex`: below, they fail."""

LOST = 1.0
"""The error of a method that gives up, in units of the observable's bound."""


def unreadable(device: Device, compiled: Compiled, observables: Sequence[Observable]) -> frozenset[str]:
    """The readers that fail when these observables are read together where the circuit was compiled to."""
    slopes = [
        1 - row.prob_meas1_prep0 - row.prob_meas0_prep1 for row in (device.calibration.qubits[place] for place in compiled.places)
    ]
    supports = [support(pauli) for observable in observables for pauli in coefficients(observable)]
    blind = any(slopes[qubit] < LEAST for qubits in supports for qubit in qubits)
    faint = any(prod(slopes[qubit] for qubit in qubits) < LEAST for qubits in supports)
    return frozenset({"readout"} if blind else ()) | frozenset({"trex"} if faint else ())
