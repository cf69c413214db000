import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_circuits import by_density_matrix, circuits, device, scrambled
from qiskit.quantum_info import Pauli

from backends.device import Operation
from em.engines.engine import EngineRefusedError, NoisyCircuit
from em.engines.pauli_transfer import PauliTransfer
from em.engines.propagation import MAX_PLACES, MAX_QUBITS, PauliPropagation

DEVICES = {width: device(width, seed=width) for width in (1, 2, 3, 4)}


def _layout(pauli: str, places: tuple[int, ...], width: int) -> Pauli:
    """The string on the whole device: place k has the letter k from the right."""
    letters = ["I"] * width
    for place, letter in zip(places, reversed(pauli), strict=True):
        letters[width - 1 - place] = letter
    return Pauli("".join(letters))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), width=st.sampled_from(sorted(DEVICES)), smallest=st.sampled_from([0.0, 1e-6, 1e-2]))
def test_expectations_are_qiskits_within_what_was_discarded(data: st.DataObject, width: int, smallest: float) -> None:
    circuit = data.draw(circuits(width))
    paulis = data.draw(st.lists(st.text("IXYZ", min_size=len(circuit.places), max_size=len(circuit.places)), max_size=4))
    state = by_density_matrix(DEVICES[width], circuit)
    found = PauliPropagation(smallest).expectations(DEVICES[width], circuit, paulis)
    for pauli, ours in zip(paulis, found, strict=True):
        theirs = state.expectation_value(_layout(pauli, circuit.places, width)).real
        assert abs(ours.value - theirs) <= ours.discarded + 1e-11
        assert ours.discarded <= 1e-12 or smallest > 0


def test_few_terms_kept_say_what_they_left_out() -> None:
    circuit = scrambled(4, layers=6, seed=3)
    exact = by_density_matrix(DEVICES[4], circuit).expectation_value(Pauli("ZZII")).real
    everything = PauliPropagation(0.0).expectations(DEVICES[4], circuit, ["ZZII"])[0]
    few = PauliPropagation(0.0, most=20).expectations(DEVICES[4], circuit, ["ZZII"])[0]
    assert everything.terms > 100 and few.terms == 20
    assert 0 < abs(few.value - exact) <= few.discarded
    assert everything.value == pytest.approx(exact, abs=1e-12)


def test_what_is_dropped_before_equal_strings_are_merged_is_counted_too() -> None:
    circuit = NoisyCircuit((Operation("rx", (0.02,), (0,)), Operation("cx", (), (0, 1))), (0,))
    (found,) = PauliPropagation(smallest=0.3).expectations(DEVICES[2], circuit, ["Z"])
    assert found.terms == 1 and 0.01 < found.discarded < 0.03


@settings(max_examples=20, deadline=None)
@given(circuit=circuits(3))
def test_a_distribution_is_that_of_the_exact_engine(circuit: NoisyCircuit) -> None:
    (ours,) = PauliPropagation(0.0).distributions(DEVICES[3], [circuit])
    np.testing.assert_allclose(ours, PauliTransfer().distributions(DEVICES[3], [circuit])[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_thirty_qubits_without_noise_agree_with_stims_tableau(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wide = device(30, seed=0, relaxing=False)
    silent = type(wide)(
        wide.calibration.model_copy(
            update={"gates": tuple(row.model_copy(update={"error": 0.0}) for row in wide.calibration.gates)}
        )
    )
    simulator, operations = stim.TableauSimulator(), []
    simulator.set_num_qubits(30)
    for _ in range(200):
        low, high = (int(qubit) for qubit in rng.choice(30, 2, replace=False))
        name = str(rng.choice(["sx", "x", "h", "cx", "cz"]))
        operations.append(Operation(name, (), (low, high) if name in {"cx", "cz"} else (low,)))
        {"sx": simulator.sqrt_x, "x": simulator.x, "h": simulator.h, "cx": simulator.cx, "cz": simulator.cz}[name](
            *operations[-1].qubits
        )
    places = tuple(range(30))
    stabilizers = list(simulator.canonical_stabilizers())[:5]
    strings = [str(stabilizer)[1:].replace("_", "I")[::-1] for stabilizer in stabilizers]
    strings.append("".join(rng.choice(list("XYZ"), 30)))
    found = PauliPropagation().expectations(silent, NoisyCircuit(tuple(operations), places), strings)
    expected = [float(stabilizer.sign.real) for stabilizer in stabilizers]
    expected.append(float(simulator.peek_observable_expectation(stim.PauliString(strings[-1][::-1]))))
    assert [item.value for item in found] == pytest.approx(expected, abs=1e-12)
    assert all(item.discarded < 1e-9 for item in found)


def test_limits_are_named() -> None:
    big = device(MAX_QUBITS + 2, seed=0, relaxing=False)
    chain = tuple(Operation("cx", (), (qubit, qubit + 1)) for qubit in range(MAX_QUBITS + 1))
    engine = PauliPropagation()
    assert f"holds {MAX_QUBITS}" in engine.refusal(big, NoisyCircuit(chain, (0, MAX_QUBITS)))
    assert f"those of {MAX_PLACES}" in engine.refusal(big, NoisyCircuit((), tuple(range(MAX_PLACES + 1))))
    with pytest.raises(EngineRefusedError, match="'ZX' is no string of 1 letters"):
        engine.expectations(DEVICES[2], NoisyCircuit((), (0,)), ["ZX"])
    with pytest.raises(EngineRefusedError, match="'Q' is no string"):
        engine.expectations(DEVICES[2], NoisyCircuit((), (0,)), ["Q"])
    with pytest.raises(EngineRefusedError, match="swap on 0, 1"):
        engine.distributions(DEVICES[2], [NoisyCircuit((Operation("swap", (), (0, 1)),), (0,))])
