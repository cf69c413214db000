"""A trained classifier as it ships: numbers in an npz, words in a JSON, a card to read. Nothing in them can run code."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.jobs import Observable, PauliTerm
from threat.baseline import Baseline
from threat.errors import ModelError
from threat.vqc.circuit import Architecture, Floats
from threat.vqc.encoding import Encoding
from threat.vqc.engine import engine
from threat.vqc.errors import VqcError

DATA = Path(__file__).parent / "data"
FORMAT = 1
"""Of the files; raised whenever the same numbers would mean something else."""

_ENCODING = ("points", "exact", "evidence", "qubit", "centre", "width")
_BASELINE = ("mean", "scale", "weights", "bias")


@dataclass(frozen=True)
class Model:
    """Encoding, circuit and weights; a `threat.opinion.SecondOpinion`.

    Attributes:
        architecture: of the circuit.
        encoding: from features to angles.
        weights: (architecture.weights,), radians.
        readout: scale and bias: P(threat) = sigmoid(scale <Z...Z> + bias).
        baseline: the NumPy baseline, trained on the same events: what every score is held against.
        about: seed, data, command and figures of the training.
    """

    architecture: Architecture
    encoding: Encoding
    weights: Floats
    readout: Floats
    baseline: Baseline
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        """For example `vqc-4q`."""
        return f"vqc-{self.architecture.qubits}q" + ("" if self.architecture.entangled else "-unentangled")

    @property
    def columns(self) -> tuple[str, ...]:
        """The features that it wants."""
        return self.encoding.columns

    @cached_property
    def version(self) -> str:
        """Content hash of all that a score depends on, 16 hex digits."""
        digest = hashlib.sha256(json.dumps([FORMAT, self.name, self.columns]).encode())
        for name, array in sorted(self.arrays.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What the npz holds."""
        control = {f"baseline_{name}": array for name, array in self.baseline.arrays.items()}
        encoding = {name: getattr(self.encoding, name) for name in _ENCODING}
        return {"weights": self.weights, "readout": self.readout, **encoding, **control}

    def score(self, features: Floats) -> Floats:
        """(events,): the probability that each event is a threat, exact, from (events, k) features."""
        return self.probability(engine(self.architecture).scored(self.encoding.angles(features), self._rows))

    @cached_property
    def _rows(self) -> tuple[Floats, Floats]:
        return engine(self.architecture).rows(self.weights)

    def probability(self, odd: Floats) -> Floats:
        """The probability of a threat that a probability of odd parity stands for, exact or counted."""
        logits = self.readout[0] * (1 - 2 * np.asarray(odd, dtype=np.float64)) + self.readout[1]
        return np.asarray(1 / (1 + np.exp(-logits)))

    def question(self, features: Floats) -> tuple[str, Observable]:
        """One event's circuit (OpenQASM 3) and the parity to measure on it, from (k,) features: what a job asks."""
        angles = self.encoding.angles(np.asarray(features, dtype=np.float64)[None])
        (source,) = self.architecture.programs(angles, self.weights)
        return source, Observable(name="parity", terms=(PauliTerm(pauli=self.architecture.parity, coefficient=1.0),))

    def answer(self, expectation: float) -> float:
        """The probability of a threat that <Z...Z> stands for; a noisy or mitigated one beyond +-1 counts as +-1."""
        return float(self.probability(np.array((1 - min(max(expectation, -1.0), 1.0)) / 2)))

    def save(self, folder: Path) -> None:
        """Writes `model.npz` and `model.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "model.npz", **self.arrays)  # type: ignore[arg-type]
        words = {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "sha256": hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest(),
            "qubits": self.architecture.qubits,
            "entangled": self.architecture.entangled,
            "columns": self.columns,
            "about": self.about,
        }
        (folder / "model.json").write_text(json.dumps(words, indent=1) + "\n")


def load(folder: Path) -> Model:
    """A model from its folder.

    Raises:
        ModelError: it is not there, is damaged, or is of another format; says which, and what to do.
    """
    words = _words(folder / "model.json")
    if words.get("format") != FORMAT:
        raise ModelError(f"{folder} holds a model of format {words.get('format')}, this version reads {FORMAT}; train it again")
    try:
        whole = hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest() == words["sha256"]
    except (OSError, KeyError) as error:
        raise ModelError(f"the model in {folder} is incomplete ({error}); restore it, or train it again") from error
    if not whole:
        raise ModelError(f"{folder}/model.npz is damaged, or not the one that model.json tells of; restore it, or train it again")
    try:
        with np.load(folder / "model.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        encoding = Encoding(tuple(words["columns"]), *(arrays[name] for name in _ENCODING))
        baseline = Baseline(*(arrays[f"baseline_{name}"] for name in _BASELINE))
        architecture = Architecture(int(words["qubits"]), bool(words["entangled"]))
        architecture.check(arrays["weights"])
        model = Model(architecture, encoding, arrays["weights"], arrays["readout"], baseline, words["about"])
        version = model.version
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, VqcError) as error:
        raise ModelError(f"the model in {folder} is damaged ({error}); restore it, or train it again") from error
    if version != words.get("version"):
        raise ModelError(f"the model in {folder} is version {version}, its model.json says {words.get('version')}; train it again")
    return model


def _words(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"there is no model in {path.parent}; train one with `quantumai threat train`")
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}); restore it, or train the model again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} does not describe a model; restore it, or train the model again")
    return found


@cache
def shipped(folder: Path = DATA) -> Model:
    """The model that comes with the package."""
    return load(folder)
