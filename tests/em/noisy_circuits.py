"""Small devices with every kind of noise, circuits on them, and two ways to simulate both that share nothing with the engines."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix
from qiskit_aer import AerSimulator

from backends import aer
from backends.device import Device, Operation, gate
from backends.noise import channel, noise_model
from em.engines.engine import NoisyCircuit
from schemas.calibration import GateCalibration, QubitCalibration

ONE, TURNING, TWO = ("sx", "x", "h"), ("rz", "rx", "p"), ("cx", "cz", "ecr")


def device(qubits: int, seed: int, relaxing: bool = True) -> Device:
    """Every gate on every qubit and pair, each with its own error and duration; some qubits without T1 or T2."""
    rng = np.random.default_rng(seed)
    rows = tuple(
        QubitCalibration(
            t1_seconds=float(rng.uniform(1e-5, 1e-4)) if relaxing and index % 3 < 2 else None,
            t2_seconds=float(rng.uniform(5e-6, 5e-5)) if relaxing and index % 3 else None,
            prob_meas1_prep0=float(rng.uniform(0, 0.05)),
            prob_meas0_prep1=float(rng.uniform(0, 0.1)),
        )
        for index in range(qubits)
    )
    gates = tuple(
        GateCalibration(name=name, qubits=places, error=float(rng.uniform(0, 0.05)), duration_seconds=float(rng.uniform(0, 1e-6)))
        for names, width in (((*ONE, *TURNING, "u"), 1), ((*TWO, "rzz"), 2))
        for name in names
        for places in permutations(range(qubits), width)
    )
    update = {"qubits": rows, "gates": gates, "basis_gates": (*ONE, *TURNING, "u", *TWO, "rzz"), "backend": f"test_{qubits}"}
    return Device(aer.snapshot("aer_noisy").model_copy(update=update))


@st.composite
def circuits(draw: st.DrawFn, width: int, most: int = 25) -> NoisyCircuit:
    """Any gates on a device of some width, and any of its qubits read in any order."""
    angle = st.floats(-7, 7)
    one = st.builds(Operation, st.sampled_from(ONE), st.just(()), st.tuples(st.integers(0, width - 1)))
    turn = st.builds(Operation, st.sampled_from(TURNING), st.tuples(angle), st.tuples(st.integers(0, width - 1)))
    free = st.builds(Operation, st.just("u"), st.tuples(angle, angle, angle), st.tuples(st.integers(0, width - 1)))
    kinds = [one, turn, free]
    if width > 1:
        pair = st.permutations(range(width)).map(lambda qubits: (qubits[0], qubits[1]))
        kinds += [st.builds(Operation, st.sampled_from(TWO), st.just(()), pair)] * 2
        kinds += [st.builds(Operation, st.just("rzz"), st.tuples(angle), pair)]
    operations = draw(st.lists(st.one_of(kinds), max_size=most))
    places = draw(st.permutations(range(width)))[: draw(st.integers(1, width))]
    return NoisyCircuit(tuple(operations), tuple(places))


def scrambled(width: int, layers: int, seed: int) -> NoisyCircuit:
    """Layers of rz, sx, rz on every qubit and of cx on random pairs; all qubits are read."""
    rng = np.random.default_rng(seed)
    operations = []
    for _ in range(layers):
        for qubit in range(width):
            first, last = rng.uniform(-np.pi, np.pi, 2)
            operations += [Operation("rz", (first,), (qubit,)), Operation("sx", (), (qubit,)), Operation("rz", (last,), (qubit,))]
        order = [int(qubit) for qubit in rng.permutation(width)]
        operations += [Operation("cx", (), pair) for pair in zip(order[::2], order[1::2], strict=False)]
    return NoisyCircuit(tuple(operations), tuple(range(width)))


def by_aer(device: Device, circuits: Sequence[NoisyCircuit]) -> list[NDArray[np.float64]]:
    """Aer's exact distributions under the auditors' noise model."""
    simulator = AerSimulator(method="density_matrix", noise_model=noise_model(device.calibration), fusion_enable=False)
    built = [_circuit(device, circuit) for circuit in circuits]
    for circuit, ours in zip(built, circuits, strict=True):
        circuit.save_probabilities(list(ours.places))
    result = simulator.run(built, shots=1).result()
    assert result.success, result.status
    return [np.asarray(result.data(index)["probabilities"]) for index in range(len(built))]


def by_density_matrix(device: Device, circuit: NoisyCircuit) -> DensityMatrix:
    """Qiskit's density matrix, gate by gate."""
    state = DensityMatrix.from_label("0" * len(device.calibration.qubits))
    for operation in circuit.operations:
        state = state.evolve(gate(operation.name, operation.parameters), list(operation.qubits))
        row = device.gates[operation.name, operation.qubits]
        noise = channel(row, [device.calibration.qubits[qubit] for qubit in operation.qubits])
        state = state if noise is None else state.evolve(noise, list(operation.qubits))
    return state


def _circuit(device: Device, ours: NoisyCircuit) -> QuantumCircuit:
    circuit = QuantumCircuit(len(device.calibration.qubits))
    for operation in ours.operations:
        circuit.append(gate(operation.name, operation.parameters), list(operation.qubits))
    return circuit
