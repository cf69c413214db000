"""Clifford circuits of any width under Pauli noise, sampled with stim (Gidney 2021, arXiv:2103.02202).

Each gate's noise is replaced by its Pauli twirl: the diagonal of its transfer matrix is kept, so that average gate fidelities
stay and amplitude damping loses its direction.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
import stim  # type: ignore[import-untyped]
from numpy.typing import NDArray
from qiskit.quantum_info import SuperOp

from backends.device import WAIT, Device, Operation, gate
from em.engines.engine import Floats, NoisyCircuit, refuse, seen, uncalibrated
from em.engines.sampling import frequencies
from em.engines.transfer import transfer, unitary

_SIGNS = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])  # whether two of I, X, Y, Z commute

_ROUNDING = 1e-9  # of angles that were computed: pi/2 as 1.5707963267948966

Channels = dict[Operation, tuple[float, ...]]


class CliffordFrames:
    """The engine for Clifford circuits."""

    name = "stim-clifford"
    approximate = True

    def __init__(self) -> None:
        self._channels: WeakKeyDictionary[Device, Channels] = WeakKeyDictionary()

    def refusal(self, device: Device, circuit: NoisyCircuit) -> str:
        """Why it cannot simulate a circuit; empty if it can."""
        return uncalibrated(device, circuit) or _not_clifford(circuit)

    def distributions(self, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
        """Per circuit (2**len(places),): frequencies of the outcomes among `SAMPLES` samples.

        Raises:
            EngineRefusedError: a gate that is not Clifford or not the device's, or too many places.
        """
        return frequencies(self, device, circuits)

    def samples(self, device: Device, circuit: NoisyCircuit, shots: int, seed: int) -> NDArray[np.bool_]:
        """(shots, len(places)): what the places are, before readout errors.

        Raises:
            EngineRefusedError: a gate that is not Clifford or not the device's.
        """
        refuse(0, 1, uncalibrated(device, circuit) or _not_clifford(circuit))
        operations, qubits = seen(circuit)
        place = {qubit: index for index, qubit in enumerate(qubits)}
        built = stim.Circuit()
        for operation in operations:
            where = [place[qubit] for qubit in operation.qubits]
            for step in _frame(operation.name, operation.parameters) or ():
                built.append(step.name, [where[target.value] for target in step.targets_copy()])
            chances = self._twirled(device, operation)
            if chances:
                built.append(f"PAULI_CHANNEL_{len(where)}", where, chances)
        built.append("M", [place[qubit] for qubit in circuit.places])
        return np.asarray(built.compile_sampler(seed=seed).sample(shots))

    def _twirled(self, device: Device, operation: Operation) -> tuple[float, ...]:
        known = self._channels.setdefault(device, {})
        key = operation if operation.name == WAIT else replace(operation, parameters=())
        if key not in known:
            noise = device.after(operation, exact=True)
            known[key] = () if noise is None else pauli_chances(transfer(SuperOp(noise).data))
        return known[key]


def pauli_chances(matrix: Floats) -> tuple[float, ...]:
    """The probabilities of all Pauli errors but the identity in a channel's twirl, the first qubit's letter the slower.

    Args:
        matrix: (4^w, 4^w) transfer matrix; only its diagonal counts.
    """
    signs = _SIGNS if len(matrix) == 4 else np.kron(_SIGNS, _SIGNS)
    return tuple(np.clip(signs @ np.diag(matrix) / len(matrix), 0.0, 1.0)[1:].tolist())


def _not_clifford(circuit: NoisyCircuit) -> str:
    for operation in seen(circuit)[0]:
        if _frame(operation.name, operation.parameters) is None:
            angles = ", ".join(f"{angle:.6g}" for angle in operation.parameters)
            return (
                f"stim simulates Clifford gates only and {operation.name}({angles}) is none; use trajectories or Pauli propagation"
            )
    return ""


@lru_cache(maxsize=1 << 14)
def _frame(name: str, parameters: tuple[float, ...]) -> stim.Circuit | None:
    """The gate in stim's gates on 0 and 1; None if it is not Clifford."""
    signed = unitary(name, parameters)
    if np.abs(signed - signed.round()).max() > _ROUNDING:  # stim's own check lets rz(0.3) pass as the identity
        return None
    matrix = np.asarray(gate(name, parameters).to_matrix(), dtype=np.complex64)
    return stim.Tableau.from_unitary_matrix(matrix, endian="little").to_circuit()
