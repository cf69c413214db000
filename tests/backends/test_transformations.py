"""What is done to compiled operations keeps their unitary: qiskit's Operator says so, on three kinds of two-qubit gate."""

from collections import Counter
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qasm_sources import HEADER, ising
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Pauli, SuperOp

from backends import aer, ibm_fake
from backends.adapter import Run, Work
from backends.cancellation import light_cone
from backends.decoupling import SEQUENCES, decoupled
from backends.device import Device, Operation, gate
from backends.errors import WorkRefusedError
from backends.folding import FOLDINGS, folded
from backends.frames import CONJUGATIONS, Frames, conjugated
from backends.noise import pauli_inverse
from backends.preparation import Prepared, prepare
from backends.simulation import Simulator
from backends.timing import critical_path
from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration

QUBITS = 3
NOISY = ("sx", "x", *CONJUGATIONS)

one = st.one_of(
    st.builds(
        lambda angle, qubit: Operation("rz", (angle,), (qubit,)), st.sampled_from([0.3, -1.1, np.pi]), st.integers(0, QUBITS - 1)
    ),
    st.builds(lambda name, qubit: Operation(name, (), (qubit,)), st.sampled_from(["sx", "x"]), st.integers(0, QUBITS - 1)),
)
two = st.builds(
    lambda name, pair: Operation(name, (), tuple(pair)),
    st.sampled_from(sorted(CONJUGATIONS)),
    st.permutations(range(QUBITS)).map(lambda order: order[:2]),
)
programs = st.lists(st.one_of(one, two), min_size=1, max_size=14)


def _operator(operations) -> Operator:
    circuit = QuantumCircuit(QUBITS)
    for operation in operations:
        circuit.append(gate(operation.name, operation.parameters), operation.qubits)
    return Operator(circuit)


def _noisy(operations) -> Counter:
    return Counter(operation.name for operation in operations if operation.name in NOISY)


def _device(t1: float | None = None, t2: tuple[float | None, ...] = (None,) * QUBITS) -> Device:
    """Every gate on three qubits, with depolarising noise alone unless T1 or T2 is given."""
    qubits = tuple(
        QubitCalibration(t1_seconds=t1, t2_seconds=each, prob_meas1_prep0=0.0, prob_meas0_prep1=0.0, readout_seconds=1e-6)
        for each in t2
    )
    gates = [
        GateCalibration(name=name, qubits=(index,), error=error, duration_seconds=seconds)
        for index in range(QUBITS)
        for name, error, seconds in (("rz", 0.0, 0.0), ("sx", 0.002, 3e-8), ("x", 0.002, 3e-8))
    ]
    gates += [
        GateCalibration(name=name, qubits=(low, high), error=0.03, duration_seconds=3e-7)
        for name in CONJUGATIONS
        for low, high in product(range(QUBITS), repeat=2)
        if low != high
    ]
    return Device(
        CalibrationUpdated(
            backend="three",
            provider="aer",
            calibration_id="three",
            taken_at=datetime(2026, 1, 1, tzinfo=UTC),
            qubits=qubits,
            gates=tuple(gates),
            basis_gates=("rz", "sx", "x", "cx"),
        )
    )


@given(programs, st.sampled_from(sorted(FOLDINGS)), st.sampled_from([1, 3, 5]))
def test_odd_folding_keeps_the_unitary_and_multiplies_every_noisy_gate(program, fold, scale):
    steps = folded(program, scale, fold)
    assert _operator(steps).equiv(_operator(program))
    assert _noisy(steps) == Counter({name: scale * count for name, count in _noisy(program).items()})


@given(programs, st.floats(1, 7))
def test_gate_folding_meets_any_scale_to_one_gate_of_each_kind(program, scale):
    steps = folded(program, scale, "gate")
    assert _operator(steps).equiv(_operator(program))
    for name, count in _noisy(program).items():
        assert abs(_noisy(steps)[name] - scale * count) <= 1.0 + 1e-9


@given(programs, st.floats(1, 7))
def test_layer_folding_at_any_scale_keeps_the_unitary(program, scale):
    assert _operator(folded(program, scale, "layer")).equiv(_operator(program))


def test_folds_act_where_they_say():
    a, b, c = (Operation("cx", (), pair) for pair in ((0, 1), (1, 2), (0, 1)))
    assert folded([a, b], 3, "global") == (a, b, b, a, a, b)
    assert folded([a, b], 3, "gate") == (a, a, a, b, b, b)
    assert folded([a, b, c], 5 / 3, "gate") == (a, b, c, c, c)
    left, right = Operation("x", (), (0,)), Operation("x", (), (1,))
    assert folded([left, right, a], 3, "layer") == (left, right, right, left, left, right, a, a, a)
    assert folded([a], 0, "gate") == ()


@pytest.mark.parametrize("name", CONJUGATIONS)
def test_the_conjugation_table_is_the_gates_own(name):
    unitary = Operator(gate(name, ()))
    bits = list(product([False, True], repeat=2))
    for first, second in product(bits, repeat=2):
        before, after = (
            Pauli(([z for _, z in paulis], [x for x, _ in paulis]))
            for paulis in ([first, second], conjugated(name, [first, second]))
        )
        assert (unitary @ Operator(before) @ unitary.adjoint()).equiv(Operator(after))


@given(programs, st.integers(0, 2**32))
def test_twirling_keeps_the_unitary_and_every_two_qubit_gate(program, seed):
    steps = Frames(program).drawn(np.random.default_rng(seed))
    assert _operator(steps).equiv(_operator(program))
    assert [step for step in steps if len(step.qubits) == 2] == [step for step in program if len(step.qubits) == 2]
    assert _noisy(steps)["sx"] == _noisy(program)["sx"]


def test_a_twirl_puts_every_pauli_around_a_gate_equally_often():
    """The frame just before the gate, seen on |000> turned to X and Y eigenstates by sx: all sixteen Paulis, each 1/16."""
    seen = Counter()
    plain = Operation("cx", (), (0, 1))
    for seed in range(1600):
        steps = Frames([plain]).drawn(np.random.default_rng(seed))
        before = steps[: steps.index(plain)]
        seen[tuple(sorted((step.name, step.qubits) for step in before))] += 1
    assert len(seen) == 16
    assert max(abs(count - 100) for count in seen.values()) < 50


def test_twirling_makes_a_coherent_error_a_pauli_channel():
    """An over-rotating cx: its average over twirls has a diagonal Pauli transfer matrix, the plain one has not."""
    wrong = QuantumCircuit(2)
    wrong.cx(0, 1)
    wrong.rzx(0.4, 0, 1)
    ideal = QuantumCircuit(2)
    ideal.cx(0, 1)
    total = np.zeros((16, 16), dtype=complex)
    for seed in range(400):
        circuit = QuantumCircuit(2)
        for step in Frames([Operation("cx", (), (0, 1))]).drawn(np.random.default_rng(seed)):
            if step.name == "cx":
                circuit.compose(wrong, inplace=True)
            else:
                circuit.append(gate(step.name, step.parameters), step.qubits)
        total += SuperOp(Operator(circuit)).data / 400
    basis = np.array([Pauli(a + b).to_matrix().reshape(-1, order="F") / 2 for a in "IXYZ" for b in "IXYZ"]).T
    plain, twirled = (
        basis.conj().T @ channel @ SuperOp(Operator(ideal)).data.conj().T @ basis
        for channel in (SuperOp(Operator(wrong)).data, total)
    )
    off = [np.abs(matrix - np.diag(np.diag(matrix))).max() for matrix in (plain, twirled)]
    assert off[0] > 0.3
    assert off[1] < 0.1
    np.testing.assert_allclose(np.diag(twirled), np.diag(plain), atol=1e-9)


@given(programs, st.sampled_from(sorted(SEQUENCES)))
def test_decoupling_keeps_the_unitary_and_the_duration(program, sequence):
    device = _device()
    steps = decoupled(device, program, sequence)
    assert _operator(steps).equiv(_operator(program))
    before, after = (critical_path(each, device.durations) for each in (program, steps))
    assert after == pytest.approx(before, abs=1e-15)


def test_idle_times_are_filled_and_only_those_that_are_long_enough():
    cx, x = Operation("cx", (), (0, 1)), Operation("x", (), (2,))
    steps = decoupled(_device(), [x, cx, Operation("cx", (), (1, 2))], "XX")
    assert [step.qubits for step in steps if step.name == "x"] == [(2,), (0,), (0,)]  # qubit 2 waits in |0>
    assert decoupled(_device(), [Operation("x", (), (0,)), Operation("sx", (), (1,))], "XX") == (
        Operation("x", (), (0,)),
        Operation("sx", (), (1,)),
    )
    with pytest.raises(WorkRefusedError, match="no decoupling sequence 'CPMG'; there are XX, XY4"):
        decoupled(_device(), [], "CPMG")


@pytest.mark.parametrize(("name", "qubits"), [("sx", (0,)), ("cx", (0, 1))])
def test_the_inverse_of_depolarising_noise_is_the_published_one(name, qubits):
    """Temme et al. 2017: with fidelity f of every Pauli, the identity gets (1 + (D - 1) / f) / D, D = 4^n."""
    device = _device()
    inverse = device.inverse(name, qubits)
    fidelity = 1 - device.gates[name, qubits].error * 2 ** len(qubits) / (2 ** len(qubits) - 1)
    size = 4 ** len(qubits)
    expected = np.full(size, (1 - 1 / fidelity) / size)
    expected[0] = (1 + (size - 1) / fidelity) / size
    np.testing.assert_allclose(inverse, expected, atol=1e-12)
    assert device.inverse("rz", (0,)) is None


def test_the_inverse_undoes_the_twirl_of_a_channel_that_is_no_mixture_of_paulis():
    device = _device(t1=2e-6, t2=(1e-6, 3e-6, None))
    noise = SuperOp(device.noise("cx", (0, 1), exact=True))
    inverse = pauli_inverse(noise)
    paulis = [Pauli(high + low).to_matrix() for high in "IXYZ" for low in "IXYZ"]
    twirled = sum(SuperOp(np.kron(p.conj(), p)).compose(noise).compose(SuperOp(np.kron(p.T, p.conj().T))).data for p in paulis) / 16
    undone = sum(weight * np.kron(p.conj(), p) for weight, p in zip(inverse, paulis, strict=True)) @ twirled
    np.testing.assert_allclose(undone, np.eye(16), atol=1e-12)


def test_noise_that_leaves_nothing_has_no_inverse():
    with pytest.raises(WorkRefusedError, match="cannot be cancelled"):
        pauli_inverse(SuperOp(np.full((4, 4), 0.0) + np.outer([1, 0, 0, 1], [1, 0, 0, 1]) / 2))


def test_a_light_cone_is_what_reaches_the_places():
    program = [Operation("cx", (), (0, 1)), Operation("x", (), (2,)), Operation("cx", (), (1, 2)), Operation("x", (), (0,))]
    assert light_cone(program, [2]) == [True, True, True, False]
    assert light_cone(program, [0]) == [True, False, False, True]


def _aer_prepared(run: Run) -> Prepared:
    device = Device(aer.snapshot("aer_noisy"))
    return prepare(device, Work((ising(3, 2),), (run,), seed=0), run)


def test_a_pec_sample_weighs_the_product_of_its_gates_costs_and_a_sign():
    weights = np.array([_aer_prepared(Run(0, 1, basis="ZZZ", twirl=seed, pec=seed)).weight for seed in range(60)])
    plain = _aer_prepared(Run(0, 1, basis="ZZZ"))
    device = Device(aer.snapshot("aer_noisy"))
    costs = [device.inverse(step.name, step.qubits) for step in plain.operations]
    gamma = np.prod([np.abs(cost).sum() for cost in costs if cost is not None])
    assert np.all(np.abs(weights) >= gamma * (1 - 1e-9))  # an x that a frame needs is one gate more
    assert np.all(np.abs(weights) < gamma * 1.2)
    assert len({*np.sign(weights)}) == 2
    assert plain.weight == 1.0


@pytest.mark.parametrize("basis", ["IXX", "IZZ", "IYY", "IIZ"])
def test_the_average_of_weighted_samples_is_free_of_pauli_noise(basis):
    """Dephasing that differs between the qubits, beside depolarising: a Bell state's stabilisers come back to +-1."""
    device = _device(t2=(4e-6, None, None))
    samples, shots = 500, 10**6
    source = HEADER + "qubit[3] q;\nh q[0];\ncx q[0], q[1];\n"
    runs = tuple(Run(0, shots, basis=basis, twirl=seed, pec=seed) for seed in range(samples))
    outcome = Simulator(device).run(Work((source,), (*runs, Run(0, shots, basis=basis)), seed=0))
    *values, raw = [sum((-1) ** text.count("1") * times for text, times in counts.items()) / shots for counts in outcome.counts]
    weighed = np.array(values) * outcome.weights[:-1]
    ideal = {"IXX": 1.0, "IZZ": 1.0, "IYY": -1.0, "IIZ": 0.0}[basis]
    assert abs(weighed.mean() - ideal) < 4 * weighed.std() / np.sqrt(samples)
    assert weighed.std() / np.sqrt(samples) < 0.04
    assert abs(raw - ideal) > 0.05 or basis in {"IZZ", "IIZ"}  # which dephasing leaves alone


def test_what_is_prepared_depends_on_the_seeds_alone():
    first, again, other = (_aer_prepared(Run(0, 1, basis="XZZ", twirl=seed, pec=3)) for seed in (1, 1, 2))
    assert first == again
    assert first.operations != other.operations


def test_a_gate_that_paulis_do_not_pass_is_refused():
    with pytest.raises(WorkRefusedError, match="rzz cannot be twirled"):
        Frames([Operation("rzz", (0.3,), (0, 1))])
    with pytest.raises(WorkRefusedError, match="rx cannot be twirled"):
        Frames([Operation("rx", (0.3,), (0,))])


@pytest.mark.parametrize("name", ["fake_manila", "fake_sherbrooke"])
def test_everything_at_once_still_makes_the_circuit(name):
    """Folded, twirled and decoupled on real devices: the outcomes without noise are those of the plain run."""
    device = Device(ibm_fake.snapshot(name))
    source = HEADER + "qubit[3] q;\nh q[0];\nrx(0.4) q[1];\ncx q[0], q[1];\nry(1.1) q[2];\ncx q[1], q[2];\n"
    plain = Run(0, 1, basis="XYZ")
    found = []
    for run in (plain, Run(0, 1, 3, "XYZ", fold="layer", twirl=4, decoupling="XY4")):
        prepared = prepare(device, Work((source,), (run,), seed=0), run)
        active = sorted({qubit for step in prepared.operations for qubit in step.qubits})
        circuit = QuantumCircuit(len(active))
        for step in prepared.operations:
            circuit.append(gate(step.name, step.parameters), [active.index(qubit) for qubit in step.qubits])
        found.append(np.abs(Operator(circuit).data[:, 0]) ** 2)
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)
