"""Estimators against known distributions: no bias that exceeds their own errors, and errors that are what they say."""

from functools import cache, reduce
from math import ceil

import numpy as np
import pytest
from em_jobs import ToyDevice, observable, workload

from em.errors import JobInvalidError, MitigationFailedError
from em.methods import METHODS, Estimate, Workload
from em.methods.learned import TRAINING
from em.methods.mitigated import Mitigated
from schemas.mitigation import Parameters

CONFUSIONS = [np.array([[0.97, 0.08], [0.03, 0.92]]), np.array([[0.99, 0.05], [0.01, 0.95]])]
IDEAL = [0.9, 0.6]
"""<Z> of qubits 0 and 1 without noise, in every basis."""

OBSERVABLES = (observable("h", ZZ=0.5, ZI=-0.3, XX=0.4, II=0.25), observable("z", IZ=1.0))
REPEATS = 200
READ = [name for name, method in METHODS.items() if isinstance(method, Mitigated)]
"""Methods without circuits of their own, which a toy device can run."""


def _damped(scale: int) -> list[float]:
    """Gate noise: each qubit's expectation decays exponentially with the scale."""
    return [mean * np.exp(-0.08 * scale) for mean in IDEAL]


def _distribution(basis: str, scale: int) -> np.ndarray:
    low, high = ([(1 + mean) / 2, (1 - mean) / 2] for mean in _damped(scale))
    return np.kron(high, low)


def _true(scale: int) -> list[float]:
    low, high = _damped(scale)
    return [0.5 * low * high - 0.3 * high + 0.4 * low * high + 0.25, low]


DEVICE = ToyDevice(_distribution, CONFUSIONS)


@cache
def _estimates(method: str, repeats: int, shots: int = 1000, calibration_ratio: float = 1.0) -> list[tuple[Estimate, ...]]:
    found = []
    task = workload(*OBSERVABLES, shots=shots)
    parameters: Parameters = {} if calibration_ratio == 1.0 else {"calibration_ratio": calibration_ratio}
    for seed in range(repeats):
        runs = METHODS[method].circuits(task, parameters, seed)
        counts = DEVICE.counts(runs, np.random.default_rng([seed, 1]))
        found.append(METHODS[method].combine(task, parameters, seed, counts)[0])
    return found


def _scores(estimates: list[Estimate], truth: float) -> np.ndarray:
    return np.array([(estimate.value - truth) / estimate.standard_error for estimate in estimates])


@pytest.mark.parametrize("method", ["readout", "trex", "correlated"])
def test_readout_methods_remove_readout_errors_and_know_their_own(method: str) -> None:
    for index, truth in enumerate(_true(1)):
        estimates = [row[index] for row in _estimates(method, REPEATS)]
        scores = _scores(estimates, truth)
        assert abs(scores.mean()) < 5 / np.sqrt(REPEATS)
        assert 0.87 < scores.std() < 1.15
        assert 0.91 < (np.abs(scores) < 1.96).mean() < 0.985
        raw = np.mean([estimate.raw_value for estimate in estimates])
        assert abs(raw - truth) > 10 * np.std([estimate.raw_value for estimate in estimates]) / np.sqrt(REPEATS)


@pytest.mark.parametrize("method", ["readout", "readout-zne-richardson", "correlated"])
def test_a_poor_calibration_is_part_of_the_error_and_common_to_all_scales(method: str) -> None:
    """With a fiftieth of the shots, the calibration's noise outweighs that of the circuits."""
    exact = [_true(scale)[0] for scale in (1, 3, 5)]
    truth = np.polyfit([1, 3, 5], exact, 2)[2] if "zne" in method else exact[0]
    estimates = [row[0] for row in _estimates(method, REPEATS, 20_000, 0.02)]
    scores = _scores(estimates, truth)
    assert abs(scores.mean()) < 5 / np.sqrt(REPEATS)
    assert 0.87 < scores.std() < 1.15


def test_raw_is_the_mean_of_what_is_read_with_its_shot_noise() -> None:
    read = reduce(np.kron, reversed(CONFUSIONS)) @ _distribution("ZZ", 1)
    truth = read @ np.array([1, -1, 1, -1])
    estimates = [row[1] for row in _estimates("raw", REPEATS)]
    scores = _scores(estimates, truth)
    assert abs(scores.mean()) < 4 / np.sqrt(REPEATS)
    assert 0.87 < scores.std() < 1.13
    assert all(estimate.value == estimate.raw_value for estimate in estimates)


@pytest.mark.parametrize("reader", ["readout", "trex"])
def test_errors_of_an_extrapolation_include_the_shared_calibration(reader: str) -> None:
    """Extrapolating linearly is unbiased only for what is linear, so the truth is what the line makes of exact values."""
    truth = np.polyfit([1, 3, 5], [_true(scale)[1] for scale in (1, 3, 5)], 1)[1]
    repeats = 60
    estimates = [row[1] for row in _estimates(f"{reader}-zne-linear", repeats)]
    scores = _scores(estimates, truth)
    assert abs(scores.mean()) < 4 / np.sqrt(repeats)
    assert 0.75 < scores.std() < 1.25


def test_an_exponential_extrapolation_finds_the_ideal_of_an_exponential_decay() -> None:
    estimates = [row[1] for row in _estimates("readout-zne-exponential", REPEATS, shots=4000)]
    scores = _scores(estimates, IDEAL[0])
    assert abs(scores.mean()) < 0.4  # the fit is biased to second order, and capped where it leaves the spectrum
    assert 0.8 < scores.std() < 1.2
    assert np.mean([abs(estimate.value - IDEAL[0]) for estimate in estimates]) < abs(_true(1)[1] - IDEAL[0]) / 2


@pytest.mark.parametrize("method", READ)
def test_four_times_the_shots_halve_the_error(method: str) -> None:
    few, many = (np.mean([row[0].standard_error for row in _estimates(method, 12, shots)]) for shots in (2000, 8000))
    least = 1.25 if METHODS[method].reader == "trex" else 1.8  # the choice of a fixed number of flips is not averaged by shots
    assert least < few / many < 2.3


@pytest.mark.parametrize("method", READ)
def test_exact_counts_without_noise_give_exact_values(method: str) -> None:
    device = ToyDevice(lambda basis, scale: np.array([1.0, 0, 0, 0]), [np.eye(2), np.eye(2)])
    task = workload(*OBSERVABLES, shots=640)
    runs = METHODS[method].circuits(task, {}, 0)
    h, z = METHODS[method].combine(task, {}, 0, device.counts(runs, np.random.default_rng(0)))[0]
    assert h.value == pytest.approx(0.85)
    assert z.value == pytest.approx(1.0)
    assert 0 < z.standard_error < 0.02


@pytest.mark.parametrize("method", ["twirl", "dd", "pec", "readout-pec", "readout-twirl-zne-linear"])
def test_without_an_unmitigated_circuit_there_is_no_raw_value(method: str) -> None:
    task = workload(*OBSERVABLES, shots=1000)
    counts = DEVICE.counts(METHODS[method].circuits(task, {}, 0), np.random.default_rng(0))
    assert [each.raw_value for each in METHODS[method].combine(task, {}, 0, counts)[0]] == [None, None]


@pytest.mark.parametrize("method", METHODS)
def test_costs_are_what_the_circuits_say(method: str) -> None:
    task = workload(*OBSERVABLES, shots=1000)
    runs, cost = METHODS[method].circuits(task, {}, 5), METHODS[method].cost(task, {})
    trained = method.startswith("ml-qem")
    assert cost.circuits == len(runs)
    assert cost.shots == ceil(sum(run.shots for run in runs) * (1 + TRAINING * trained)) == sum(cost.shots_by_scale.values())
    assert cost.overhead == pytest.approx(cost.shots / 2000)
    assert (0 in cost.shots_by_scale) == (METHODS[method].reader != "raw" or trained)
    two = trained or method == "vncdr"
    assert set(cost.shots_by_scale) - {0} == ({1, 3, 5} if METHODS[method].extrapolation else {1, 3} if two else {1})


def test_the_table_of_methods_holds_what_was_promised() -> None:
    assert {"raw", "readout", "trex", "zne-linear", "zne-richardson", "zne-exponential", "readout-zne-exponential"} <= set(METHODS)
    assert all(name == method.name for name, method in METHODS.items())


def test_circuits_are_the_same_for_the_same_seed_and_twirls_differ_for_another() -> None:
    task = workload(*OBSERVABLES)
    assert METHODS["trex"].circuits(task, {}, 1) == METHODS["trex"].circuits(task, {}, 1)
    assert METHODS["trex"].circuits(task, {}, 1) != METHODS["trex"].circuits(task, {}, 2)


@pytest.mark.parametrize(
    ("method", "parameters", "sentence"),
    [
        ("raw", {"twirls": 4}, "has no parameter 'twirls'"),
        ("trex", {"twirls": 1}, "2 to 1024"),
        ("trex", {"twirls": 2.5}, "2 to 1024"),
        ("readout", {"calibration_ratio": 0.0}, "0.01 to 100"),
        ("readout", {"calibration_ratio": "much"}, "0.01 to 100"),
        ("zne-linear", {"extrapolation": "richardson"}, "cannot extrapolate by 'richardson'"),
        ("zne-linear", {"fold": "pulse"}, "fold must be one of global, gate, layer"),
        ("zne-quadratic", {"scale_factors": [1, 3]}, "at least 3 for quadratic"),
        ("readout-twirl", {"gate_twirls": 1}, "2 to 1024"),
        ("dd", {"sequence": "UDD"}, "sequence must be one of XX, XY4"),
        ("pec", {"samples": True}, "2 to 10000"),
        ("correlated", {"group_size": 5}, "from 1 to 4"),
        ("cdr", {"training_circuits": 3}, "4 to 100"),
        ("cdr", {"scale_factors": [1, 3]}, "has no parameter 'scale_factors'"),
        ("vncdr", {"scale_factors": [1, 3, 5, 7], "training_circuits": 5}, "at least 6 for 4"),
        ("vncdr", {"non_clifford": -1}, "0 to 100"),
        ("vd", {"copies": 3}, "has no parameter 'copies'"),
    ],
)
def test_bad_parameters_are_refused(method: str, parameters: dict[str, object], sentence: str) -> None:
    with pytest.raises(JobInvalidError, match=sentence):
        METHODS[method].parameters(parameters)


def test_a_job_for_counts_takes_no_mitigation() -> None:
    task = Workload(circuits=2, observables=(), groups=(), shots=100)
    assert [run.body for run in METHODS["raw"].circuits(task, {}, 0)] == [0, 1]
    assert METHODS["raw"].combine(task, {}, 0, [{"0": 100}, {"1": 100}]) == ()
    for method in set(METHODS) - {"raw"}:
        with pytest.raises(JobInvalidError, match="returns counts"):
            METHODS[method].circuits(task, {}, 0)


@pytest.mark.parametrize("method", ["readout", "trex", "correlated"])
def test_a_readout_without_information_is_an_error_and_not_a_number(method: str) -> None:
    device = ToyDevice(_distribution, [np.full((2, 2), 0.5)] * 2)
    task = workload(*OBSERVABLES, shots=4000)
    counts = device.counts(METHODS[method].circuits(task, {}, 0), np.random.default_rng(0))
    with pytest.raises(MitigationFailedError, match="no information"):
        METHODS[method].combine(task, {}, 0, counts)


@pytest.mark.parametrize("method", READ)
def test_a_single_shot_is_enough_to_answer(method: str) -> None:
    task = workload(*OBSERVABLES, shots=1)
    device = ToyDevice(lambda basis, scale: np.array([1.0, 0, 0, 0]), [np.eye(2), np.eye(2)])
    counts = device.counts(METHODS[method].circuits(task, {}, 0), np.random.default_rng(0))
    assert METHODS[method].combine(task, {}, 0, counts)[0][1].standard_error > 0.1
