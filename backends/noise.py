"""A snapshot as noise: what every simulation here runs under, and what an auditor rebuilds from the calibration topic.

Per gate: depolarising noise, then thermal relaxation of each of its qubits for the gate's duration (no excited population);
as much of the first as makes the average gate infidelity equal to the reported error, none where relaxation alone exceeds
it (as in Qiskit Aer's device model). rz is a change of frame: no noise. Idle qubits do not decay; where they shall, see
`backends.idling`.
Readout: a confusion matrix per qubit, independent.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit.quantum_info import PTM, Kraus, SuperOp
from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError

from backends.calibration import FAULTY
from backends.errors import WorkRefusedError
from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration

Floats = NDArray[np.float64]
_LEAST_FIDELITY = 0.05


def channel(gate: GateCalibration, qubits: Sequence[QubitCalibration]) -> SuperOp | None:
    """A gate's noise, after the gate, on its qubits in the gate's order (the first is the least significant); None if none."""
    decay = relaxation(qubits[0], gate.duration_seconds)
    for qubit in qubits[1:]:
        decay = relaxation(qubit, gate.duration_seconds).tensor(decay)
    dimension = 2 ** len(qubits)
    process_fidelity = float(np.trace(decay.data).real) / dimension**2
    fidelity = (dimension * process_fidelity + 1) / (dimension + 1)
    strength = dimension * (fidelity - (1 - gate.error)) / (dimension * fidelity - 1)
    strength = min(max(strength, 0.0), dimension**2 / (dimension**2 - 1))
    noise = _depolarising(dimension, strength).compose(decay)
    return None if np.allclose(noise.data, np.eye(dimension**2), atol=1e-15) else noise


def pauli_inverse(noise: SuperOp) -> Floats:
    """(4,) or (16,): the inverse of the Pauli twirl of a gate's noise, a signed mixture of I, X, Y, Z, the first qubit lowest.

    The twirl keeps the diagonal of the Pauli transfer matrix; its inverse has the reciprocals there, and the signs by which
    Paulis commute turn these into the mixture (van den Berg et al. 2023, arXiv:2201.09866, appendix).

    Raises:
        WorkRefusedError: noise that leaves nothing of a Pauli has no inverse.
    """
    fidelities = np.real(np.diag(PTM(noise).data))
    if np.any(fidelities < _LEAST_FIDELITY):
        raise WorkRefusedError("the noise of a gate leaves almost nothing of a Pauli string: it cannot be cancelled")
    commute = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=np.float64)
    signs = commute if len(fidelities) == len(commute) else np.kron(commute, commute)
    return np.asarray(signs @ (1 / fidelities) / len(fidelities), dtype=np.float64)


def noise_model(calibration: CalibrationUpdated) -> NoiseModel:
    """The whole device for Aer, readout included: for auditors. Simulations here build only what a circuit touches."""
    model = NoiseModel(basis_gates=list(calibration.basis_gates))
    for gate in calibration.gates:
        noise = channel(gate, [calibration.qubits[qubit] for qubit in gate.qubits]) if gate.error < FAULTY else None
        if noise is not None:
            model.add_quantum_error(QuantumError(Kraus(noise)), [gate.name], list(gate.qubits), warnings=False)
    for index, qubit in enumerate(calibration.qubits):
        model.add_readout_error(ReadoutError(confusion(qubit).T), [index], warnings=False)
    return model


def confusion(qubit: QubitCalibration) -> NDArray[np.float64]:
    """(read, prepared): column-stochastic."""
    e0, e1 = qubit.prob_meas1_prep0, qubit.prob_meas0_prep1
    return np.array([[1 - e0, e1], [e0, 1 - e1]])


def relaxation(qubit: QubitCalibration, seconds: float) -> SuperOp:
    """Amplitude damping and dephasing for some time, column-stacked (Nielsen and Chuang, section 8.3.5)."""
    decay = 1.0 if not qubit.t1_seconds else np.exp(-seconds / qubit.t1_seconds)
    t2 = min(qubit.t2_seconds or np.inf, 2 * (qubit.t1_seconds or np.inf))  # physics allows no more; some snapshots say more
    coherence = np.exp(-seconds / t2)
    return SuperOp(np.array([[1, 0, 0, 1 - decay], [0, coherence, 0, 0], [0, 0, coherence, 0], [0, 0, 0, decay]], dtype=complex))


def _depolarising(dimension: int, strength: float) -> SuperOp:
    """(1 - strength) identity + strength (everything to the maximally mixed state)."""
    flat = np.eye(dimension).reshape(-1, 1)
    return SuperOp((1 - strength) * np.eye(dimension**2) + strength / dimension * (flat @ flat.T))
