"""The three ways to run the circuit agree: our batched engine, Qiskit with and without shots, and SamplerQNN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.primitives import StatevectorSampler
from qiskit.quantum_info import Operator, Pauli, Statevector
from qiskit_aer.primitives import SamplerV2 as AerSampler
from qiskit_machine_learning.neural_networks import SamplerQNN
from qiskit_machine_learning.primitives import QMLSampler

from threat.vqc.circuit import Architecture
from threat.vqc.engine import engine
from threat.vqc.errors import VqcError
from threat.vqc.sampling import measured, sampled


def drawn(architecture: Architecture, events: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.uniform(-7, 7, (events, architecture.qubits)), draw.uniform(-4, 4, architecture.weights)


def by_qiskit(architecture: Architecture, angles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    bound, parity = architecture.bound(weights), Pauli(architecture.parity)
    states = [Statevector(bound.assign_parameters(row)) for row in angles]
    return np.array([(1 - state.expectation_value(parity).real) / 2 for state in states])


@settings(max_examples=25, deadline=None)
@given(qubits=st.integers(2, 8), entangled=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_scores_are_qiskits_in_both_precisions(qubits: int, entangled: bool, seed: int) -> None:
    architecture = Architecture(qubits, entangled)
    angles, weights = drawn(architecture, 3, seed)
    expected = by_qiskit(architecture, angles, weights)
    found = engine(architecture).scores(angles, weights)
    assert found == pytest.approx(expected, abs=1e-9)
    single = engine(architecture).scores(angles, weights, np.float32)
    assert single.dtype == np.float32
    assert single == pytest.approx(expected, abs=1e-5)


def test_states_and_unitary_are_qiskits() -> None:
    architecture = Architecture(4)
    angles, weights = drawn(architecture, 2)
    state = Statevector(architecture.feature_map.assign_parameters(angles[1])).data
    assert abs(np.vdot(state, engine(architecture).states(angles)[1])) == pytest.approx(1)
    expected = Operator(architecture.ansatz.assign_parameters(weights)).data
    assert engine(architecture).unitary(weights) == pytest.approx(expected.real, abs=1e-12)


def test_a_batch_of_many_chunks_is_scored_like_its_parts() -> None:
    architecture = Architecture(3)
    angles, weights = drawn(architecture, 1_100)
    whole = engine(architecture).scores(angles, weights)
    assert whole[[0, 600, 1_099]] == pytest.approx(engine(architecture).scores(angles[[0, 600, 1_099]], weights))
    assert engine(architecture).scores(angles[:0], weights).shape == (0,)


@pytest.mark.parametrize("sampler", [AerSampler(seed=7), StatevectorSampler(seed=7)], ids=["aer", "qiskit"])
def test_counts_agree_within_five_standard_errors(sampler: object) -> None:
    architecture, shots = Architecture(4), 4_000
    angles, weights = drawn(architecture, 6)
    exact = engine(architecture).scores(angles, weights)
    found = sampled(sampler, measured(architecture, weights), angles, shots)
    assert (np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / shots)).all()
    assert not np.array_equal(found, exact)


def test_sampler_qnn_agrees() -> None:
    architecture = Architecture(4)
    angles, weights = drawn(architecture, 5)
    network = SamplerQNN(
        circuit=architecture.circuit,
        input_params=architecture.feature_map.parameters,
        weight_params=architecture.ansatz.parameters,
        interpret=lambda outcome: outcome.bit_count() % 2,
        output_shape=2,
        sampler=QMLSampler(),
    )
    assert network.forward(angles, weights)[:, 1] == pytest.approx(engine(architecture).scores(angles, weights), abs=1e-9)


def test_without_entanglement_there_is_no_two_qubit_gate() -> None:
    circuit = Architecture(4, entangled=False).circuit
    assert {item.operation.num_qubits for item in circuit.data} == {1}
    assert Architecture(4).circuit.count_ops()["cx"] == 2 * 6 + 3 * 3


@pytest.mark.parametrize(
    ("angles", "says"),
    [(np.zeros((2, 3)), r"\(events, 4\)"), (np.zeros(4), r"\(events, 4\)"), (np.full((1, 4), np.nan), "finite")],
)
def test_angles_that_do_not_fit_are_refused(angles: np.ndarray, says: str) -> None:
    with pytest.raises(VqcError, match=says):
        engine(Architecture(4)).scores(angles, np.zeros(16))


def test_weights_and_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(VqcError, match="16 weights"):
        engine(Architecture(4)).scores(np.zeros((1, 4)), np.zeros(15))
    with pytest.raises(VqcError, match="2 to 10 qubits"):
        Architecture(11)
