import numpy as np
import pytest
from qasm_sources import HEADER, ghz, ising
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_aer import AerSimulator
from scipy.stats import chisquare

from backends import aer, ibm_fake, simulation
from backends.adapter import Run, Work
from backends.device import Device, gate
from backends.errors import WorkRefusedError
from backends.noise import noise_model
from backends.qasm import load
from backends.simulation import Simulator
from backends.timing import REPETITION_SECONDS

SHOTS = 200_000


@pytest.fixture
def ideal() -> Simulator:
    return Simulator(Device(aer.snapshot("aer_ideal")))


@pytest.fixture
def manila() -> Simulator:
    return Simulator(Device(ibm_fake.snapshot("fake_manila")))


def _mean_parity(counts: dict[str, int]) -> float:
    return sum((-1) ** text.count("1") * times for text, times in counts.items()) / sum(counts.values())


@pytest.mark.parametrize("basis", ["XYZ", "YYX", "ZXI", "IIY", "XXX", "ZIZ"])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_basis_reads_its_pauli_string(ideal: Simulator, basis: str, scale: int) -> None:
    source = HEADER + "qubit[3] q;\nrx(0.7) q[0];\nry(1.1) q[1];\nrz(0.4) q[1];\nh q[2];\nt q[2];\ncx q[0], q[2];\nsx q[1];\n"
    counts = ideal.run(Work((source,), (Run(0, SHOTS, scale, basis),), seed=3)).counts[0]
    expected = Statevector(load(source)).expectation_value(SparsePauliOp(basis)).real
    assert _mean_parity(counts) == pytest.approx(expected, abs=5 / np.sqrt(SHOTS))


def test_counts_are_spelled_by_classical_bit(ideal: Simulator) -> None:
    source = HEADER + "qubit[3] q;\nbit[2] a;\nbit[2] b;\nx q[2];\na[1] = measure q[2];\nb[0] = measure q[0];\n"
    assert ideal.run(Work((source,), (Run(0, 100),), seed=0)).counts == ({"0010": 100},)
    bare = HEADER + "qubit[3] q;\nx q[0];\n"
    assert ideal.run(Work((bare,), (Run(0, 100),), seed=0)).counts == ({"001": 100},)


def test_flips_are_made_before_reading_and_scale_zero_leaves_the_body_out(ideal: Simulator) -> None:
    runs = (Run(0, 10, 0, "ZZZ"), Run(0, 10, 0, "ZIZ", (0,)), Run(0, 10, 1, "ZZZ", (1, 2)))
    source = HEADER + "qubit[3] q;\nx q[1];\n"
    assert ideal.run(Work((source,), runs, seed=0)).counts == ({"000": 10}, {"01": 10}, {"100": 10})


def test_the_same_seed_gives_the_same_counts_and_each_run_draws_anew(manila: Simulator) -> None:
    work = Work((ising(5, 1),), (Run(0, 1000), Run(0, 1000)), seed=11)
    first, second = manila.run(work).counts
    again = Simulator(Device(ibm_fake.snapshot("fake_manila"))).run(work).counts
    assert (first, second) == again
    assert first != second
    other_seed = Work(work.bodies, work.runs, seed=12)
    assert manila.run(other_seed).counts[0] != first


def _distribution(counts: dict[str, int], qubits: int) -> np.ndarray:
    return np.array([counts.get(format(value, f"0{qubits}b"), 0) for value in range(2**qubits)])


def _aers(device: Device, source: str) -> np.ndarray:
    """What Aer says of the same physical circuit under the auditor's noise model, readout included."""
    compiled = device.compile(source, seed=0, level=2)
    circuit = QuantumCircuit(5, 5)
    for operation in compiled.operations:
        circuit.append(gate(operation.name, operation.parameters), operation.qubits)
    circuit.measure(compiled.places, range(5))
    simulator = AerSimulator(method="density_matrix", noise_model=noise_model(device.calibration), max_parallel_threads=1)
    return _distribution(simulator.run(circuit, shots=SHOTS, seed_simulator=8).result().get_counts(), 5)


@pytest.mark.parametrize("exact_qubits", [12, 0], ids=["density matrix", "trajectories"])
def test_noisy_counts_are_distributed_as_an_auditors_aer_run(
    manila: Simulator, monkeypatch: pytest.MonkeyPatch, exact_qubits: int
) -> None:
    monkeypatch.setattr(simulation, "EXACT_QUBITS", exact_qubits)
    shots = 20_000
    counts = _distribution(manila.run(Work((ghz(5),), (Run(0, shots),), seed=4)).counts[0], 5)
    expected = _aers(manila.device, ghz(5)) / SHOTS * shots
    frequent = expected > 10
    observed, expected = counts[frequent].astype(float), expected[frequent]
    assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-4
    assert counts[~frequent].sum() < 0.02 * shots


def test_folding_multiplies_noise(manila: Simulator) -> None:
    runs = tuple(Run(0, SHOTS, scale, "ZZZZZ") for scale in (1, 3, 5))
    source = HEADER + "qubit[5] q;\n" + "".join(f"cx q[{i}], q[{i + 1}];\n" for i in range(4))
    survival = [counts["00000"] / SHOTS for counts in manila.run(Work((source,), runs, seed=1)).counts]
    assert survival[0] - survival[1] > 0.01  # ten standard errors
    assert survival[1] - survival[2] > 0.01


def test_wide_calibrations_need_no_simulation() -> None:
    simulator = Simulator(Device(ibm_fake.snapshot("fake_washington")))
    source = ghz(100)
    counts = simulator.run(Work((source,), (Run(0, 2000, 0, "Z" * 100),), seed=0)).counts[0]
    errors = [qubit.prob_meas1_prep0 for qubit in simulator.device.calibration.qubits]
    wrong = sum(text.count("1") * times for text, times in counts.items()) / (2000 * 100)
    assert min(errors) < wrong < max(errors)
    assert {len(text) for text in counts} == {100}


def test_execution_seconds_are_what_the_device_would_take(manila: Simulator) -> None:
    source = HEADER + "qubit[2] q;\nx q[0];\ncx q[0], q[1];\n"
    compiled = manila.device.compile(source, seed=0, level=2)
    pair = next(operation.qubits for operation in compiled.operations if operation.name == "cx")
    gates = {(row.name, row.qubits): row.duration_seconds for row in manila.device.calibration.gates}
    flip = next(operation for operation in compiled.operations if operation.name in {"x", "sx"})
    chain = gates["cx", pair] + sum(gates[o.name, o.qubits] for o in compiled.operations if o.qubits == flip.qubits)
    readout = max(manila.device.calibration.qubits[place].readout_seconds for place in compiled.places)
    seconds = manila.run(Work((source,), (Run(0, 300, 1, "ZZ"),), seed=0)).execution_seconds
    assert seconds == pytest.approx(300 * (chain + readout + REPETITION_SECONDS), rel=1e-9)


def test_what_cannot_be_simulated_is_refused_in_a_sentence(manila: Simulator) -> None:
    large = Simulator(Device(ibm_fake.snapshot("fake_washington")))
    with pytest.raises(WorkRefusedError, match="uses 30 qubits"):
        large.run(Work((ghz(30),), (Run(0, 10),), seed=0))
    with pytest.raises(WorkRefusedError, match="hours to simulate"):
        large.run(Work((ghz(20),), (Run(0, 1_000_000),), seed=0))
    with pytest.raises(WorkRefusedError, match="basis of 2 letters for a circuit of 3"):
        manila.run(Work((ghz(3),), (Run(0, 10, 1, "ZZ"),), seed=0))


@pytest.mark.parametrize("bad", [{"shots": 0}, {"shots": 1, "scale": 2}, {"shots": 1, "scale": -1}, {"shots": 1, "basis": "ABZ"}])
def test_impossible_runs_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(WorkRefusedError):
        Run(0, **bad)
