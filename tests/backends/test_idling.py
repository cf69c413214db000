"""Waits that are noisy: what they do to a qubit, what decoupling saves of it, and the same from every engine."""

import math

import numpy as np
import pytest
from qasm_sources import HEADER
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import thermal_relaxation_error

from backends import aer, idle, registry
from backends.adapter import Run, Work
from backends.device import WAIT, Device
from backends.errors import BackendError
from backends.idling import IdlingDevice, device_of
from backends.preparation import prepare
from backends.simulation import Simulator
from em.engines import NoisyCircuit
from em.engines.choice import ENGINES

T1, T2, CX_SECONDS, SX_SECONDS = 1e-4, 8e-5, 3e-7, 3.5e-8  # of backends/data/aer.json

BUSY = "cx q[1], q[2];\nbarrier q[1], q[2];\n" * 20
HELD = "cx q[0], q[1];\nbarrier q[0], q[1];\n" * 2  # gates are as late as they can be: q[0] must have met q[1] to wait
RAMSEY = HEADER + "qubit[3] q;\nh q[0];\nh q[2];\n" + HELD + BUSY + "cx q[0], q[1];\nh q[0];\n"


def small(detuning_hertz: float) -> IdlingDevice:
    """Three qubits of the noisy Aer device, so that Aer's own noise can be given by hand."""
    whole = aer.snapshot("aer_noisy")
    gates = tuple(row.model_copy(update={"error": 0.0}) for row in whole.gates if max(row.qubits) < 3)
    return IdlingDevice(whole.model_copy(update={"qubits": whole.qubits[:3], "gates": gates}), detuning_hertz)


def by_hand(device: IdlingDevice, circuit: NoisyCircuit) -> np.ndarray:
    """Aer's density matrix with Aer's own relaxation after every gate and wait."""
    built = QuantumCircuit(3)
    for operation in circuit.operations:
        seconds = operation.parameters[0] if operation.name == WAIT else device.durations[operation.name, operation.qubits]
        if operation.name == WAIT:
            built.rz(2 * math.pi * device.detunings_hertz[operation.qubits[0]] * seconds, operation.qubits[0])
        else:
            getattr(built, operation.name)(*operation.parameters, *operation.qubits)
        if seconds:
            for qubit in operation.qubits:
                built.append(thermal_relaxation_error(T1, T2, seconds).to_instruction(), [qubit])
    built.save_probabilities(list(circuit.places))
    return np.asarray(AerSimulator(method="density_matrix").run(built, shots=1).result().data()["probabilities"])


@pytest.mark.parametrize("decoupling", ["", "XX", "XY4"])
@pytest.mark.parametrize("engine", ["pauli-transfer", "aer-density-matrix"])
def test_exact_engines_agree_with_aers_own_relaxation(engine: str, decoupling: str) -> None:
    device = small(20e3)
    run = Run(0, 1000, basis="ZZZ", decoupling=decoupling)
    prepared = prepare(device, Work((RAMSEY,), (run,), 0), run)
    assert any(operation.name == WAIT for operation in prepared.operations)
    circuit = NoisyCircuit(prepared.operations, prepared.places)
    [found] = ENGINES[engine].distributions(device, [circuit])
    np.testing.assert_allclose(found, by_hand(device, circuit), atol=1e-10)


def test_the_executors_simulator_draws_from_the_same_distribution() -> None:
    device, run = small(20e3), Run(0, 400_000, basis="ZZZ")
    work = Work((RAMSEY,), (run,), 3)
    prepared = prepare(device, work, run)
    [exact] = ENGINES["pauli-transfer"].distributions(device, [NoisyCircuit(prepared.operations, prepared.places)])
    device.calibration = device.calibration.model_copy(
        update={
            "qubits": tuple(
                row.model_copy(update={"prob_meas0_prep1": 0.0, "prob_meas1_prep0": 0.0}) for row in device.calibration.qubits
            )
        }
    )
    counts = Simulator(device).run(work).counts[0]
    seen = np.array([counts.get(format(value, "03b"), 0) for value in range(8)]) / run.shots
    np.testing.assert_allclose(seen, exact, atol=5 * 0.5 / math.sqrt(run.shots))


def coherence(detuning_hertz: float, decoupling: str) -> float:
    """How much of a superposition is left, read along its own axis, that waits for twenty cx of the other qubits."""
    source = HEADER + "qubit[3] q;\nsx q[0];\n" + HELD + BUSY
    device, run = small(detuning_hertz), Run(0, 1, basis="IIY", decoupling=decoupling)
    prepared = prepare(device, Work((source,), (run,), 0, optimization_level=0), run)
    [found] = ENGINES["pauli-transfer"].distributions(device, [NoisyCircuit(prepared.operations, prepared.places)])
    return abs(float(found[0] - found[1]))


def test_pulses_undo_a_constant_detuning_and_cannot_undo_relaxation() -> None:
    still, pulsed = coherence(0.0, ""), coherence(0.0, "XX")
    seconds = 22 * CX_SECONDS
    assert still == pytest.approx(math.exp(-seconds / T2), abs=0.01)
    assert pulsed == pytest.approx(still, abs=2e-3)  # nothing gained against what has no memory
    turn = 2 * math.pi * small(200e3).detunings_hertz[0] * 20 * CX_SECONDS
    assert coherence(200e3, "") == pytest.approx(still * math.cos(turn), abs=0.01)
    assert math.cos(turn) < 0.8
    for sequence in ("XX", "XY4"):
        assert coherence(200e3, sequence) == pytest.approx(still, abs=5e-3)


def test_devices_as_they_are_do_not_change_and_idling_ones_are_asked_for_by_name() -> None:
    plain, idling = aer.snapshot("aer_noisy"), idle.snapshot("idle:aer_noisy")
    assert type(device_of(plain)) is Device and type(device_of(idling)) is IdlingDevice
    assert idling.calibration_id == plain.calibration_id
    run = Run(0, 1, basis="ZZZ")
    assert all(step.name != WAIT for step in prepare(Device(plain), Work((RAMSEY,), (run,), 0), run).operations)
    fleet = registry.load(["idle:fake_manila", "fake_manila"], workers=1)
    try:
        tags = {name: fleet[name].submit(Work((RAMSEY,), (Run(0, 4000, basis="ZZZ"),), 0), name) for name in fleet}
        results = {}
        while len(results) < 2:
            results |= {name: found for name, tag in tags.items() if (found := fleet[name].result(tag)) is not None}
    finally:
        fleet.close()
    assert results["fake_manila"].counts != results["idle:fake_manila"].counts
    with pytest.raises(BackendError, match="has no device 'aer_moon'"):
        registry.load(["idle:aer_moon"])
