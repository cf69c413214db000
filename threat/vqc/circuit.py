"""The classifier's circuit, defined here once, in Qiskit. Everything else reads it from here.

A ZZ feature map with one repetition (Havlicek et al. 2019, arXiv:1804.11326), real amplitudes with three, and the parity of all
qubits: the score is the probability that an odd number of ones is read, p = (1 - <Z...Z>) / 2.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit.library import real_amplitudes, z_feature_map, zz_feature_map

from threat.vqc.errors import VqcError

QUBITS = range(2, 11)
"""Widths that the engine takes; the classifier is meant for 4 to 8."""

REPETITIONS = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Architecture:
    """Which circuit.

    Attributes:
        qubits: how many, and how many angles an event has.
        entangled: False leaves every two-qubit gate out of map and ansatz: a control, not a product.
    """

    qubits: int
    entangled: bool = True

    def __post_init__(self) -> None:
        if self.qubits not in QUBITS:
            raise VqcError(f"the classifier has {QUBITS[0]} to {QUBITS[-1]} qubits, got {self.qubits}")

    @property
    def weights(self) -> int:
        """How many angles are trained."""
        return self.qubits * (REPETITIONS + 1)

    @cached_property
    def feature_map(self) -> QuantumCircuit:
        """Angles x[i] in, one per qubit."""
        return zz_feature_map(self.qubits, reps=1) if self.entangled else z_feature_map(self.qubits, reps=1)

    @cached_property
    def ansatz(self) -> QuantumCircuit:
        """Weights θ[k] in, `weights` of them."""
        entanglement = "reverse_linear" if self.entangled else []
        return real_amplitudes(self.qubits, reps=REPETITIONS, entanglement=entanglement)

    @cached_property
    def circuit(self) -> QuantumCircuit:
        """Map and ansatz, unmeasured."""
        return self.feature_map.compose(self.ansatz)

    @property
    def parity(self) -> str:
        """The observable, as a Pauli string."""
        return "Z" * self.qubits

    def bound(self, weights: Floats) -> QuantumCircuit:
        """The circuit with these weights, ready for angles."""
        self.check(weights)
        return self.feature_map.compose(self.ansatz.assign_parameters(weights))

    def programs(self, angles: Floats, weights: Floats) -> tuple[str, ...]:
        """OpenQASM 3 of each row of (events, qubits) angles, unmeasured: what a job carries, with `parity` as observable."""
        circuit = self.bound(weights)
        return tuple(qasm3.dumps(circuit.assign_parameters(row)) for row in np.atleast_2d(angles))

    def check(self, weights: Floats) -> None:
        """Refuses weights of another size. Raises VqcError."""
        if np.shape(weights) != (self.weights,):
            raise VqcError(f"{self.qubits} qubits have {self.weights} weights, got an array of shape {np.shape(weights)}")
