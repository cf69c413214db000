"""Predicted against achieved errors, on simulated devices under real calibrations: what the closed form is worth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp, Statevector
from scipy.stats import spearmanr

from backends.adapter import Work
from backends.device import Device
from backends.registry import load
from backends.simulation import Simulator
from em.circuits import parse
from em.methods import METHODS, Workload
from em.observables import bound
from policy.choice import AUTOMATIC
from policy.closed_form import Noise, predict
from policy.demand import Demand
from policy.recommender import Recommender
from streams.jobfile import load_job

_JOBS = [
    load_job(Path(__file__).parents[2] / "examples" / "jobs" / f"{name}.json") for name in ("ghz5", "h2", "ising5", "cluster4-pqc")
]
_DEVICES = ("fake_manila", "fake_jakarta")
_SEEDS = range(2)


def _ideal(job):
    state = Statevector(parse(job.circuits[0]))
    operators = [SparsePauliOp([t.pauli for t in each.terms], [t.coefficient for t in each.terms]) for each in job.observables]
    return np.array([state.expectation_value(operator).real for operator in operators])


def _achieved(simulator, job, method, seeds=_SEEDS):
    """The largest error of the job's observables, for each seed, in units of the spectral bound."""
    workload = Workload.of(job)
    scale = np.array([bound(each) for each in job.observables])
    errors = []
    for seed in seeds:
        outcome = simulator.run(Work(job.circuits, METHODS[method].circuits(workload, {}, seed), seed))
        told = replace(workload, forecasts=outcome.forecasts)
        values = np.array([estimate.value for estimate in METHODS[method].combine(told, {}, seed, outcome.counts)[0]])
        errors.append(float(np.max(np.abs(values - _ideal(job)) / scale)))
    return errors


@pytest.fixture(scope="module")
def instances():
    """Per device and job: the recommendation, and method -> errors achieved."""
    found = []
    for name, backend in load(_DEVICES).items():
        calibration = backend.calibration()
        recommender, simulator = Recommender({name: calibration}), Simulator(Device(calibration))
        for job in _JOBS:
            advice = recommender.recommend(job.model_copy(update={"method": "auto", "sla": type(job.sla)()})).candidates[0]
            found.append((advice, {method: _achieved(simulator, job, method) for method in AUTOMATIC}))
    return found


def test_predicted_errors_rise_and_fall_with_achieved_ones(instances):
    pairs = [(score.expected_error, np.mean(achieved[score.method])) for advice, achieved in instances for score in advice.ranking]
    predicted, achieved = np.array(pairs).T
    assert spearmanr(predicted, achieved).statistic > 0.7
    ratios = np.log(predicted / achieved)
    assert 1 / 2.5 < np.exp(ratios.mean()) < 2.5


def test_what_is_recommended_is_near_the_best_and_far_better_than_nothing(instances):
    chosen, best, raw = (
        np.array(column)
        for column in zip(
            *[
                (np.mean(achieved[advice.method]), min(map(np.mean, achieved.values())), np.mean(achieved["raw"]))
                for advice, achieved in instances
            ],
            strict=True,
        )
    )
    assert np.exp(np.log(chosen / best).mean()) < 2
    assert np.exp(np.log(raw / chosen).mean()) > 3


def test_the_interval_holds_as_often_as_its_confidence_says(instances):
    inside = [
        advice.fidelity_low <= 1 - error / 2 <= advice.fidelity_high
        for advice, achieved in instances
        for error in achieved[advice.method]
    ]
    assert np.mean(inside) >= instances[0][0].confidence - 0.1


def test_ml_qem_is_priced_by_the_two_readings_that_it_takes():
    (backend,) = load(_DEVICES[1:]).values()
    calibration = backend.calibration()
    recommender, simulator = Recommender({calibration.backend: calibration}), Simulator(Device(calibration))
    job = _JOBS[-1].model_copy(update={"method": "ml-qem", "sla": type(_JOBS[-1].sla)()})
    (advice,) = recommender.recommend(job).candidates
    assert 1 / 2 < advice.expected_error / np.mean(_achieved(simulator, job, "ml-qem", seeds=range(4))) < 2


@pytest.mark.parametrize("rate", [0.0, 0.3, 3.0, 30.0])
def test_ml_qem_expects_less_error_the_more_it_reads_and_never_more_than_it_knew_before(rate):
    target, noise = Demand.of(_JOBS[0]).target, Noise(rate, 0.8, 0.0, 10.0, 1e-6, 1e-6)
    errors = [predict(noise, target, METHODS["ml-qem"], (1.0, 3.0), shots).error for shots in (64, 1024, 2**20)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.5
