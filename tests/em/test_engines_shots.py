import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from noisy_circuits import device, scrambled
from scipy.stats import chisquare

from backends.sampling import misread as misread_one
from backends.sampling import reading
from em.engines.engine import NoisyCircuit
from em.engines.pauli_transfer import PauliTransfer
from em.engines.shots import counts, misread

DEVICE = device(4, seed=7)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_many_readings_at_once_are_each_reading_by_itself(width: int, runs: int, seed: int, one_distribution: bool) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.uniform(0, 1, (runs, width, 2))
    readings = np.stack([chances, 1 - chances], axis=-2)
    distributions = rng.dirichlet(np.ones(2**width), () if one_distribution else runs)
    together = misread(distributions, readings)
    for index in range(runs):
        alone = misread_one(distributions if one_distribution else distributions[index], list(readings[index]))
        np.testing.assert_allclose(together[index], alone, rtol=0, atol=1e-14)


def test_flipped_and_misread_shots_of_a_circuit_follow_the_distribution() -> None:
    circuit = scrambled(4, layers=3, seed=2)
    (exact,) = PauliTransfer().distributions(DEVICE, [NoisyCircuit(circuit.operations, (3, 1))])
    qubits = DEVICE.calibration.qubits
    readings = np.array([reading(qubits[3], True, 0.02), reading(qubits[1], False, 0.0)])
    seen = counts(misread(exact, readings), [20_000, 100], [[5, seed] for seed in range(8)])
    assert seen.shape == (8, 2, 4) and (seen.sum(axis=-1) == [20_000, 100]).all()
    by_hand = sum(
        exact[actual] * np.array([readings[0][read & 1, actual & 1] * readings[1][read >> 1, actual >> 1] for read in range(4)])
        for actual in range(4)
    )
    assert chisquare(seen[:, 0].sum(axis=0), by_hand * 160_000).pvalue > 1e-4


def test_a_seed_gives_its_counts_whatever_stands_beside_it() -> None:
    distribution = np.random.default_rng(0).dirichlet(np.ones(16))
    many = counts(distribution, [100, 1000], [[1, 0], [2, 0]])
    assert (counts(distribution, [100, 1000], [[2, 0]])[0] == many[1]).all()
    assert (many[0] != many[1]).any()
