"""Qiskit Aer: exact density matrices, as others compute them, and noisy trajectories where no exact state fits."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit_aer import AerSimulator

from backends.device import Device, Operation, gate
from backends.simulation import EXACT_QUBITS, MAX_AMPLITUDE_STEPS, TRAJECTORY_QUBITS
from em.engines.engine import Floats, NoisyCircuit, refuse, seen, too_wide, uncalibrated
from em.engines.sampling import SAMPLES, frequencies
from em.errors import EmError

_TOGETHER = 64  # circuits handed to Aer at once: Qiskit's objects take megabytes


class AerDensityMatrix:
    """Exact density matrices; circuits side by side on all cores."""

    name = "aer-density-matrix"
    approximate = False

    def refusal(self, device: Device, circuit: NoisyCircuit) -> str:
        """Why it cannot simulate a circuit; empty if it can."""
        return too_wide(circuit, EXACT_QUBITS, "a density matrix holds", "use trajectories") or uncalibrated(device, circuit)

    def distributions(self, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
        """Per circuit (2**len(places),): the probability of each outcome, to rounding.

        Raises:
            EngineRefusedError: a circuit of more than `EXACT_QUBITS`, or a gate that the device does not have.
        """
        for index, circuit in enumerate(circuits):
            refuse(index, len(circuits), self.refusal(device, circuit))
        found: list[Floats] = []
        for start in range(0, len(circuits), _TOGETHER):
            built = [_saving(device, circuit) for circuit in circuits[start : start + _TOGETHER]]
            result = _run(built, "density_matrix", max_parallel_experiments=0, fusion_threshold=2, fusion_max_qubit=2)
            data = [np.asarray(result.data(index)["probabilities"], dtype=np.float64) for index in range(len(built))]
            found += [np.clip(probabilities, 0.0, None) / np.clip(probabilities, 0.0, None).sum() for probabilities in data]
        return found


class AerTrajectories:
    """Statevectors that the noise jumps in, one per sample: faithful to the noise, but sampled."""

    name = "aer-trajectories"
    approximate = False

    def refusal(self, device: Device, circuit: NoisyCircuit) -> str:
        """Why it cannot simulate a circuit; empty if it can."""
        return _too_long(circuit, SAMPLES) or uncalibrated(device, circuit)

    def distributions(self, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
        """Per circuit (2**len(places),): frequencies of the outcomes among `SAMPLES` trajectories.

        Raises:
            EngineRefusedError: a circuit that is too wide or too long, too many places, or a gate that the device does not have.
        """
        return frequencies(self, device, circuits)

    def samples(self, device: Device, circuit: NoisyCircuit, shots: int, seed: int) -> NDArray[np.bool_]:
        """(shots, len(places)): what the places are, before readout errors; in no particular order.

        Raises:
            EngineRefusedError: a circuit that is too wide or too long, or a gate that the device does not have.
        """
        refuse(0, 1, _too_long(circuit, shots) or uncalibrated(device, circuit))
        operations, qubits = seen(circuit)
        built = noisy(device, operations, qubits, exact=False)
        built.add_register(ClassicalRegister(len(circuit.places)))
        built.measure([qubits.index(place) for place in circuit.places], range(len(circuit.places)))
        counts = _run([built], "statevector", shots=shots, seed_simulator=seed).get_counts()
        bits = np.array([[letter == "1" for letter in reversed(text)] for text in counts])
        return np.repeat(bits, list(counts.values()), axis=0)


def noisy(device: Device, operations: Sequence[Operation], qubits: Sequence[int], exact: bool) -> QuantumCircuit:
    """The operations, each followed by its noise, on qubits 0, 1, ... in place of the device's `qubits`."""
    circuit = QuantumCircuit(len(qubits))
    place = {qubit: index for index, qubit in enumerate(qubits)}
    for operation in operations:
        where = [place[qubit] for qubit in operation.qubits]
        circuit.append(gate(operation.name, operation.parameters), where, copy=False)
        noise = device.after(operation, exact)
        if noise is not None:
            circuit.append(noise, where, copy=False)
    return circuit


def _saving(device: Device, circuit: NoisyCircuit) -> QuantumCircuit:
    operations, qubits = seen(circuit)
    built = noisy(device, operations, qubits, exact=True)
    built.save_probabilities([qubits.index(place) for place in circuit.places])
    return built


def _too_long(circuit: NoisyCircuit, shots: int) -> str:
    reason = too_wide(circuit, TRAJECTORY_QUBITS, "a trajectory holds", "use Pauli propagation")
    if reason:
        return reason
    operations, qubits = seen(circuit)
    if len(operations) * shots * 2.0 ** len(qubits) > MAX_AMPLITUDE_STEPS:
        return (
            f"{shots} trajectories of {len(operations)} gates on {len(qubits)} qubits would take hours, the limit is "
            f"{MAX_AMPLITUDE_STEPS:.0e} gates x trajectories x amplitudes; use Pauli propagation"
        )
    return ""


def _run(circuits: Sequence[QuantumCircuit], method: str, **options: Any) -> Any:
    result = AerSimulator(method=method, device=_hardware(), **options).run(list(circuits)).result()
    if not result.success:
        raise EmError(f"Aer's {method} simulation failed: {result.status}")
    return result


@lru_cache(maxsize=1)
def _hardware() -> str:
    """A GPU if Aer was built for one and sees it."""
    return "GPU" if "GPU" in AerSimulator().available_devices() else "CPU"
