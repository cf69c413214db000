"""Methods that change circuits or build their own, against exact values: statevectors, density matrices, drawn decays."""

import math
from functools import cache

import numpy as np
import pytest
from em_jobs import HEADER, ToyDevice, observable
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Operator, SparsePauliOp, Statevector, random_density_matrix

from backends import aer
from backends.device import Device
from backends.qasm import load
from backends.simulation import Simulator
from em import near_clifford
from em.errors import JobInvalidError, MitigationFailedError
from em.ideal import ideal
from em.methods import METHODS, Estimate, Workload
from em.methods.distillation import doubled
from em.near_clifford import training
from em.observables import grouped
from em.planning import planned
from schemas.calibration import CalibrationUpdated

CHAIN = (
    HEADER
    + "qubit[3] q;\n"
    + "h q[0];\n"
    + "".join(
        f"cx q[{i}], q[{i + 1}];\nrz({0.3 + i / 5}) q[{i + 1}];\ncx q[{i}], q[{i + 1}];\nrx({0.7 + i / 3}) q[{i}];\n"
        for i in (0, 1) * 2
    )
)
PURE = DensityMatrix.from_label("r+0").data
SMALL = HEADER + "qubit[2] q;\nrx(0.9) q[0];\ncx q[0], q[1];\nrz(0.4) q[1];\nrx(0.7) q[1];\ncx q[0], q[1];\nrx(0.6) q[0];\n"
Y_STRINGS = [a + b + c for a in "IXYZ" for b in "IXYZ" for c in "IXYZ" if "Y" in a + b + c]
TWO = (observable("h", ZZ=0.5, IZ=0.4, XI=0.3), observable("z", ZI=1.0))
OBSERVABLES = (observable("h", ZZI=0.5, IZZ=-0.3, XII=0.4, III=0.25), observable("z", IIZ=1.0))


def _workload(*sources: str, observables=OBSERVABLES, shots: int = 4000) -> Workload:
    return Workload(len(sources), observables, grouped(observables), shots, sources)


def _pauli_noise(readout: float = 0.0, times: float = 1.0) -> CalibrationUpdated:
    """All qubits coupled, depolarising noise alone, so many times as strong as a device of today has it."""
    found = aer.snapshot("aer_noisy")
    wrong = {"t1_seconds": None, "t2_seconds": None, "prob_meas1_prep0": readout, "prob_meas0_prep1": 2 * readout}
    qubits = tuple(qubit.model_copy(update=wrong) for qubit in found.qubits)
    gates = tuple(gate.model_copy(update={"error": times * gate.error}) for gate in found.gates)
    return found.model_copy(update={"qubits": qubits, "gates": gates})


def _repeated(method: str, simulator: Simulator, workload: Workload, repeats: int, **parameters) -> list[tuple[Estimate, ...]]:
    found = []
    for seed in range(repeats):
        plan = planned(METHODS[method], workload, parameters, seed)
        found.append(METHODS[method].combine(workload, parameters, plan.seeds["twirling"], *_run(simulator, plan.work))[0])
    return found


def _run(simulator: Simulator, work) -> tuple:
    outcome = simulator.run(work)
    return outcome.counts, outcome.weights


def _scores(estimates: list[tuple[Estimate, ...]], index: int, truth: float) -> np.ndarray:
    return np.array([(row[index].value - truth) / row[index].standard_error for row in estimates])


def test_error_cancellation_is_unbiased_under_pauli_noise_and_knows_its_spread() -> None:
    method = "readout-pec"
    simulator, workload = Simulator(Device(_pauli_noise(0.02, 8))), _workload(SMALL, observables=TWO, shots=20_000)
    repeats = 30
    estimates = _repeated(method, simulator, workload, repeats, samples=24)
    for index, truth in enumerate(ideal(SMALL, TWO)):
        scores = _scores(estimates, index, truth)
        assert abs(scores.mean()) < 4 / np.sqrt(repeats)
        assert 0.4 < scores.std() < 1.4  # it is cautious about rare samples that it may not have seen
    raw = _repeated("raw", simulator, _workload(SMALL, observables=TWO, shots=10**7), 1)[0]
    assert any(abs(each.value - truth) > 0.05 for each, truth in zip(raw, ideal(SMALL, TWO), strict=True))


def test_a_twirls_error_holds_the_choice_of_twirls() -> None:
    """At very many shots only that choice is left, under relaxation, which is no Pauli noise."""
    simulator, workload = Simulator(Device(aer.snapshot("aer_noisy"))), _workload(SMALL, observables=TWO, shots=10_000_000)
    truth = np.array([each.value for each in _repeated("twirl", simulator, workload, 1, gate_twirls=240)[0]])
    estimates = _repeated("twirl", simulator, workload, 30, gate_twirls=10)
    for index in range(2):
        scores = _scores(estimates, index, truth[index])
        assert abs(scores.mean()) < 5 / np.sqrt(30)
        assert 0.7 < scores.std() < 1.5
        shots_alone = 1 / np.sqrt(10_000_000)
        assert np.mean([row[index].standard_error for row in estimates]) > 1.5 * shots_alone


@pytest.mark.parametrize("method", ["zne-exponential", "readout-twirl-zne-exponential"])
@pytest.mark.parametrize(("fold", "scales"), [("global", [1, 3, 5]), ("gate", [1, 2, 3]), ("layer", [1, 3, 5])])
def test_whatever_is_folded_the_extrapolation_comes_nearer(method: str, fold: str, scales: list[float]) -> None:
    readout = 0.02 if "readout" in method else 0.0
    simulator, workload = Simulator(Device(_pauli_noise(readout))), _workload(CHAIN, shots=400_000)
    exact = ideal(CHAIN, OBSERVABLES)
    (estimate,) = _repeated(method, simulator, workload, 1, fold=fold, scale_factors=scales)
    (raw,) = _repeated("raw", simulator, workload, 1)
    for each, control, truth in zip(estimate, raw, exact, strict=True):
        assert abs(each.value - truth) < abs(control.value - truth) / 3
        assert abs(each.value - truth) < 0.02


def test_decoupling_costs_its_pulses_errors_where_idle_qubits_do_not_decay() -> None:
    simulator, workload = Simulator(Device(_pauli_noise())), _workload(CHAIN, shots=1_000_000)
    exact = ideal(CHAIN, OBSERVABLES)
    raw, decoupled = (_repeated(method, simulator, workload, 1)[0] for method in ("raw", "dd"))
    for index in range(2):
        assert abs(raw[index].value - exact[index]) < abs(decoupled[index].value - exact[index]) + 0.003
        assert decoupled[index].value == pytest.approx(raw[index].value, abs=0.03)


class TestCorrelated:
    """A readout in which a flip of qubit 0 flips qubit 1 along, next to a third qubit of its own."""

    MATRIX = np.kron(
        np.array([[0.98, 0.06], [0.02, 0.94]]),
        np.array([[0.90, 0.02, 0.03, 0.06], [0.02, 0.92, 0.01, 0.02], [0.02, 0.01, 0.91, 0.02], [0.06, 0.05, 0.05, 0.90]]),
    )
    STATE = np.random.default_rng(5).dirichlet(np.ones(8))
    OBSERVABLES = (observable("zz", IZZ=1.0, ZII=0.5, ZZI=-0.7), observable("z", IIZ=1.0), observable("zzz", ZZZ=1.0))

    def _device(self) -> ToyDevice:
        device = ToyDevice(lambda basis, scale: self.STATE, [np.eye(2)] * 3)
        device._confusion = self.MATRIX
        return device

    @pytest.mark.parametrize("observables", [OBSERVABLES, OBSERVABLES[:1]])
    @pytest.mark.parametrize("ratio", [1.0, 0.03])
    def test_what_goes_wrong_together_is_removed_together(self, observables, ratio: float) -> None:
        workload = Workload(1, observables, grouped(observables), 20_000)
        signs = {
            pauli: np.array([(-1) ** sum(v >> q & 1 for q in range(3) if pauli[-1 - q] == "Z") for v in range(8)])
            for pauli in ("IZZ", "ZII", "ZZI", "IIZ", "ZZZ")
        }
        truths = [sum(term.coefficient * signs[term.pauli] @ self.STATE for term in each.terms) for each in observables]
        repeats = 150
        found = {name: [] for name in ("correlated", "readout")}
        for name, rows in found.items():
            for seed in range(repeats):
                runs = METHODS[name].circuits(workload, {"calibration_ratio": ratio}, seed)
                counts = self._device().counts(runs, np.random.default_rng(seed))
                rows.append(METHODS[name].combine(workload, {"calibration_ratio": ratio}, seed, counts)[0])
        for index, truth in enumerate(truths):
            scores = _scores(found["correlated"], index, truth)
            assert abs(scores.mean()) < 5 / np.sqrt(repeats)
            assert 0.85 < scores.std() < 1.17
        if len(observables) == 3 and ratio == 1.0:
            assert abs(_scores(found["readout"], 0, truths[0]).mean()) > 3

    def test_it_calibrates_every_state_of_a_group(self) -> None:
        runs = METHODS["correlated"].circuits(Workload(1, self.OBSERVABLES, grouped(self.OBSERVABLES), 100), {"group_size": 3}, 0)
        assert sorted(run.flips for run in runs if run.scale == 0) == sorted(
            [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
        )


class TestTraining:
    """Near-Clifford circuits and their exact values: qiskit's statevector says what they are."""

    def test_the_target_is_the_circuit_itself(self) -> None:
        found = training(CHAIN, OBSERVABLES, 6, 2, 3)
        assert Operator(load(found.target)).equiv(Operator(load(CHAIN)))
        assert training(CHAIN, OBSERVABLES, 6, 2, 3) is found
        assert training(CHAIN, OBSERVABLES, 6, 2, 4).sources != found.sources

    @pytest.mark.parametrize(("kept", "widest"), [(3, 12), (0, 12), (3, 0)], ids=["statevector", "Clifford", "stim"])
    def test_exact_values_are_exact(self, monkeypatch: pytest.MonkeyPatch, kept: int, widest: int) -> None:
        monkeypatch.setattr(near_clifford, "STATEVECTOR_QUBITS", widest)
        observables = (*OBSERVABLES, *(observable(pauli.lower(), **{pauli: 1.0}) for pauli in Y_STRINGS))
        training.cache_clear()
        found = training(CHAIN, observables, 8, kept, 1)
        training.cache_clear()
        assert len(found.sources) == 8
        for source, row in zip(found.sources, found.exact, strict=True):
            state = Statevector(load(source))
            for value, each in zip(row, observables, strict=True):
                operator = SparsePauliOp(
                    [t.pauli for t in each.terms], [t.coefficient * bool(t.pauli.strip("I")) for t in each.terms]
                )
                assert value == pytest.approx(state.expectation_value(operator).real, abs=1e-9)
            angles = [item.operation.params[0] for item in load(source).data if item.operation.name == "rz"]
            assert sum(abs(math.remainder(float(angle), math.pi / 2)) > 1e-9 for angle in angles) <= (kept if widest else 0)
        odd = [index + 2 for index, pauli in enumerate(Y_STRINGS) if pauli.count("Y") == 1]
        assert np.abs(found.exact[:, odd]).max() > 0.5

    def test_training_circuits_keep_the_gates_that_are_noisy(self) -> None:
        device = Device(aer.snapshot("aer_noisy"))
        found = training(CHAIN, OBSERVABLES, 6, 2, 3)
        gates = [
            sum(step.name == "cx" for step in device.compile(source, 0, 2).operations) for source in (found.target, *found.sources)
        ]
        assert len(set(gates)) == 1
        assert gates[0] > 0


_exact = cache(lambda body, basis: ideal(body, (observable("o", **{basis: 1.0}),))[0])


def _drawn(workload: Workload, method: str, parameters, seed: int, read) -> tuple[Estimate, ...]:
    """Estimates from counts drawn by what `read` makes of exact values; all observables are single strings."""
    runs, bodies = METHODS[method].circuits(workload, parameters, 1), METHODS[method].bodies(workload, parameters, 1)
    draw, counts = np.random.default_rng([seed, 9]), []
    for run in runs:
        exact = _exact(bodies[run.body], run.basis)
        ones = draw.binomial(run.shots, (1 - read(exact, run.scale)) / 2)
        width = len(run.basis.replace("I", ""))
        counts.append({text: times for text, times in (("0" * width, run.shots - ones), ("0" * (width - 1) + "1", ones)) if times})
    return METHODS[method].combine(workload, parameters, 1, counts)[0]


@pytest.mark.parametrize("method", ["cdr", "vncdr"])
def test_regression_finds_the_value_where_noise_is_what_it_can_learn(method: str) -> None:
    """A fit with an intercept undoes any line; one over scales any decay of two scales without an offset."""
    single = (observable("zz", ZZI=1.0),)
    workload, exact = _workload(CHAIN, observables=single, shots=20_000), ideal(CHAIN, single)[0]
    noisy = {"cdr": lambda v, scale: 0.7 * v + 0.1, "vncdr": lambda v, scale: v * (0.6 * 0.9**scale + 0.4 * 0.5**scale)}[method]
    estimates = [_drawn(workload, method, {"training_ratio": 4.0}, seed, noisy) for seed in range(60)]
    scores = _scores(estimates, 0, exact)
    assert abs(scores.mean()) < 0.6
    assert 0.75 < scores.std() < 1.3
    assert np.mean([abs(row[0].value - exact) for row in estimates]) < abs(noisy(exact, 1) - exact) / 4
    assert np.mean([row[0].raw_value for row in estimates]) == pytest.approx(noisy(exact, 1), abs=0.01)


def test_training_that_teaches_nothing_leaves_the_raw_value_and_says_so() -> None:
    single = (observable("zz", ZZI=1.0),)
    workload = _workload(CHAIN, observables=single, shots=1000)
    estimate = _drawn(workload, "cdr", {}, 0, lambda value, scale: 0.2)[0]
    assert "do not differ" in estimate.note
    assert estimate.value == estimate.raw_value


@pytest.mark.parametrize("method", ["cdr", "vncdr", "vd"])
def test_methods_that_build_circuits_work_on_a_noisy_device(method: str) -> None:
    simulator, workload = Simulator(Device(_pauli_noise())), _workload(CHAIN, shots=100_000)
    (estimate,) = _repeated(method, simulator, workload, 1)
    for each, truth in zip(estimate, ideal(CHAIN, OBSERVABLES), strict=True):
        assert abs(each.value - truth) < abs(each.raw_value - truth) or abs(each.value - truth) < 3 * each.standard_error


class TestDistillation:
    """Two copies of a mixed state: the method must find Tr(O rho^2) / Tr(rho^2), which numpy says."""

    EMPTY = HEADER + "qubit[3] q;\n"
    OBSERVABLES = (observable("a", ZZI=0.5, XIY=-0.8, III=0.25), observable("b", YXZ=1.0, IIY=0.3))

    def _counts(self, rho: DensityMatrix, workload: Workload, shots: float) -> list[dict[str, int]]:
        runs, bodies = METHODS["vd"].circuits(workload, {}, 0), METHODS["vd"].bodies(workload, {}, 0)
        found = []
        for run in runs:
            circuit = load(bodies[run.body])
            state = (rho if circuit.num_qubits == 3 else rho.tensor(rho)).evolve(Operator(circuit))
            for qubit, letter in enumerate(reversed(run.basis)):
                turn = QuantumCircuit(1)
                if letter in "XY":
                    turn.h(0) if letter == "X" else turn.sx(0)
                    state = state.evolve(turn, [qubit])
            read = [qubit for qubit, letter in enumerate(reversed(run.basis)) if letter != "I"]
            chances = state.probabilities_dict(read)
            found.append({text: round(shots * chance) for text, chance in chances.items() if round(shots * chance)})
        return found

    def test_the_ratio_is_that_of_the_squared_state(self) -> None:
        rho = DensityMatrix(0.7 * PURE + 0.3 * random_density_matrix(8, seed=4).data)
        workload = _workload(self.EMPTY, observables=self.OBSERVABLES, shots=10**9)
        estimates = METHODS["vd"].combine(workload, {}, 0, self._counts(rho, workload, 1e9))[0]
        squared = rho.data @ rho.data
        for estimate, each in zip(estimates, self.OBSERVABLES, strict=True):
            operator = SparsePauliOp([t.pauli for t in each.terms], [t.coefficient for t in each.terms]).to_matrix()
            assert estimate.value == pytest.approx((np.trace(operator @ squared) / np.trace(squared)).real, abs=1e-6)
            assert estimate.raw_value == pytest.approx(np.trace(operator @ rho.data).real, abs=1e-6)

    def test_its_error_covers(self) -> None:
        rho = DensityMatrix(0.8 * PURE + 0.2 * np.eye(8) / 8)
        workload = _workload(self.EMPTY, observables=self.OBSERVABLES, shots=4000)
        exact = self._counts(rho, workload, 1e9)
        truth = METHODS["vd"].combine(workload, {}, 0, exact)[0]
        draw, scores = np.random.default_rng(3), []
        for _ in range(150):
            counts = [
                dict(zip(seen, draw.multinomial(4000, np.array([*seen.values()]) / sum(seen.values())).tolist(), strict=True))
                for seen in exact
            ]
            found = METHODS["vd"].combine(workload, {}, 0, counts)[0]
            scores.append([(e.value - t.value) / e.standard_error for e, t in zip(found, truth, strict=True)])
        assert np.all(np.abs(np.mean(scores, axis=0)) < 0.4)
        assert np.all((np.std(scores, axis=0) > 0.85) & (np.std(scores, axis=0) < 1.17))

    def test_a_state_without_purity_is_refused(self) -> None:
        workload = _workload(self.EMPTY, observables=self.OBSERVABLES, shots=100)
        counts = self._counts(DensityMatrix(np.eye(8) / 8), workload, 100)
        with pytest.raises(MitigationFailedError, match="cannot be told from zero"):
            METHODS["vd"].combine(workload, {}, 0, counts)

    def test_two_copies_that_no_device_can_hold_are_refused(self) -> None:
        wide = (observable("o", **{"Z" * 80: 1.0}),)
        with pytest.raises(JobInvalidError, match="twice the circuit's 80 qubits"):
            METHODS["vd"].circuits(Workload(1, wide, grouped(wide), 10), {}, 0)

    def test_both_copies_are_the_circuit(self) -> None:
        alone = load(doubled(CHAIN, "")).copy()
        undo = QuantumCircuit(6)
        for qubit in range(3):
            undo.h(qubit)
            undo.cx(qubit, 3 + qubit)
        state = Statevector(alone).evolve(Operator(undo))
        single = Statevector(load(CHAIN))
        assert state.equiv(single.tensor(single))


@pytest.mark.parametrize("method", ["cdr", "vncdr", "vd"])
def test_methods_that_build_circuits_need_their_sources(method: str) -> None:
    with pytest.raises(JobInvalidError, match="sources"):
        METHODS[method].bodies(Workload(1, OBSERVABLES, grouped(OBSERVABLES), 100), {}, 0)
