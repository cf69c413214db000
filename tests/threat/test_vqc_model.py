"""A model's files: what was saved is what is loaded, and nothing else is; its question to a device, and the 20 samples."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qiskit import qasm3
from qiskit.quantum_info import Statevector
from typer.testing import CliRunner

from cli.main import app
from em.families.family import operator
from schemas.jobs import JobRequested
from threat.errors import DataError, ModelError
from threat.features import COLUMNS
from threat.opinion import SecondOpinion
from threat.vqc.errors import VqcError
from threat.vqc.labelled import generated
from threat.vqc.model import load, shipped
from threat.vqc.samples import compare, table

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "examples" / "threats"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shipped().save(tmp_path / "model")
    return tmp_path / "model"


def test_what_was_saved_is_loaded(folder: Path) -> None:
    events = generated(50, 9)
    assert load(folder).version == shipped().version
    assert np.array_equal(load(folder).score(events.features), shipped().score(events.features))


def test_every_damaged_byte_of_the_arrays_is_noticed(folder: Path) -> None:
    path = folder / "model.npz"
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(ModelError, match="damaged"):
            load(folder)


@pytest.mark.parametrize("keep", [0, 10, 500])
def test_a_cut_file_is_named(folder: Path, keep: int) -> None:
    path = folder / "model.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="damaged"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format 2"),
        ({"version": "0" * 16}, "is version"),
        ({"columns": ["a"]}, "is version"),
        ({"qubits": 5}, "damaged"),
        ({"sha256": "0"}, "not the one"),
    ],
)
def test_words_that_do_not_fit_the_arrays_are_named(folder: Path, change: dict[str, object], says: str) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=says):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_words_that_are_none_are_named(folder: Path, text: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelError, match="train"):
        load(folder)


def test_no_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="quantumai threat train"):
        load(tmp_path)


def test_arrays_with_objects_are_not_unpickled(folder: Path) -> None:
    np.savez(folder / "model.npz", weights=np.array([{"a": 1}], dtype=object))
    words = json.loads((folder / "model.json").read_text())
    words["sha256"] = hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(words))
    with pytest.raises(ModelError, match="damaged"):
        load(folder)


def test_the_shipped_model_is_a_second_opinion_on_the_platforms_features() -> None:
    opinion: SecondOpinion = shipped()
    assert opinion.columns == COLUMNS
    chances = opinion.score(generated(100, 5).features)
    assert ((chances >= 0) & (chances <= 1)).all()


def test_its_question_answered_exactly_is_its_score() -> None:
    opinion, features = shipped(), generated(6, 8).features
    for row, score in zip(features, opinion.score(features), strict=True):
        source, observable = opinion.question(row)
        job = JobRequested(job_id="second-opinion", circuits=(source,), observables=(observable,))
        state = Statevector(qasm3.loads(job.circuits[0]))
        assert opinion.answer(float(state.expectation_value(operator(job.observables[0])).real)) == pytest.approx(score, abs=1e-9)


def test_what_was_never_seen_says_nothing() -> None:
    opinion = shipped()
    parts = opinion.encoding.parts(np.full((1, len(COLUMNS)), np.nan))
    assert not parts.any()
    exact = int(np.flatnonzero(opinion.encoding.exact)[0])
    assert opinion.encoding.parts(np.full((1, len(COLUMNS)), 0.123))[0, exact] == 0
    assert np.isfinite(opinion.score(np.full((1, len(COLUMNS)), np.inf))).all()
    with pytest.raises(VqcError, match="features must be"):
        opinion.score(np.zeros((2, 3)))


def test_the_page_of_sample_threats_says_what_the_models_say() -> None:
    found = compare(shipped(), SAMPLES)
    assert len(found.answers) == 20
    assert sum(answer.threat for answer in found.answers) == 10
    page = (ROOT / "docs" / "threat-baseline.md").read_text()
    assert table(found) in page
    assert shipped().version in page
    assert min(found.accuracy) >= 0.8


def test_the_script_shows_what_the_command_shows() -> None:
    script = subprocess.run(
        [sys.executable, "threat/poc_quantum_classifier.py"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert script.returncode == 0, script.stderr
    assert script.stdout.count("benign") == 10
    assert "VQC, exact: 95% right" in script.stdout


def test_samples_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no samples"):
        compare(shipped(), tmp_path)
    (tmp_path / "a.json").write_text('{"title": "a", "threat": true, "event": {}}')
    with pytest.raises(DataError, match=r"a\.json"):
        compare(shipped(), tmp_path)


def test_training_from_a_file_writes_model_and_card(tmp_path: Path) -> None:
    events = generated(400, 6)
    lines = [",".join([*events.columns, "label"])]
    lines += [",".join(map(str, [*row, int(label)])) for row, label in zip(events.features.tolist(), events.labels, strict=True)]
    (tmp_path / "events.csv").write_text("\n".join(lines))
    out = tmp_path / "model"
    arguments = ["--data", str(tmp_path / "events.csv"), "--epochs", "5", "--starts", "1", "--out", str(out)]
    result = CliRunner().invoke(app, ["threat", "train", *arguments])
    assert result.exit_code == 0, result.output
    assert load(out).about["held_out"] == 80
    assert "same circuit without entanglement" in (out / "card.md").read_text()
    missing = CliRunner().invoke(app, ["threat", "train", "--data", str(tmp_path / "nothing.csv")])
    assert missing.exit_code == 1
    assert "nothing.csv" in missing.output
