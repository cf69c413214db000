"""The model as it ships: what it predicts, when it is not asked, how it is replaced; scikit-learn's own answers as the oracle."""

import json
import shutil

import numpy as np
import pytest

from em.families import FAMILIES
from em.learned.devices import snapshot
from em.methods import METHODS
from policy.choice import AUTOMATIC
from policy.dataset import BUDGETS, SCHEMA, load, measure
from policy.demand import Demand
from policy.errors import ModelError, PolicyError
from policy.evaluation import calibration_error, figures
from policy.examples import Examples, examples
from policy.explanation import moved
from policy.fallback import Fallback
from policy.features import NAMES
from policy.learned import Learned
from policy.model import load as load_model
from policy.model import write_description
from policy.recommender import MODEL_VERSION, Recommender
from policy.store import SHIPPED, Asked, current, performance, promote, remember, roll_back, versions
from policy.training import Sizes, forest, train
from schemas.codec import decode, encode
from schemas.jobs import EmRecommended, JobRequested, Observable, PauliTerm, Sla


@pytest.fixture(scope="module")
def shipped():
    return Asked(SHIPPED.parent / "nowhere")


@pytest.fixture(scope="module")
def jakarta():
    return {"fake_jakarta": snapshot("jakarta")}


def ising(**fields):
    instance = FAMILIES["ising"].instance(1, 0)
    return JobRequested(
        **{"job_id": "j", "circuits": (instance.source,), "observables": instance.observables, "shots": 4096} | fields
    )


def advise(job, calibrations, asked):
    return Recommender(calibrations, asked).recommend(job)


class TestLive:
    def test_every_method_is_ranked_and_the_model_is_named(self, jakarta, shipped):
        advice = advise(ising(), jakarta, shipped)
        (best,) = advice.candidates
        assert advice.model_version == load_model(SHIPPED).version
        assert {each.method for each in best.ranking} == set(AUTOMATIC)
        assert best.fidelity_low <= best.expected_fidelity <= best.fidelity_high
        assert "The model is" in best.reason
        assert decode(EmRecommended, encode(advice)) == advice
        assert best.total_shots == METHODS[best.method].cost(Demand.of(ising()).workload, {}).shots

    def test_what_is_expected_is_near_the_truth_on_a_device_that_it_has_not_seen(self, jakarta, shipped):
        from backends.device import Device  # noqa: PLC0415
        from policy.truth import truths  # noqa: PLC0415

        ratios, picks = [], []
        for family in ("ghz", "ising", "heisenberg", "vqe", "h2-dynamics"):
            instance = FAMILIES[family].instance(7, 5)
            (truth,) = truths(Device(jakarta["fake_jakarta"]), [instance])
            for observable, exact in zip(instance.observables, truth, strict=True):
                job = JobRequested(job_id="j", circuits=(instance.source,), observables=(observable,), shots=4096)
                (best,) = advise(job, jakarta, shipped).candidates
                true = {name: exact.error(name, 4096)[0] for name in AUTOMATIC}
                ratios.append(best.expected_error / true[best.method])
                picks.append(true[best.method] / min(true.values()))
        assert 0.7 < np.exp(np.mean(np.log(ratios))) < 1.4
        assert np.exp(np.mean(np.log(picks))) < 1.2

    def test_the_closed_form_can_be_chosen(self, jakarta):
        chosen = advise(ising(), jakarta, Asked(SHIPPED / "nowhere", "closed-form"))
        assert chosen.model_version == MODEL_VERSION
        assert "Closed form, since" not in chosen.candidates[0].reason
        assert chosen.candidates == advise(ising(), jakarta, Recommender({}).learned).candidates

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"observables": ()}, "counts"),
            ({"method": "pec"}, "does not know pec"),
            ({"method": "zne-linear", "method_parameters": {"scale_factors": [1.0, 5.0]}}, "its own parameters"),
            ({"shots": 100_000_000}, "unlike what the model knows .*shots"),
        ],
    )
    def test_what_the_model_does_not_know_is_left_to_the_closed_form_and_said(self, jakarta, shipped, fields, words):
        (best,) = advise(ising(**fields), jakarta, shipped).candidates
        assert best.reason.split("Closed form, since ")[1]
        import re  # noqa: PLC0415

        assert re.search(words, best.reason)

    def test_wide_circuits_are_not_compiled(self, shipped, make_device):
        instance = FAMILIES["ghz"].instance(0, 0, 12)
        job = JobRequested(job_id="j", circuits=(instance.source,), observables=instance.observables)
        (best,) = advise(job, {"line": make_device(qubits=14)}, shipped).candidates
        assert "this has 12" in best.reason

    def test_gates_that_strings_cannot_follow(self, jakarta, shipped):
        strange = jakarta["fake_jakarta"].model_copy(
            update={"basis_gates": (*jakarta["fake_jakarta"].basis_gates, "rzz"), "calibration_id": "another"}
        )
        (best,) = advise(ising(), {"fake_jakarta": strange}, shipped).candidates
        assert "does not know the gates rzz" in best.reason

    def test_a_device_on_which_nothing_works_is_unfit_or_left_to_the_closed_form(self, shipped, make_device):
        edges = [(i, i + 1) for i in range(8)]
        advice = advise(ising(), {"line": make_device(qubits=9, two=dict.fromkeys(edges, 1.0))}, shipped)
        assert [each.backend for each in advice.unfit] == ["line"]

    def test_limits_of_money_and_time_are_kept_where_a_method_can(self, jakarta, shipped):
        free = advise(ising(), jakarta, shipped).candidates[0]
        raw = advise(ising(method="raw"), jakarta, shipped).candidates[0]
        price = jakarta["fake_jakarta"].price
        dear = price.per_job_usd + price.per_shot_usd * raw.total_shots + price.per_second_usd * raw.execution_seconds
        tight = advise(ising(max_cost_usd=dear * 1.01), jakarta, shipped).candidates[0]
        assert (free.method != "raw", tight.method) == (True, "raw")
        assert "cost too much" in tight.reason
        hopeless = advise(ising(max_cost_usd=0.0), jakarta, shipped).candidates[0]
        assert "No method keeps the limits" in hopeless.reason

    def test_features_that_move_the_choice_are_named(self, jakarta, shipped):
        found = moved(shipped(), ising(), jakarta["fake_jakarta"])
        assert {each.feature for each in found} <= set(NAMES)
        assert [abs(each.effect) for each in found] == sorted((abs(each.effect) for each in found), reverse=True)
        assert moved(Fallback("chosen"), ising(), jakarta["fake_jakarta"]) == []

    def test_past_performance_is_counted_in(self, jakarta):
        model = load_model(SHIPPED)
        plain, worse = (
            advise(ising(), jakarta, lambda past=past: Learned(model, past)).candidates[0] for past in ({}, {"fake_jakarta": 1.5})
        )
        assert worse.ranking[0].expected_error == pytest.approx(1.5 * plain.ranking[0].expected_error, rel=1e-6)
        assert "off by 1.50 times" in worse.reason


class TestModelFiles:
    @pytest.fixture
    def copy(self, tmp_path):
        shutil.copytree(SHIPPED, tmp_path / "model")
        return tmp_path / "model"

    @pytest.mark.parametrize("name", ["forest.onnx", "overhead.onnx", "confidence.onnx", "novelty.npz"])
    def test_a_flipped_byte_is_noticed(self, copy, name, jakarta):
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(bytes(content))
        with pytest.raises(ModelError, match="corrupt"):
            load_model(copy)

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda folder: (folder / "forest.onnx").unlink(), "not whole"),
            (lambda folder: (folder / "model.json").write_text("{"), "cannot be read"),
            (lambda folder: (folder / "model.json").write_text("[]"), "does not describe"),
            (lambda folder: (folder / "model.json").unlink(), "there is no model"),
            (
                lambda folder: write_description(folder, {**json.loads((folder / "model.json").read_text()), "format": 0}),
                "another version",
            ),
        ],
    )
    def test_a_model_that_cannot_be_used_falls_back_and_says_so(self, copy, damage, words, jakarta):
        store = copy.parent / "models"
        version = promote(store, copy)
        damage(store / version)
        advice = advise(ising(), jakarta, Asked(store))
        assert advice.model_version == MODEL_VERSION
        assert words in advice.candidates[0].reason

    @pytest.mark.parametrize(
        ("threshold", "words"), [(1.7, "from 0 to 1, not 1.7"), (-1, "from 0 to 1"), (0.9999, "are asked for")]
    )
    def test_thresholds(self, jakarta, threshold, words, tmp_path):
        advice = advise(ising(), jakarta, Asked(tmp_path, threshold=threshold))
        assert advice.model_version == MODEL_VERSION
        assert words in advice.candidates[0].reason

    def test_an_unknown_policy_is_refused_with_those_there_are(self, tmp_path):
        with pytest.raises(PolicyError, match="unknown policy 'oracle': known are learned and closed-form"):
            Asked(tmp_path, "oracle")


class TestStore:
    def test_promotion_and_roll_back_are_noticed_at_once(self, tmp_path):
        store, other = tmp_path / "models", tmp_path / "other"
        shutil.copytree(SHIPPED, other)
        write_description(other, {**json.loads((SHIPPED / "model.json").read_text()), "quantile": 9.0})
        asked = Asked(store)
        first = asked().model.version
        second = promote(store, other)
        assert first != second == asked().model.version
        assert versions(store) == [second]
        assert roll_back(store) == first == asked().model.version
        assert current(store) == SHIPPED
        with pytest.raises(ModelError, match="nothing was promoted"):
            roll_back(store)

    def test_a_model_that_cannot_be_loaded_is_not_promoted(self, tmp_path):
        with pytest.raises(ModelError):
            promote(tmp_path / "models", tmp_path)
        assert versions(tmp_path / "models") == []

    def test_what_was_achieved_is_bounded_and_damage_is_said(self, tmp_path):
        remember(tmp_path, {"a": 100.0, "b": 1.3})
        assert performance(tmp_path) == {"a": 4.0, "b": 1.3}
        (tmp_path / "performance.json").write_text("[")
        fallback = Asked(tmp_path)()
        assert isinstance(fallback, Fallback)
        assert "cannot be read" in fallback.says


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A data set of a few devices."""
    folder = tmp_path_factory.mktemp("data")
    sizes = dict.fromkeys(("fit", "conformal", "unseen", "early", "late"), 1)
    first = list(measure(folder, 3, None, 1, circuits=sizes, every=16))
    assert list(measure(folder, 3, None, 1, circuits=sizes, every=16)) == [first[-1]]  # nothing is done twice
    return examples(load(folder))


class TestTraining:
    def test_a_data_set_has_all_groups_and_true_errors(self, small):
        assert set(small.group) == {"fit", "conformal", "unseen"}
        assert small.errors.shape == (len(small), len(AUTOMATIC))
        assert np.all(small.errors > 0)
        assert np.all(small.rmse >= small.errors - 1e-6)
        assert np.all(small.rmse <= 1.26 * small.errors + 0.2)
        assert set(small.budget) == set(BUDGETS)
        assert np.all(np.isfinite(small.features))

    def test_onnx_says_what_scikit_learn_says(self, small, tmp_path):
        sizes = Sizes(trees=6, leaves=40, hidden=(4,))
        model = train(small, 0, tmp_path, sizes=sizes, about={"command": "test", "data": "test"})
        fitted = small.where(np.isin(small.group, ("fit", "early")))
        residual = forest(fitted, 0, sizes).predict(small.features.reshape(-1, len(NAMES))).reshape(small.errors.shape)
        expected = np.clip(np.exp(small.features[:, :, 0] + residual), 1e-9, 2.0)
        assert model.predict(small.features).errors == pytest.approx(expected, rel=2e-3)
        again = train(small, 0, tmp_path / "again", sizes=sizes, about={"command": "test", "data": "test"})
        assert again.version == model.version

    def test_another_format_of_the_data_is_refused(self, tmp_path):
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        with pytest.raises(PolicyError, match="nothing to learn from"):
            load(tmp_path)
        pq.write_table(pa.Table.from_pylist([], SCHEMA.remove_metadata()), tmp_path / "a.parquet")
        with pytest.raises(PolicyError, match="other features"):
            load(tmp_path)


def test_figures_of_an_oracle_and_of_its_opposite():
    errors = np.random.default_rng(0).uniform(0.1, 1, (200, len(AUTOMATIC)))
    words = np.full(200, "x")
    data = Examples(
        np.zeros((200, len(AUTOMATIC), len(NAMES)), np.float32), errors, errors, errors, words, words, words, np.ones(200)
    )
    best, worst = figures("h", "oracle", errors, data), figures("h", "opposite", 1 / errors, data)
    assert (best.within, best.ratio, best.pairs, best.top) == pytest.approx((1, 1, 1, 1))
    assert worst.pairs == 0
    assert worst.ratio > 5


def test_a_confidence_that_is_right_has_no_calibration_error():
    draw = np.random.default_rng(0)
    said = draw.uniform(0, 1, 50_000)
    assert calibration_error(said, draw.uniform(0, 1, 50_000) < said) < 0.02
    assert calibration_error(np.full(1000, 0.9), draw.uniform(0, 1, 1000) < 0.5) == pytest.approx(0.4, abs=0.06)


def test_the_identity_alone_needs_no_model(jakarta, shipped):
    known = Observable(name="known", terms=(PauliTerm(pauli="II", coefficient=1.0),))
    source = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
    job = JobRequested(job_id="j", circuits=(source,), observables=(known,), sla=Sla(max_error=0.1))
    (best,) = advise(job, jakarta, shipped).candidates
    assert best.method == "raw"
