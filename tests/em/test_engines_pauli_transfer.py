import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_circuits import by_aer, by_density_matrix, circuits, device, scrambled

from backends import ibm_fake
from backends.device import Device, Operation
from em.engines.engine import EngineRefusedError, NoisyCircuit
from em.engines.pauli_transfer import MAX_QUBITS, PauliTransfer

DEVICES = {width: device(width, seed=width) for width in (1, 2, 3, 4)}


@settings(max_examples=120, deadline=None)
@given(data=st.data(), width=st.sampled_from(sorted(DEVICES)))
def test_any_circuit_gives_the_probabilities_of_qiskits_density_matrix(data: st.DataObject, width: int) -> None:
    circuit = data.draw(circuits(width))
    (ours,) = PauliTransfer().distributions(DEVICES[width], [circuit])
    theirs = by_density_matrix(DEVICES[width], circuit).probabilities(list(circuit.places))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(batch=st.lists(circuits(3), max_size=8), copies=st.integers(0, 3))
def test_a_batch_gives_what_each_of_its_circuits_gives_alone_in_their_order(batch: list[NoisyCircuit], copies: int) -> None:
    engine = PauliTransfer()
    together = engine.distributions(DEVICES[3], [*batch, *batch[:copies]])
    alone = [engine.distributions(DEVICES[3], [circuit])[0] for circuit in [*batch, *batch[:copies]]]
    assert len(together) == len(alone)
    for ours, single in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours, single, rtol=0, atol=1e-14)


def test_wide_deep_circuits_agree_with_aer_under_the_same_noise_model() -> None:
    wide = device(6, seed=1)
    batch = [scrambled(6, layers=20, seed=seed) for seed in range(4)]
    batch += [NoisyCircuit(batch[0].operations, (5, 0, 3)), NoisyCircuit(batch[0].operations[:40], (2, 1))]
    for ours, theirs in zip(PauliTransfer().distributions(wide, batch), by_aer(wide, batch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def test_circuits_of_one_structure_are_simulated_together_and_keep_their_own_angles() -> None:
    pattern = scrambled(4, layers=5, seed=0).operations
    rng = np.random.default_rng(0)
    batch = [
        NoisyCircuit(
            tuple(Operation("rz", (float(rng.normal()),), o.qubits) if o.name == "rz" else o for o in pattern), (0, 1, 2, 3)
        )
        for _ in range(30)
    ]
    for ours, theirs in zip(PauliTransfer().distributions(DEVICES[4], batch), by_aer(DEVICES[4], batch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_a_real_device_with_its_own_gates_agrees_with_aer() -> None:
    manila = Device(ibm_fake.snapshot("fake_manila"))
    line = [Operation(name, (), (qubit,)) for qubit in range(5) for name in ("sx", "x")]
    line += [Operation("cx", (), (qubit, qubit + 1)) for qubit in range(4)] + [
        Operation("rz", (0.3,), (2,)),
        Operation("sx", (), (2,)),
    ]
    circuit = NoisyCircuit(tuple(line), (4, 2, 0))
    (ours,) = PauliTransfer().distributions(manila, [circuit])
    np.testing.assert_allclose(ours, by_aer(manila, [circuit])[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("places", [(0,), (2, 0), (0, 1, 2)])
def test_no_operations_read_as_zero(places: tuple[int, ...]) -> None:
    (ours,) = PauliTransfer().distributions(DEVICES[3], [NoisyCircuit((), places)])
    assert ours.tolist() == [1.0] + [0.0] * (2 ** len(places) - 1)


def test_an_empty_batch_has_no_distributions() -> None:
    assert PauliTransfer().distributions(DEVICES[1], []) == []


def test_long_chains_on_one_qubit_and_on_one_pair_do_not_lose_precision() -> None:
    chain = [Operation("u", (0.1, 0.2, 0.3), (0,))] * 500 + [Operation("cx", (), pair) for pair in ((0, 1), (1, 0))] * 200
    circuit = NoisyCircuit(tuple(chain), (1, 0))
    (ours,) = PauliTransfer().distributions(DEVICES[2], [circuit])
    np.testing.assert_allclose(ours, by_aer(DEVICES[2], [circuit])[0], rtol=0, atol=1e-11)


def test_qubits_that_cannot_be_seen_do_not_count_towards_the_limit() -> None:
    big = device(MAX_QUBITS + 2, seed=2)
    chain = tuple(Operation("cx", (), (qubit, qubit + 1)) for qubit in range(MAX_QUBITS + 1))
    engine = PauliTransfer()
    seen = NoisyCircuit((*chain, Operation("sx", (), (3,))), (3,))
    assert engine.refusal(big, seen) == ""
    np.testing.assert_allclose(
        engine.distributions(big, [seen])[0],
        engine.distributions(big, [NoisyCircuit((*chain[:3], seen.operations[-1]), (3,))])[0],
        atol=1e-14,
    )
    hidden = NoisyCircuit(chain, (MAX_QUBITS - 1,))
    assert f"{MAX_QUBITS + 1} qubits" in engine.refusal(big, hidden) and f"hold {MAX_QUBITS}" in engine.refusal(big, hidden)
    with pytest.raises(EngineRefusedError, match="circuit 1 of 2"):
        engine.distributions(big, [seen, hidden])


def test_a_gate_that_the_device_does_not_have_is_refused_by_name() -> None:
    odd = NoisyCircuit((Operation("swap", (), (0, 1)),), (0,))
    assert "swap on 0, 1" in PauliTransfer().refusal(DEVICES[2], odd)
    with pytest.raises(EngineRefusedError, match=r"circuit 0 of 1: .*swap on 0, 1"):
        PauliTransfer().distributions(DEVICES[2], [odd])


def test_memory_is_bounded_however_many_circuits_there_are() -> None:
    engine, batch = PauliTransfer(), [scrambled(4, layers=12, seed=seed) for seed in range(5)]
    peaks = []
    for copies in (100, 400):
        many = batch * copies
        tracemalloc.start()
        engine.distributions(DEVICES[4], many)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3_000_000  # 1,500 distributions of 16 numbers more, and the list of them
    assert max(peaks) < 150_000_000
