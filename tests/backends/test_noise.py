"""The oracle is Qiskit Aer's own device model, built from the vendor's properties by other code."""

import numpy as np
import pytest
from qasm_sources import ising
from qiskit import QuantumCircuit
from qiskit.quantum_info import SuperOp, average_gate_fidelity
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_readout_errors
from qiskit_ibm_runtime.fake_provider import FakeLagosV2, FakeManilaV2

from backends import ibm_fake
from backends.device import Device, gate
from backends.noise import channel, confusion, noise_model

EXACT = 1e-9
"""Both are deterministic; what differs is rounding in Kraus decompositions."""


def _probabilities(circuit: QuantumCircuit, noise: NoiseModel) -> np.ndarray:
    result = AerSimulator(method="density_matrix", noise_model=noise, max_parallel_threads=1).run(circuit, shots=1).result()
    return np.asarray(result.data()["probabilities"])


@pytest.mark.parametrize("steps", [1, 4])
def test_a_whole_circuit_has_the_probabilities_of_aers_device_model(steps: int) -> None:
    calibration = ibm_fake.snapshot("fake_manila")
    circuit = QuantumCircuit(5)
    for operation in Device(calibration).compile(ising(5, steps), seed=0, level=1).operations:
        circuit.append(gate(operation.name, operation.parameters), operation.qubits)
    circuit.save_probabilities()
    expected = _probabilities(circuit, NoiseModel.from_backend(FakeManilaV2()))
    assert np.abs(expected - _probabilities(circuit, NoiseModel())).max() > 0.01
    np.testing.assert_allclose(_probabilities(circuit, noise_model(calibration)), expected, atol=EXACT)


def test_readout_errors_are_aers() -> None:
    calibration = ibm_fake.snapshot("fake_manila")
    errors = {qubits[0]: error for qubits, error in basic_device_readout_errors(FakeManilaV2().properties())}
    for index, qubit in enumerate(calibration.qubits):
        np.testing.assert_allclose(confusion(qubit), np.asarray(errors[index].probabilities).T, atol=1e-12)


def test_each_gates_average_infidelity_is_what_the_vendor_reports() -> None:
    calibration = ibm_fake.snapshot("fake_jakarta")
    noisy = [row for row in calibration.gates if row.name != "rz"]
    assert {len(row.qubits) for row in noisy} == {1, 2}
    for row in noisy:
        qubits = [calibration.qubits[qubit] for qubit in row.qubits]
        noise = channel(row, qubits)
        assert noise is not None
        assert noise.is_cptp(atol=1e-9)
        relaxation = channel(row.model_copy(update={"error": 0.0}), qubits)
        least = 0.0 if relaxation is None else 1 - average_gate_fidelity(relaxation)
        assert 1 - average_gate_fidelity(noise) == pytest.approx(max(row.error, least), abs=1e-10)


def test_a_two_qubit_gates_relaxation_goes_to_the_right_qubit() -> None:
    calibration = ibm_fake.snapshot("fake_manila")
    row = next(row for row in calibration.gates if row.qubits == (1, 0)).model_copy(update={"error": 0.0, "duration_seconds": 1e-4})
    lasting = calibration.qubits[0].model_copy(update={"t1_seconds": None, "t2_seconds": None})
    noise = channel(row, [calibration.qubits[1], lasting])  # only the gate's first qubit, the least significant, decays
    assert noise is not None
    rho = SuperOp(noise).data @ np.eye(16)[:, 15]  # |11><11|, column-stacked
    populations = np.diag(rho.reshape(4, 4))
    assert populations[2].real > 0.3
    assert abs(populations[1]) < 1e-12


def test_the_other_family_of_snapshots_too() -> None:
    expected = NoiseModel.from_backend(FakeLagosV2())._local_quantum_errors["cx"]
    terms = ibm_fake.terms_of("fake_jakarta")
    calibration = ibm_fake.from_properties(
        "fake_lagos", "ibm_fake", ibm_fake.shipped("lagos", "props"), ibm_fake.shipped("lagos", "conf"), terms
    )
    for row in calibration.gates:
        if row.name == "cx":
            noise = channel(row, [calibration.qubits[qubit] for qubit in row.qubits])
            assert noise is not None
            np.testing.assert_allclose(noise.data, SuperOp(expected[row.qubits]).data, atol=EXACT)
