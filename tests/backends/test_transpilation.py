import pytest
from qasm_sources import ghz, ising
from qiskit import QuantumCircuit

from backends import ibm_fake
from backends.device import Device, gate
from backends.errors import WorkRefusedError
from backends.transpilation import figures


@pytest.mark.parametrize("name", ["fake_manila", "fake_washington"])
def test_figures_are_what_qiskit_counts_in_the_compiled_circuit(name: str) -> None:
    device = Device(ibm_fake.snapshot(name))
    for found in figures(device, ising(5, 2), seed=3):
        compiled = device.compile(ising(5, 2), 3, found.level)
        circuit, fidelity = QuantumCircuit(len(device.calibration.qubits)), 1.0
        for operation in compiled.operations:
            circuit.append(gate(operation.name, operation.parameters), operation.qubits)
            error = {(row.name, row.qubits): row.error for row in device.calibration.gates}
            fidelity *= 1.0 - error[operation.name, operation.qubits]
        for place in compiled.places:
            qubit = device.calibration.qubits[place]
            fidelity *= 1.0 - 0.5 * (qubit.prob_meas0_prep1 + qubit.prob_meas1_prep0)
        counts = circuit.count_ops()
        assert found.depth == circuit.depth(lambda step: step.operation.name != "rz")
        assert found.two_qubit_gates == counts["cx"]
        assert found.one_qubit_gates == sum(counts.values()) - counts["cx"] - counts.get("rz", 0)
        assert found.estimated_fidelity == pytest.approx(fidelity, rel=1e-12)
        assert found.circuit_seconds == pytest.approx(circuit.estimate_duration(device.target, "s"))
        assert found.compile_seconds > 0


def test_harder_levels_do_not_need_more_two_qubit_gates_nor_promise_less() -> None:
    device = Device(ibm_fake.snapshot("fake_washington"))
    easy, _, usual, hard = figures(device, ising(5, 2))
    assert hard.two_qubit_gates <= usual.two_qubit_gates <= easy.two_qubit_gates
    assert min(usual.estimated_fidelity, hard.estimated_fidelity) > easy.estimated_fidelity


def test_a_circuit_that_does_not_fit_is_refused() -> None:
    with pytest.raises(WorkRefusedError, match="6 qubits"):
        figures(Device(ibm_fake.snapshot("fake_manila")), ghz(6))
