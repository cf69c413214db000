"""The same circuit with shots: on any sampler of Qiskit's second interface, Aer's, IBM's, or the reference one."""

from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.transpiler import PassManager

from threat.vqc.circuit import Architecture, Floats
from threat.vqc.model import Model
from threat.vqc.training import spsa


def measured(architecture: Architecture, weights: Floats, passes: PassManager | None = None) -> QuantumCircuit:
    """The circuit with all qubits measured, angles still open; transpiled once by `passes`, as devices want it."""
    circuit = architecture.bound(weights)
    circuit.measure_all()
    return circuit if passes is None else passes.run(circuit)


def sampled(sampler: Any, circuit: QuantumCircuit, angles: Floats, shots: int) -> Floats:
    """(events,): the share of shots with odd parity; its standard error is sqrt(p (1 - p) / shots).

    Args:
        sampler: of Qiskit's interface V2.
        circuit: from `measured`.
        angles: (events, qubits), radians.
        shots: per event.
    """
    counted = sampler.run([(circuit, angles, shots)]).result()[0].data.meas
    ones = np.bitwise_count(counted.array).sum(axis=-1)
    return np.asarray((ones % 2).mean(axis=-1), dtype=np.float64)


def refined(
    model: Model,
    sampler: Any,
    angles: Floats,
    labels: Floats,
    *,
    steps: int,
    shots: int,
    seed: int,
    passes: PassManager | None = None,
) -> Floats:
    """Weights that suit a device, from the model's own, by SPSA on sampled cross-entropy: two circuits' batches a step.

    Args:
        model: where to start; its readout stays.
        sampler: the device.
        angles: (events, qubits), radians.
        labels: (events,) of 0 and 1.
        steps: of SPSA.
        shots: per event and step.
        seed: of the directions.
        passes: see `measured`.
    """

    def loss(weights: Floats) -> float:
        odd = sampled(sampler, measured(model.architecture, weights, passes), angles, shots)
        chances = np.clip(model.probability(odd), 1e-6, 1 - 1e-6)
        return float(-np.mean(labels * np.log(chances) + (1 - labels) * np.log(1 - chances)))

    return spsa(loss, model.weights, steps=steps, seed=seed, rate=0.02, shift=0.1)  # small: a trained readout is steep
