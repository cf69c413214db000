import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_circuits import by_aer, by_density_matrix, device, scrambled
from qiskit.quantum_info import DensityMatrix, Pauli, SuperOp
from scipy.stats import chisquare

from backends.device import Device, Operation, gate
from backends.noise import channel
from em.engines import clifford
from em.engines.aer import AerDensityMatrix, AerTrajectories
from em.engines.clifford import CliffordFrames, pauli_chances
from em.engines.engine import EngineRefusedError, NoisyCircuit
from em.engines.sampling import MAX_PLACES, SAMPLES
from em.engines.transfer import transfer

DEVICE = device(3, seed=9)
RIGHT = np.pi / 2


def _cliffords(seed: int, width: int = 3, gates: int = 12) -> tuple[Operation, ...]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(gates):
        low, high = (int(qubit) for qubit in rng.choice(width, 2, replace=False))
        quarter = float(rng.integers(-4, 5)) * RIGHT
        kinds = (("sx", (), (low,)), ("h", (), (low,)), ("rz", (quarter,), (low,)), ("rx", (quarter,), (low,)))
        pairs = (("cx", (), (low, high)), ("cz", (), (low, high)), ("ecr", (), (low, high)), ("rzz", (quarter,), (low, high)))
        found.append(Operation(*(*kinds, *pairs)[rng.integers(8)]))
    return tuple(found)


def _twirled(device: Device, circuit: NoisyCircuit) -> DensityMatrix:
    """Qiskit's density matrix, each noise channel averaged over conjugation with every Pauli string."""
    state = DensityMatrix.from_label("0" * len(device.calibration.qubits))
    for operation in circuit.operations:
        where = list(operation.qubits)
        state = state.evolve(gate(operation.name, operation.parameters), where)
        noise = channel(device.gates[operation.name, operation.qubits], [device.calibration.qubits[qubit] for qubit in where])
        if noise is not None:
            letters = ["".join(pair) for pair in np.array(np.meshgrid(*[list("IXYZ")] * len(where))).reshape(len(where), -1).T]
            strings = [SuperOp(Pauli(text)) for text in letters]
            state = state.evolve(SuperOp(sum((p @ noise @ p).data for p in strings) / len(strings)), where)
    return state


@pytest.mark.parametrize("seed", range(5))
def test_stim_samples_the_twirled_noise(seed: int) -> None:
    circuit = NoisyCircuit(_cliffords(seed), ((2, 0, 1), (1, 2), (0,))[seed % 3])
    bits = CliffordFrames().samples(DEVICE, circuit, 100_000, seed)
    seen = np.bincount(bits @ (1 << np.arange(bits.shape[1])), minlength=2 ** bits.shape[1])
    expected = _twirled(DEVICE, circuit).probabilities(list(circuit.places)) * len(bits)
    possible = expected > 1e-6
    assert seen[~possible].sum() == 0
    assert chisquare(seen[possible], expected[possible] * seen.sum() / expected[possible].sum()).pvalue > 1e-4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]))
def test_error_probabilities_rebuild_the_diagonal(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(4**width))
    letters = [first + second for second in "IXYZ" for first in "IXYZ"] if width == 2 else list("IXYZ")
    mixture = SuperOp(sum(chance * SuperOp(Pauli(text)).data for chance, text in zip(chances, letters, strict=True)))
    found = pauli_chances(transfer(mixture.data))
    by_first = [chances[letters.index(b + a)] for a in "IXYZ" for b in "IXYZ"] if width == 2 else chances
    np.testing.assert_allclose(found, by_first[1:], atol=1e-12)


def test_what_the_twirl_drops_is_the_direction_of_the_damping() -> None:
    decays = NoisyCircuit((Operation("x", (), (1,)), *(Operation("rx", (0.0,), (1,)),) * 30), (1,))
    exact = by_aer(DEVICE, [decays])[0]
    (twirled,) = CliffordFrames().distributions(DEVICE, [decays])
    assert CliffordFrames.approximate
    assert 0.01 < abs(exact[1] - twirled[1]) < 0.5


def test_nearly_clifford_is_not_clifford() -> None:
    engine = CliffordFrames()
    for angle in (0.3, RIGHT + 1e-3, 1e-6):
        odd = NoisyCircuit((Operation("rz", (angle,), (0,)), Operation("sx", (), (0,))), (0,))
        assert "stim simulates Clifford gates only" in engine.refusal(DEVICE, odd)
        with pytest.raises(EngineRefusedError, match=r"rz\("):
            engine.samples(DEVICE, odd, 10, 0)
    hidden = NoisyCircuit((Operation("rz", (0.3,), (1,)), Operation("sx", (), (0,))), (0,))
    assert engine.refusal(DEVICE, hidden) == ""
    assert clifford.CliffordFrames().refusal(DEVICE, NoisyCircuit(_cliffords(1), (0,))) == ""


def test_a_wide_circuit_is_sampled_as_stims_own_circuit() -> None:
    wide = device(40, seed=3, relaxing=False)
    chain = (Operation("h", (), (0,)), *(Operation("cx", (), (qubit, qubit + 1)) for qubit in range(39)))
    circuit = NoisyCircuit(chain, tuple(range(40)))
    own = stim.Circuit("H 0")
    for operation in chain:
        if operation.name == "cx":
            own.append("CX", operation.qubits)
        share = wide.gates[operation.name, operation.qubits].error * (1.5 if len(operation.qubits) == 1 else 1.25)
        own.append(f"DEPOLARIZE{len(operation.qubits)}", operation.qubits, share)
    own.append("M", range(40))
    theirs = own.compile_sampler(seed=1).sample(40_000).mean(axis=0), own.compile_sampler(seed=1).sample(40_000)
    ours = CliffordFrames().samples(wide, circuit, 40_000, seed=2)
    np.testing.assert_allclose(ours.mean(axis=0), theirs[0], atol=0.02)
    pairs = [(bits[:, :-1] ^ bits[:, 1:]).mean(axis=0) for bits in (ours, theirs[1])]
    np.testing.assert_allclose(*pairs, atol=0.012)


def test_trajectories_follow_the_exact_distribution_and_repeat_themselves() -> None:
    circuit = NoisyCircuit(scrambled(3, layers=3, seed=1).operations, (2, 0))
    exact = by_density_matrix(DEVICE, circuit).probabilities([2, 0])
    engine = AerTrajectories()
    first, again = engine.distributions(DEVICE, [circuit])[0], engine.distributions(DEVICE, [circuit])[0]
    assert first.tolist() == again.tolist()
    assert chisquare(first * SAMPLES, exact * SAMPLES).pvalue > 1e-4
    other = engine.samples(DEVICE, circuit, 1000, seed=1), engine.samples(DEVICE, circuit, 1000, seed=2)
    assert other[0].shape == (1000, 2) and other[0].mean() != other[1].mean()


def test_a_place_that_nothing_touches_is_read_as_zero_by_every_engine() -> None:
    circuit = NoisyCircuit((Operation("x", (), (0,)),), (2, 0))
    for engine in (AerDensityMatrix(), AerTrajectories(), CliffordFrames()):
        for empty in (circuit, NoisyCircuit((), (2, 0))):
            (found,) = engine.distributions(DEVICE, [empty])
            assert found[[1, 3]].tolist() == [0, 0] and found.sum() == pytest.approx(1)


def test_the_density_matrix_agrees_with_qiskit_and_keeps_the_order_of_a_long_batch() -> None:
    batch = [NoisyCircuit(scrambled(3, layers=2, seed=seed).operations, ((0, 1, 2), (1,), (2, 0))[seed % 3]) for seed in range(70)]
    found = AerDensityMatrix().distributions(DEVICE, batch)
    for circuit, ours in zip(batch, found, strict=True):
        np.testing.assert_allclose(ours, by_density_matrix(DEVICE, circuit).probabilities(list(circuit.places)), atol=1e-12)


def test_limits_are_named() -> None:
    big = device(26, seed=0, relaxing=False)
    chain = tuple(Operation("cx", (), (qubit, qubit + 1)) for qubit in range(25))
    assert "a density matrix holds 12" in AerDensityMatrix().refusal(big, NoisyCircuit(chain, (12,)))
    assert "a trajectory holds 24" in AerTrajectories().refusal(big, NoisyCircuit(chain, (25, 24)))
    assert "take hours" in AerTrajectories().refusal(big, NoisyCircuit(chain[:19] * 20, (19,)))
    many = NoisyCircuit((), tuple(range(MAX_PLACES + 1)))
    for engine in (AerTrajectories(), CliffordFrames()):
        assert engine.refusal(big, many) == "" and engine.samples(big, many, 5, 0).shape == (5, MAX_PLACES + 1)
        with pytest.raises(EngineRefusedError, match=f"at most {MAX_PLACES}"):
            engine.distributions(big, [many])
    with pytest.raises(EngineRefusedError, match=r"circuit 1 of 2: .*holds 12"):
        AerDensityMatrix().distributions(big, [NoisyCircuit((), (0,)), NoisyCircuit(chain, (25,))])
