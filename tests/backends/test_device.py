from collections.abc import Callable

import numpy as np
import pytest
from qasm_sources import ghz, ising
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

from backends import ibm_fake
from backends.device import Compiled, Device, gate
from backends.errors import WorkRefusedError
from backends.folding import folded
from backends.qasm import load
from schemas.calibration import CalibrationUpdated


def _circuit(compiled: Compiled, scale: int, qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(qubits)
    for operation in folded(compiled.operations, scale):
        circuit.append(gate(operation.name, operation.parameters), operation.qubits)
    return circuit


@pytest.fixture(scope="module")
def manila() -> Device:
    return Device(ibm_fake.snapshot("fake_manila"))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_compiled_circuit_makes_the_same_state_on_its_places(manila: Device, level: int) -> None:
    compiled = manila.compile(ising(4, 2), seed=5, level=level)
    actual = Statevector(_circuit(compiled, 1, 5)).probabilities(list(compiled.places))
    np.testing.assert_allclose(actual, Statevector(load(ising(4, 2))).probabilities(), atol=1e-9)


@pytest.mark.parametrize("name", ["fake_manila", "fake_sherbrooke"])
@pytest.mark.parametrize("scale", [3, 5])
def test_folding_keeps_the_unitary_and_multiplies_the_noisy_gates(name: str, scale: int) -> None:
    device = Device(ibm_fake.snapshot(name))
    compiled = device.compile(ising(3, 1), seed=0, level=2)
    active = sorted({qubit for operation in compiled.operations for qubit in operation.qubits})
    moved = Compiled(
        tuple(type(o)(o.name, o.parameters, tuple(active.index(q) for q in o.qubits)) for o in compiled.operations), (), ()
    )
    plain, folded = (_circuit(moved, factor, len(active)) for factor in (1, scale))
    assert Operator(plain).equiv(Operator(folded))
    noisy = {name: count for name, count in plain.count_ops().items() if name != "rz"}
    assert noisy
    assert {name: folded.count_ops()[name] for name in noisy} == {name: scale * count for name, count in noisy.items()}


def test_the_same_source_is_compiled_once(manila: Device) -> None:
    first = manila.compile(ghz(3), seed=0, level=2)
    assert manila.compile(ghz(3), seed=0, level=2) is first
    assert manila.compile(ghz(3), seed=1, level=2) is not first


def _faulty_gate(calibration: CalibrationUpdated) -> CalibrationUpdated:
    gates = tuple(row.model_copy(update={"error": 1.0}) if set(row.qubits) == {1, 2} else row for row in calibration.gates)
    return calibration.model_copy(update={"gates": gates})


def _broken_qubit(calibration: CalibrationUpdated) -> CalibrationUpdated:
    broken = calibration.qubits[1].model_copy(update={"operational": False})
    return calibration.model_copy(update={"qubits": (calibration.qubits[0], broken, *calibration.qubits[2:])})


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("fault", [_faulty_gate, _broken_qubit])
def test_faulty_gates_and_broken_qubits_are_never_used(fault: Callable[..., CalibrationUpdated], level: int) -> None:
    """Manila is a line of five: without 1 or 1-2 it has room for three qubits in a row, and none for five."""
    device = Device(fault(ibm_fake.snapshot("fake_manila")))
    if level > 0:  # level 0 does not look where the couplings are
        assert set(device.compile(ghz(3), seed=0, level=level).places[:3]) == {2, 3, 4}
    with pytest.raises(WorkRefusedError):
        device.compile(ghz(5), seed=0, level=level)


def test_real_faults_of_a_real_device_are_avoided() -> None:
    device = Device(ibm_fake.snapshot("fake_washington"))
    faulty = {row.qubits for row in device.calibration.gates if row.error >= 1}
    assert faulty
    compiled = device.compile(ghz(40), seed=0, level=2)
    assert not faulty & {operation.qubits for operation in compiled.operations}


def test_a_circuit_too_wide_for_the_device_is_refused(manila: Device) -> None:
    with pytest.raises(WorkRefusedError, match=r"6 qubits, fake_manila has 5 that work; choose a larger"):
        manila.compile(ghz(6), seed=0, level=2)
