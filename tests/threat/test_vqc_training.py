"""Gradients against parameter shift, training against problems whose answer is known, labelled data from files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from qiskit_aer.primitives import SamplerV2 as AerSampler

from threat.errors import DataError
from threat.vqc.circuit import Architecture
from threat.vqc.engine import engine
from threat.vqc.errors import VqcError
from threat.vqc.gradient import parameter_shift, scores_and_pull
from threat.vqc.labelled import NSL_KDD, Labelled, generated, halves, read, word
from threat.vqc.learning import auc, controls, learn, measure
from threat.vqc.model import Model
from threat.vqc.sampling import refined
from threat.vqc.training import Settings, fit, spsa

QUICK = Settings(epochs=15, batch=100, starts=2)
KDD = Path(__file__).parents[3] / "shared" / "data" / "nsl-kdd"


@pytest.fixture(scope="session")
def events() -> Labelled:
    return generated(1_500, 3)


@pytest.fixture(scope="session")
def model(events: Labelled) -> Model:
    return learn(events, Architecture(4), QUICK, {"data": "generated"})


@pytest.mark.parametrize("qubits", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("entangled", [True, False])
def test_adjoint_gradients_are_those_of_parameter_shift(qubits: int, entangled: bool) -> None:
    architecture = Architecture(qubits, entangled)
    draw = np.random.default_rng(qubits)
    angles, weights = draw.uniform(-7, 7, (6, qubits)), draw.uniform(-4, 4, architecture.weights)
    slope = draw.normal(size=6)
    made = engine(architecture)
    scores, pull = scores_and_pull(made, made.waves(angles), weights)
    assert scores == pytest.approx(made.scores(angles, weights), abs=1e-12)
    assert pull(slope) == pytest.approx(slope @ parameter_shift(made, angles, weights), abs=1e-8)


def test_training_recovers_what_the_circuit_can_say() -> None:
    architecture, draw = Architecture(3), np.random.default_rng(5)
    angles, truth = draw.uniform(0, 6, (3_000, 3)), draw.uniform(-3, 3, 12)
    labels = (engine(architecture).scores(angles, truth) > 0.5).astype(float)
    found = fit(architecture, angles, labels, Settings(epochs=60, batch=250, starts=12))
    logits = found.scale * (1 - 2 * engine(architecture).scores(angles, found.weights)) + found.bias
    assert np.mean((logits > 0) == (labels > 0.5)) > 0.95
    assert found.losses[-1] < found.losses[0] / 2


def test_the_same_seed_trains_the_same_model(events: Labelled, model: Model) -> None:
    assert learn(events, Architecture(4), QUICK, {}).version == model.version
    assert learn(events, Architecture(4), Settings(epochs=15, batch=100, starts=2, seed=1), {}).version != model.version


def test_a_model_beats_chance_where_it_was_not_trained(model: Model) -> None:
    line = measure("vqc", model.score, {"new": generated(600, 4)}, 0.0)
    assert line.accuracy["new"] > 0.93
    assert line.auc["new"] > 0.97


def test_controls_get_the_same_events(events: Labelled, model: Model) -> None:
    found = {line.name: line for line in controls(events, model, {"same": events}, QUICK)}
    assert len(found) == 6
    assert found["boosting, all features"].accuracy["same"] > 0.95
    assert found["same circuit without entanglement"].accuracy["same"] < 0.9


def test_labels_of_one_class_are_refused() -> None:
    with pytest.raises(VqcError, match="events of both"):
        fit(Architecture(2), np.zeros((5, 2)), np.ones(5), QUICK)


def test_spsa_finds_a_minimum_through_noise() -> None:
    draw = np.random.default_rng(1)
    goal = np.array([0.3, -0.7, 1.1])
    found = spsa(lambda at: float(np.sum((at - goal) ** 2) + draw.normal(0, 0.01)), np.zeros(3), steps=300, seed=2)
    assert found == pytest.approx(goal, abs=0.1)


def test_spsa_on_a_sampler_improves_a_model_that_was_disturbed(events: Labelled, model: Model) -> None:
    few = events.take(np.arange(60))
    angles = model.encoding.angles(few.features)
    worse = Model(model.architecture, model.encoding, model.weights + 0.4, model.readout, model.baseline, {})
    sampler = AerSampler(seed=3)
    weights = refined(worse, sampler, angles, few.labels, steps=30, shots=100, seed=4)

    def loss(at: np.ndarray) -> float:
        chances = np.clip(model.probability(engine(model.architecture).scores(angles, at)), 1e-6, 1 - 1e-6)
        return float(-np.mean(np.log(np.where(few.labels > 0.5, chances, 1 - chances))))

    assert loss(weights) < loss(worse.weights) / 2


def test_auc_counts_pairs() -> None:
    draw = np.random.default_rng(0)
    labels, scores = (draw.random(200) < 0.3).astype(float), np.round(draw.random(200), 1)
    above = scores[labels == 1][:, None] - scores[labels == 0]
    assert auc(labels, scores) == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)))


def test_held_out_events_are_a_share_of_each_class() -> None:
    labels = np.array([0.0] * 80 + [1.0] * 20)
    kept, held = halves(labels, 0.2, 0)
    assert sorted([*kept, *held]) == list(range(100))
    assert labels[held].sum() == 4
    assert len(held) == 20


def test_files_of_both_forms_are_read(tmp_path: Path) -> None:
    row = ["0"] * len(NSL_KDD)
    row[1] = "tcp"
    with gzip.open(tmp_path / "kdd.txt.gz", "wt") as file:
        file.write(",".join([*row, "normal", "21"]) + "\n" + ",".join([*row, "neptune", "18"]) + "\n")
    found = read([tmp_path / "kdd.txt.gz"])
    assert found.columns == tuple(NSL_KDD)
    assert found.labels.tolist() == [0, 1]
    assert found.features[0, 1] == word("TCP ")
    (tmp_path / "own.csv").write_text("a,label,b\n1,0,2\n3,1,\n".replace(",\n", ",nan\n"))
    own = read([tmp_path / "own.csv"])
    assert own.columns == ("a", "b")
    assert np.isnan(own.features[1, 1])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "neither NSL-KDD"),
        ("a,b\n1,2\n", "neither NSL-KDD"),
        ("a,label\n1\n", "event 1: 1 columns"),
        ("a,label\nx,1\n", "event 1: a is 'x'"),
        ("a,label\n", "no events"),
    ],
)
def test_files_that_are_no_events_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"bad.csv.*{says}"):
        read([path])


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"bad\.gz"):
        read([tmp_path / "bad.gz"])


@pytest.mark.slow
@pytest.mark.skipif(not KDD.is_dir(), reason="needs ../shared/data/nsl-kdd")
def test_four_qubits_reach_97_percent_of_held_out_connections() -> None:
    found = read([KDD / "KDDTrain+_20Percent.txt.gz"])
    kept, held = halves(found.labels, 0.2, 0)
    trained = learn(found.take(kept), Architecture(4), Settings(), {})
    assert measure("vqc", trained.score, {"held": found.take(held)}, 0.0).accuracy["held"] >= 0.97
