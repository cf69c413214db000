import numpy as np
import pytest
from noisy_circuits import device, scrambled

from backends.device import Operation
from em.engines import ENGINES, EngineRefusedError, NoisyCircuit, choose, difference

BIG = device(40, seed=0)


def _line(length: int, turn: float) -> tuple[Operation, ...]:
    return tuple(
        step
        for qubit in range(length - 1)
        for step in (Operation("rz", (turn,), (qubit,)), Operation("sx", (), (qubit,)), Operation("cx", (), (qubit, qubit + 1)))
    )


@pytest.mark.parametrize(
    ("operations", "places", "name"),
    [
        (_line(6, 0.3), (5, 0), "pauli-transfer"),
        (_line(12, 0.3), (11,), "pauli-transfer"),
        (_line(20, np.pi / 2), (19, 0), "stim-clifford"),
        (_line(14, 0.3), (13, 0), "aer-trajectories"),
        (_line(30, 0.3), (29, 28), "pauli-propagation"),
    ],
)
def test_the_first_engine_that_can_is_chosen_and_simulates(
    operations: tuple[Operation, ...], places: tuple[int, ...], name: str
) -> None:
    circuit = NoisyCircuit(operations, places)
    engine = choose(BIG, circuit)
    assert engine.name == name and ENGINES[name] is engine
    if name == "aer-trajectories":
        return  # takes a minute; tests/em/test_engines_sampled.py simulates fewer qubits
    (found,) = engine.distributions(BIG, [circuit])
    assert found.shape == (2 ** len(places),) and found.dtype == np.float64
    assert found.sum() == pytest.approx(1) and found.min() >= -1e-15


def test_what_no_engine_can_do_is_refused_with_every_limit() -> None:
    with pytest.raises(EngineRefusedError) as refused:
        choose(BIG, NoisyCircuit(_line(40, 0.3), tuple(range(40))))
    for name in ENGINES:
        assert f"{name}: " in str(refused.value)
    for limit in ("matrices hold 12", "matrix holds 12", "Clifford gates only", "trajectory holds 24", "those of 6"):
        assert limit in str(refused.value)


def test_a_gate_that_is_not_calibrated_is_refused_by_every_engine() -> None:
    odd = NoisyCircuit((Operation("swap", (), (0, 1)),), (0,))
    for engine in ENGINES.values():
        assert "no calibrated gate swap on 0, 1" in engine.refusal(BIG, odd)
        with pytest.raises(EngineRefusedError, match="swap on 0, 1"):
            engine.distributions(BIG, [odd])
        assert engine.distributions(BIG, []) == []


def test_only_what_stands_between_values_and_noise_model_is_called_approximate() -> None:
    assert {name for name, engine in ENGINES.items() if engine.approximate} == {"stim-clifford", "pauli-propagation"}


def test_the_difference_of_an_approximate_engine_is_measured_where_an_exact_one_can_run() -> None:
    small = device(3, seed=5)
    decays = NoisyCircuit((Operation("x", (), (1,)), *(Operation("rx", (0.0,), (1,)),) * 30), (1,))
    assert 0.02 < (difference(small, decays, ENGINES["stim-clifford"]) or 0) < 0.5
    scramble = NoisyCircuit(scrambled(3, layers=4, seed=0).operations, (0, 2))
    assert (difference(small, scramble, ENGINES["pauli-propagation"]) or 0) < 1e-4
    assert (difference(small, scramble, ENGINES["aer-density-matrix"]) or 0) < 1e-12
    assert difference(BIG, NoisyCircuit(_line(20, np.pi / 2), (19, 0)), ENGINES["stim-clifford"]) is None
