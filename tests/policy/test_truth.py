"""Labels and signals against what is not ours to compute them with: many real runs, and exact density matrices."""

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from backends.adapter import Run, Work
from backends.device import Device
from backends.simulation import Simulator
from em.families import FAMILIES
from em.families.family import operator
from em.harness.executions import Executions
from em.learned.devices import snapshot
from em.methods import METHODS, Workload
from em.methods.samples import Sample
from em.methods.zne import EXTRAPOLATIONS
from em.observables import bound, coefficients, constant, grouped
from em.planning import planned
from policy.choice import AUTOMATIC
from policy.extrapolations import exponential
from policy.placement import placed
from policy.signal import SCALES, signal
from policy.truth import truths


@pytest.fixture(scope="module")
def jakarta():
    return Device(snapshot("jakarta"))


def achieved(device, instance, method, shots, runs):
    """(runs, observables): errors of real runs of the method, in units of the bound."""
    workload = Workload(1, instance.observables, grouped(instance.observables), shots, (instance.source,))
    plans = [planned(METHODS[method], workload, METHODS[method].parameters({}), seed) for seed in range(runs)]
    executions = Executions(device)
    executions.prepare([plan.work for plan in plans])
    estimates = [plan.combine(executions.run(plan.work).result)[0] for plan in plans]
    sizes = [bound(each) for each in instance.observables]
    return np.array(
        [
            [abs(each.value - ideal) / size for each, ideal, size in zip(row, instance.ideal, sizes, strict=True)]
            for row in estimates
        ]
    )


@pytest.mark.parametrize("method", ["raw", "readout", "trex", "zne-richardson", "readout-zne-exponential", "trex-zne-linear"])
def test_the_expected_error_is_the_mean_of_many_real_runs(jakarta, method):
    instance = FAMILIES["ising"].instance(1, 0)
    (truth,) = truths(jakarta, [instance])
    errors = achieved(jakarta, instance, method, 1024, 60)
    expected = np.array([each.error(method, 1024)[0] for each in truth])
    assert np.all(np.abs(errors.mean(axis=0) - expected) < 4 * errors.std(axis=0) / np.sqrt(len(errors)))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["random", "ghz", "vqe", "qaoa"])
@pytest.mark.parametrize("shots", [512, 8192])
def test_every_method_on_more_families(jakarta, family, shots):
    instance = FAMILIES[family].instance(3, 0)
    (truth,) = truths(jakarta, [instance])
    for method in AUTOMATIC:
        errors = achieved(jakarta, instance, method, shots, 150)
        expected = np.array([each.error(method, shots)[0] for each in truth])
        assert np.all(np.abs(errors.mean(axis=0) - expected) < 4.5 * errors.std(axis=0) / np.sqrt(len(errors)) + 1e-4), method


def test_many_exponential_fits_at_once_are_the_method_s_own():
    draw = np.random.default_rng(0)
    values = draw.normal(0.3, 0.3, (400, 1)) * np.exp(-draw.uniform(-0.1, 0.6, (400, 1)) * np.array(SCALES[1:]))
    values = values + draw.normal(0, 0.02, values.shape)
    sigmas = np.array([0.02, 0.03, 0.04])
    one = [EXTRAPOLATIONS["exponential"](np.array(SCALES[1:]), row, sigmas, 0.9).value for row in values]
    assert exponential(values, sigmas, 0.9) == pytest.approx(one, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["jakarta", "sherbrooke", "torino"])
@pytest.mark.parametrize("family", ["mirror", "h2-dynamics", "vqe"])
def test_a_signal_that_is_followed_to_the_end_is_exact_without_noise(name, family):
    device, instance = Device(snapshot(name)), FAMILIES[family].instance(1, 0)
    compiled = device.compile(instance.source, 0, 2)
    for observable, ideal in zip(instance.observables, instance.ideal, strict=True):
        found = signal(device, compiled, coefficients(observable), bound(observable))
        constant = sum(term.coefficient for term in observable.terms if not term.pauli.strip("I"))
        assert found.kept == pytest.approx(1)
        assert found.values[0] * bound(observable) == pytest.approx(ideal - constant, abs=1e-9)


def test_a_signal_fades_as_exact_density_matrices_say(jakarta):
    for family in ("ghz", "heisenberg", "h2-dynamics"):
        instance = FAMILIES[family].instance(0, 3)
        (truth,) = truths(jakarta, [instance])
        for observable, exact in zip(instance.observables, truth, strict=True):
            found = placed(jakarta, instance.source, observable).signal
            assert found.values[1] == pytest.approx(exact.readers["readout"].means[0] / exact.bound, abs=0.02)
            assert found.read == pytest.approx(exact.readers["raw"].means / exact.bound, abs=0.001)


@pytest.mark.parametrize("family", ["random", "qaoa"])
def test_a_simulated_signal_is_what_aer_reads_on_average_and_scatters_as_its_shots_do(jakarta, family):
    instance, shots = FAMILIES[family].instance(2, 5), 20_000
    observable = instance.observables[0]
    found, (group,) = placed(jakarta, instance.source, observable).signal, grouped((observable,))
    runs = tuple(Run(0, shots, float(scale), group.basis) for scale in SCALES[1:])
    weights = np.array([coefficients(observable)[pauli] / bound(observable) for pauli in group.paulis])
    assert (found.kept, instance.ideal[0]) == (1.0, pytest.approx(found.values[0] * bound(observable) + constant(observable)))
    for step, counts in enumerate(Simulator(jakarta).run(Work((instance.source,), runs, 1, 0, 2)).counts):
        sample = Sample.of(group.qubits, [runs[step]], [counts])
        values = weights @ sample.parities(group.paulis)
        mean, variance = sample.mean(values), sample.variance(values)
        assert found.read[step] == pytest.approx(mean, abs=4.5 * variance**0.5)
        assert found.shot[0, step] == pytest.approx(variance * shots, rel=0.05)


def test_inverted_readout_is_the_value_and_scatters_more():
    device, instance = Device(snapshot("manila")), FAMILIES["ising"].instance(0, 0, 4)
    found = placed(device, instance.source, instance.observables[0]).signal
    assert np.all(found.shot[1] > found.shot[0])
    assert found.shot.shape == (2, len(SCALES) - 1)


def test_what_is_too_dear_to_simulate_is_followed_in_strings(jakarta, monkeypatch):
    instance = FAMILIES["random"].instance(2, 5, 6, 4)
    exact = placed(jakarta, instance.source, instance.observables[0]).signal
    monkeypatch.setattr("policy.simulated.MOST_NUMBERS", 0.0)
    strings = placed(jakarta, instance.source, instance.observables[0]).signal
    assert exact.shot is not None and strings.shot is None
    assert strings.values == pytest.approx(exact.values, abs=0.15)


def test_dropped_strings_are_owned_up_to(jakarta):
    instance = FAMILIES["random"].instance(2, 5, 6, 8)
    compiled = jakarta.compile(instance.source, 0, 2)
    known = [signal(jakarta, compiled, coefficients(each), bound(each)) for each in instance.observables]
    assert min(each.kept for each in known) < 0.95
    assert all(0 <= each.kept <= 1 and np.all(np.abs(each.values) <= 1) for each in known)


def test_the_ideal_values_are_a_statevector_s(jakarta):
    instance = FAMILIES["qaoa"].instance(0, 0)
    from em.circuits import parse  # noqa: PLC0415

    (truth,) = truths(jakarta, [instance])
    state = Statevector(parse(instance.source))
    constant = sum(term.coefficient for term in instance.observables[0].terms if not term.pauli.strip("I"))
    value = float(np.real(state.expectation_value(operator(instance.observables[0]))))
    assert truth[0].ideal == pytest.approx(value - constant)
