"""The learned method: forecasts, intervals, the novelty test, what ships, and what a job sees of it."""

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from sklearn.neighbors import NearestNeighbors

from backends import aer
from backends.adapter import Run, Work
from backends.device import Device
from backends.forecast import Forecast
from backends.preparation import prepare
from backends.simulation import Simulator
from em.errors import EmError, JobInvalidError
from em.families import family
from em.harness.executions import Executions
from em.learned.cases import SETTINGS, cases
from em.learned.conformal import quantile
from em.learned.devices import CONFORMAL, FITTED, UNSEEN, Drawn, drifted, snapshot
from em.learned.evaluation import lines, scores
from em.learned.features import NAMES
from em.learned.model import DATA, REGRESSORS, described, shipped
from em.learned.novelty import NEIGHBOURS, reference
from em.learned.physical import SCALES, physical
from em.learned.training import Sizes, export, regressors_of, train
from em.methods import METHODS, Workload
from em.methods.learned import TRAINING, TWIRLS, Learned
from em.observables import grouped
from em.planning import planned
from schemas.jobs import Observable, PauliTerm


def observable(name: str, terms: dict[str, float]) -> Observable:
    return Observable(name=name, terms=tuple(PauliTerm(pauli=pauli, coefficient=value) for pauli, value in terms.items()))


def depolarising(error: float, readout: float = 0.0) -> Device:
    """Every two-qubit gate depolarises, and nothing else happens: what is left of a string can be counted by hand."""
    plain = aer.snapshot("aer_noisy")
    gates = tuple(
        row.model_copy(update={"error": error if len(row.qubits) == 2 else 0.0, "duration_seconds": 0.0}) for row in plain.gates
    )
    qubits = tuple(
        row.model_copy(update={"t1_seconds": None, "t2_seconds": None, "prob_meas1_prep0": readout, "prob_meas0_prep1": readout})
        for row in plain.qubits
    )
    return Device(plain.model_copy(update={"gates": gates, "qubits": qubits}))


@pytest.mark.parametrize("links", [1, 2, 4])
def test_a_forecast_of_a_clifford_circuit_is_what_depolarising_gates_leave(links: int) -> None:
    circuit = QuantumCircuit(links + 1)
    circuit.h(0)
    for link in range(links):
        circuit.cx(link, link + 1)
    error = 0.02
    device, work = depolarising(error), Work((qasm3.dumps(circuit),), (), 0)
    everything, first = "X" * (links + 1), "X" * links + "I"
    told = prepare(device, work, Run(0, 1, basis=everything, paulis=(everything, first))).forecast
    assert told is not None
    left = 1 - error * 4 / 3  # average infidelity e of two qubits is depolarising by 4e/3
    assert told.strings[0].attenuation == pytest.approx(left**links, abs=1e-9)
    np.testing.assert_allclose(told.strings[0].moments, left ** (links * np.arange(1, 7)))
    assert told.strings[0].meetings == links
    assert told.strings[0].seen == 1.0
    assert told.strings[1].seen == 0.0  # <X...XI> of a GHZ state is 0: the path ends in a letter that zeros do not see
    assert told.two_qubit_gates == links
    assert told.two_qubit_error == pytest.approx(error)
    assert Forecast.of(json.loads(json.dumps(asdict(told)))) == told


def test_where_a_gate_makes_sums_paths_are_drawn_with_the_squares_of_their_terms() -> None:
    circuit = QuantumCircuit(1)
    angle = 1.1
    circuit.ry(angle, 0)  # <Z> = cos, by the path Z -> Z with chance cos^2; the other ends in X
    told = prepare(depolarising(0.0), Work((qasm3.dumps(circuit),), (), 0), Run(0, 1, basis="Z", paulis=("Z",))).forecast
    assert told is not None
    assert told.strings[0].seen == pytest.approx(np.cos(angle) ** 2, abs=4 * np.sqrt(0.25 / 1024))


@given(st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=60), st.floats(0.5, 0.99))
def test_a_conformal_quantile_is_the_least_score_that_covers_enough_of_one_more_case(scores: list[float], coverage: float) -> None:
    found = quantile(np.array(scores), coverage)
    enough = (len(scores) + 1) * coverage
    assert sum(score <= found for score in scores) + np.isinf(found) >= enough - 1e-9
    lower = [score for score in scores if score < found]
    assert len(lower) < enough


def test_conformal_intervals_cover_new_cases_at_the_promised_rate() -> None:
    draw = np.random.default_rng(0)
    covered = []
    for _ in range(2000):
        known, new = draw.exponential(size=39), draw.exponential()  # 39 cases: (39 + 1) 0.95 = 38, exactly 95 %
        covered.append(new <= quantile(known, 0.95))
    assert np.mean(covered) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 2000))


def test_distances_are_those_of_scikit_learns_neighbours() -> None:
    draw = np.random.default_rng(1)
    rows, new = draw.normal(size=(500, 6)) * np.arange(1, 7), draw.normal(size=(300, 6)) * 10
    ours = reference(rows, 10_000, 0)
    theirs = NearestNeighbors(n_neighbors=NEIGHBOURS).fit((rows - rows.mean(axis=0)) / rows.std(axis=0))
    expected = theirs.kneighbors((new - rows.mean(axis=0)) / rows.std(axis=0))[0].mean(axis=1)
    np.testing.assert_allclose(ours.distances(new), expected, rtol=1e-4)


def test_drift_moves_the_median_gate_error_as_real_devices_do_in_a_day_and_mends_nothing_faulty() -> None:
    plain = snapshot("hanoi")
    changes, before = [], [row.error for row in plain.gates]
    for seed in range(1, 30):
        after = drifted(plain, seed)
        pairs = [(a, b.error) for a, b in zip(before, after.gates, strict=True) if len(b.qubits) == 2]
        assert all(b == 1.0 for a, b in pairs if a == 1.0)
        changes += [abs(b / a - 1) for a, b in pairs if a < 1.0]
        moved = {
            row.qubits: row.error / old for row, old in zip(after.gates, before, strict=True) if row.name == "cx" and old < 1.0
        }
        assert all(moved[pair[::-1]] == pytest.approx(factor) for pair, factor in moved.items() if pair[::-1] in moved)
    assert np.median(changes) == pytest.approx(0.08, abs=0.015)
    assert np.quantile(changes, 0.95) == pytest.approx(0.49, abs=0.12)


def test_a_hidden_rotation_changes_what_is_seen_and_not_what_is_told() -> None:
    (honest, hiding) = (Drawn("jakarta", noise, 5).device() for noise in ("readout", "coherent"))
    assert honest.calibration == hiding.calibration
    case = next(cases({"ising": SETTINGS["ising"]}, range(5, 6), UNSEEN, 9))
    groups = grouped(case.instance.observables)
    work = Work((case.instance.source,), (Run(0, 10**6, basis=groups[0].basis, paulis=groups[0].paulis),), 1)
    results = []
    for device in (honest, hiding):
        executions = Executions(device)
        executions.prepare([work])
        results.append(executions.run(work).result)
    assert results[0].forecasts == results[1].forecasts
    seen = [np.array([result.counts[0].get(f"{outcome:04b}", 0) for outcome in range(16)]) / 1e6 for result in results]
    assert np.abs(seen[0] - seen[1]).max() > 0.01


def test_a_device_on_average_over_twirls_does_what_many_twirls_do() -> None:
    drawn = Drawn("jakarta", "coherent", 5)
    case = next(cases({"ising": SETTINGS["ising"]}, range(5, 6), UNSEEN, 9))
    basis = grouped(case.instance.observables)[0].basis

    def seen(device: Device, *twirls: int | None) -> np.ndarray:
        runs = tuple(Run(0, 10**6 // len(twirls), 3, basis, twirl=twirl, fold="gate") for twirl in twirls)
        executions, work = Executions(device), Work((case.instance.source,), runs, 1)
        executions.prepare([work])
        counts = executions.run(work).result.counts
        return np.array([sum(each.get(f"{outcome:04b}", 0) for each in counts) for outcome in range(16)]) / 1e6

    average = seen(drawn.twirled(), None)
    assert np.abs(seen(drawn.device(), *range(300)) - average).max() < 0.005
    assert np.abs(seen(drawn.device(), None) - average).max() > 0.02


def test_no_device_is_learned_from_and_measured_on() -> None:
    names = [*FITTED, *CONFORMAL, *UNSEEN]
    assert len(set(names)) == len(names)
    drawn = [{case.instance.circuit_hash for case in cases(SETTINGS, range(2), UNSEEN, seed)} for seed in (0, 1, 2)]
    assert not drawn[0] & drawn[1]
    assert not drawn[0] & drawn[2]


def test_the_physical_estimate_is_the_conditional_mean_over_random_paths_and_knows_its_own_error() -> None:
    draw = np.random.default_rng(3)
    strings, paths = 4000, 6
    chances = draw.dirichlet(np.ones(paths), strings) * 0.25
    left = draw.uniform(0.5, 0.9, (strings, paths))
    parts = draw.normal(size=(strings, paths)) * np.sqrt(chances)
    moments = np.array([(chances * left**power).sum(axis=1) / 0.25 for power in range(1, 7)]).T
    variances = np.full((strings, 2), 1e-4)
    read = np.array([(parts * left**scale).sum(axis=1) for scale in SCALES]).T + draw.normal(0, 0.01, (strings, 2))
    found = physical(read, variances, moments, np.full(strings, 0.25))
    off = found.values - np.clip(parts.sum(axis=1), -1, 1)
    usual = np.clip(read[:, 0] * np.sqrt(np.abs(read[:, 0] / read[:, 1])), -1, 1) - parts.sum(axis=1)
    assert np.mean(np.square(off)) == pytest.approx(np.mean(np.square(found.sigmas)), rel=0.15)
    assert np.abs(off).mean() < 0.7 * np.abs(usual).mean()  # exponential extrapolation does not know the paths
    assert found.strength == pytest.approx(1.0, abs=0.03)


@given(st.floats(-1, 1), st.floats(0.3, 0.95), st.floats(1e-5, 1e-3))
@settings(deadline=None, max_examples=30)
def test_with_one_path_the_physical_estimate_undoes_the_attenuation(value: float, left: float, variance: float) -> None:
    read = np.array([[value * left**scale for scale in SCALES]])
    found = physical(read, np.full((1, 2), variance), left ** np.arange(1, 7)[None, :], np.array([100.0]))
    assert found.values[0] == pytest.approx(value, abs=0.02 + 0.15 * abs(value))  # the noise is not quite known
    assert found.sigmas[0] > 0


def test_a_circuit_tells_that_its_noise_is_stronger_than_reported() -> None:
    draw = np.random.default_rng(5)
    values, left = draw.uniform(0.3, 1, 40) * draw.choice([-1, 1], 40), draw.uniform(0.6, 0.8, 40)
    moments = left[:, None] ** np.arange(1, 7)
    for strength in (0.85, 1.0, 1.3):
        read = np.array([values * left ** (scale * strength) for scale in SCALES]).T
        found = physical(read, np.full((40, 2), 1e-5), moments, np.full(40, 0.25))
        assert found.strength == pytest.approx(strength, abs=0.03)
        np.testing.assert_allclose(found.values, values, atol=0.03)


def test_what_is_exported_says_what_scikit_learn_says(tmp_path) -> None:
    draw = np.random.default_rng(2)
    features = draw.normal(size=(3000, len(NAMES))).astype(np.float32)
    wanted = np.sin(features[:, 0]) * features[:, 3] + 0.1 * draw.normal(size=3000)
    for name, regressor in regressors_of(0, Sizes(trees=10, leaves=200)).items():
        export(regressor.fit(features, wanted), tmp_path / f"{name}.onnx")
        session = onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx"))
        new = draw.normal(size=(2000, len(NAMES))).astype(np.float32)
        (said,) = session.run(None, {"features": new})
        assert np.abs(said.reshape(-1) - regressor.predict(new)).max() < 1e-5


TINY = Sizes(random=2, ising=3, vqe=2, copies=1, draws=1, conformal=2, trees=4, leaves=20)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(7, folder, TINY)
    return folder


def test_the_same_seed_gives_the_same_model_and_another_seed_another(trained, tmp_path) -> None:
    again = train(7, tmp_path / "again", TINY)
    assert again.about["model_id"] == json.loads((trained / "model.json").read_text())["model_id"]
    for name in (*REGRESSORS, "spread"):
        assert (trained / f"{name}.onnx").read_bytes() == (tmp_path / "again" / f"{name}.onnx").read_bytes()


def test_an_evaluation_compares_all_methods_on_the_same_observables(trained) -> None:
    only = {"ising + readout": SETTINGS["ising + readout"]}
    found = list(scores(cases(only, range(3, 5), UNSEEN, 1, shots=(4000,)), trained))
    (line,) = lines(found)
    assert line.observables == 4  # two of each circuit
    assert {len([score for score in found if score.method == name]) for name in line.errors} == {4}
    raw = [score.error for score in found if score.method == "raw"]
    assert line.errors["raw"] == pytest.approx(sum(raw) / 4)
    assert line.ratio("raw") == pytest.approx(sum(raw) / sum(score.error for score in found if score.method == "ml-qem"))


def test_a_model_of_other_features_is_refused(trained, tmp_path) -> None:
    about = json.loads((trained / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**about, "features": ["base"]}))
    with pytest.raises(EmError, match="other features"):
        shipped(tmp_path)
    with pytest.raises(EmError, match="no model"):
        described(tmp_path / "nowhere")


def test_what_ships_is_small_is_no_pickle_and_is_what_its_id_says() -> None:
    files = {path.name for path in DATA.iterdir()}
    assert files == {"model.json", "novelty.npz", "card.md", "spread.onnx", *(f"{name}.onnx" for name in REGRESSORS)}
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 5_000_000
    about = json.loads((DATA / "model.json").read_text())
    digests = [
        hashlib.sha256((DATA / name).read_bytes()).hexdigest()
        for name in (*(f"{name}.onnx" for name in REGRESSORS), "spread.onnx", "novelty.npz")
    ]
    scored = {"quantiles": about["quantiles"], "threshold": about["threshold"]}
    assert about["model_id"] == hashlib.sha256(json.dumps([digests, scored]).encode()).hexdigest()
    assert METHODS["ml-qem"].version.endswith(about["model_id"][:12])
    assert about["model_id"][:12] in (DATA / "card.md").read_text()


def unseen(setting: str, number: int):
    """A case that the shipped model was not fitted to, its executions, and the plans of ml-qem and raw with the same seed."""
    case = next(cases({setting: SETTINGS[setting]}, range(number, number + 1), UNSEEN, 41, shots=(10_000,)))
    instance = case.instance
    workload = Workload(1, instance.observables, grouped(instance.observables), case.shots, (instance.source,))
    plans = [planned(METHODS[name], workload, {}, case.seed) for name in ("ml-qem", "raw")]
    executions = Executions(case.drawn.device())
    executions.prepare([plan.work for plan in plans])
    return case, executions, plans


def test_in_range_it_is_closer_than_raw_and_its_intervals_hold() -> None:
    ours, theirs, covered = [], [], []
    for number in range(8, 14):
        case, executions, plans = unseen("ising + readout", number)
        learned, raw = (plan.combine(executions.run(plan.work).result)[0] for plan in plans)
        for ideal, mine, plain in zip(case.instance.ideal, learned, raw, strict=True):
            assert not mine.note
            assert mine.raw_value is None  # no untreated circuit was run
            ours.append(abs(mine.value - ideal))
            theirs.append(abs(plain.value - ideal))
            covered.append(ours[-1] <= 2 * mine.standard_error)
    assert np.mean(ours) < 0.5 * np.mean(theirs)
    assert np.mean(covered) >= 0.8


def test_a_simulated_backend_and_the_harness_give_the_same_estimates() -> None:
    case, executions, (plan, _) = unseen("random + readout", 3)
    outcome = Simulator(case.drawn.device()).run(plan.work)
    result = replace(executions.run(plan.work).result, counts=outcome.counts, forecasts=outcome.forecasts)
    for ours, theirs in zip(plan.combine(result)[0], plan.combine(executions.run(plan.work).result)[0], strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=0.02)  # engines round differently, so that a few counts may differ
        assert ours.note == theirs.note


def test_circuits_of_one_job_are_told_apart() -> None:
    found = [next(cases({"ising": SETTINGS["ising"]}, range(number, number + 1), UNSEEN, 41)).instance for number in (2, 9)]
    device = Drawn("jakarta", "readout", 3).device()
    whole = Workload(2, found[0].observables, grouped(found[0].observables), 10**6, tuple(each.source for each in found))
    alone = [replace(whole, circuits=1, sources=(each.source,)) for each in found]
    values = []
    for workload in (whole, *alone):
        plan = planned(METHODS["ml-qem"], workload, {}, 1)
        executions = Executions(device)
        executions.prepare([plan.work])
        values.append([[estimate.value for estimate in row] for row in plan.combine(executions.run(plan.work).result)])
    np.testing.assert_allclose(values[0], [*values[1], *values[2]], atol=0.02)  # other shots of the same distributions


def test_far_out_of_range_the_physical_estimate_stands_in_and_the_note_says_so() -> None:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    for _ in range(40):  # an even number of CX: |000> with H on the first qubit, and the noise of 80 gates
        circuit.cx(0, 1)
        circuit.cx(1, 2)
        circuit.barrier()
    asked = (observable("x", {"IIX": 1.0, "III": 0.25}), observable("z", {"IZI": 0.5}), observable("one", {"III": 2.0}))
    workload = Workload(1, asked, grouped(asked), 20_000, (qasm3.dumps(circuit),))
    plan = planned(METHODS["ml-qem"], workload, {}, 5)
    executions = Executions(depolarising(0.004))
    executions.prepare([plan.work])
    learned = plan.combine(executions.run(plan.work).result)[0]
    ideal = [each.value for each in learned[2:]]
    assert ideal == [2.0]  # the identity needs no model
    exact_values = family.exact(circuit, asked)
    for mine, value in zip(learned[:2], exact_values, strict=False):
        assert mine.abstained
        assert mine.note.startswith("the physical estimate stands in: the circuit is unlike")
        assert abs(mine.value - value) <= 4 * mine.standard_error
        assert mine.standard_error < 0.1


def test_a_backend_that_forecasts_nothing_gets_an_extrapolation() -> None:
    case, executions, (plan, raw) = unseen("vqe", 0)
    result = replace(executions.run(plan.work).result, forecasts=())
    for mine, plain, ideal in zip(
        plan.combine(result)[0], raw.combine(executions.run(raw.work).result)[0], case.instance.ideal, strict=True
    ):
        assert mine.note.startswith("exponential extrapolation stands in: the backend")
        assert mine.abstained
        assert abs(mine.value - ideal) < abs(plain.value - ideal)


def test_it_spends_what_two_scales_take_charges_its_training_and_refuses_what_it_cannot_do() -> None:
    _, _, (plan, _) = unseen("vqe", 1)
    cost, groups = plan.method.cost(plan.workload, {}), len(plan.workload.groups)
    assert cost.overhead == pytest.approx(METHODS["zne-linear"].cost(plan.workload, {"scale_factors": [1, 3]}).overhead, abs=1e-3)
    assert cost.shots == sum(cost.shots_by_scale.values())
    assert cost.shots_by_scale[0] == pytest.approx(TRAINING * sum(run.shots for run in plan.work.runs), abs=1)
    assert len(plan.work.runs) == groups * 2 * TWIRLS
    assert len({run.twirl for run in plan.work.runs}) == len(plan.work.runs)
    assert [run.paulis for run in plan.work.runs if run.paulis] == [group.paulis for group in plan.workload.groups]
    with pytest.raises(JobInvalidError, match="returns counts"):
        plan.method.circuits(Workload(1, (), (), 10), {}, 0)
    with pytest.raises(JobInvalidError, match="no parameter 'trees'"):
        Learned().parameters({"trees": 3})
