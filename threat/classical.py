"""The classical model as it ships: boosting and the novelty gate as ONNX, the baseline as npz, all words in a JSON.

Nothing in the files can run code. Scores come by the batch: onnxruntime and NumPy, one thread.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from threat.baseline import Baseline, Floats
from threat.errors import ModelError

DATA = Path(__file__).parent / "data"
FORMAT = 1
"""Of the files; raised whenever the same files would mean something else."""

NOVELTY_PERCENTILE = 95.0
"""Of normal events that the novelty gate has not seen: what lies above is novel."""


@dataclass(frozen=True)
class Verdicts:
    """What the classical model says of n events.

    Attributes:
        probability: (n,) of a threat, by boosting.
        baseline: (n,) the same by the baseline layer.
        technique: (n,) place in `Classical.techniques` of the likeliest kind of threat.
        novelty: (n,) the gate's score over its threshold; above 0 is novel.
        parts: (n, k) what each feature adds to the baseline's logit.
    """

    probability: Floats
    baseline: Floats
    technique: NDArray[np.int64]
    novelty: Floats
    parts: Floats


@dataclass(frozen=True)
class Classical:
    """Boosting, baseline and novelty gate over the same features.

    Attributes:
        columns: names of the features.
        techniques: the kinds of threat that boosting tells apart; ATT&CK ids where the data has them.
        boosting: ONNX; classes are 0 for normal, then `techniques`.
        forest: ONNX of an isolation forest, Liu, Ting and Zhou 2008.
        baseline: the control.
        novelty_threshold: of the forest's score, higher being stranger.
        about: seed, data, command and figures of the training.
    """

    columns: tuple[str, ...]
    techniques: tuple[str, ...]
    boosting: bytes
    forest: bytes
    baseline: Baseline
    novelty_threshold: float
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As events say it."""
        return "boosting"

    @cached_property
    def version(self) -> str:
        """Content hash of all that a score depends on, 16 hex digits."""
        digest = hashlib.sha256(json.dumps([FORMAT, self.columns, self.techniques, self.novelty_threshold]).encode())
        for part in (self.boosting, self.forest, *(array.tobytes() for array in self.baseline.arrays.values())):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()[:16]

    def judge(self, features: Floats) -> Verdicts:
        """Scores of (n, k) features, n >= 1.

        Raises:
            ModelError: other columns than the model's.
        """
        if features.ndim != 2 or features.shape[1] != len(self.columns):
            raise ModelError(f"the model wants features of shape (n, {len(self.columns)}), got {features.shape}")
        rows = features.astype(np.float32)
        classes = self._sessions[0].run(["probabilities"], {"X": rows})[0]
        parts = self.baseline.parts(features)
        strangeness = np.exp2(self._sessions[1].run(["exponent"], {"X": rows})[0][:, 0].astype(np.float64))
        return Verdicts(
            probability=1 - classes[:, 0].astype(np.float64),
            baseline=self.baseline.total(parts),
            technique=classes[:, 1:].argmax(1),
            novelty=strangeness - self.novelty_threshold,
            parts=parts,
        )

    @cached_property
    def _sessions(self) -> tuple[Any, Any]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        load = onnxruntime.InferenceSession
        return tuple(load(part, options, providers=["CPUExecutionProvider"]) for part in (self.boosting, self.forest))

    def save(self, folder: Path) -> None:
        """Writes the model's files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "boosting.onnx").write_bytes(self.boosting)
        (folder / "forest.onnx").write_bytes(self.forest)
        np.savez(folder / "baseline.npz", **dict(self.baseline.arrays))  # type: ignore[arg-type]
        words = {
            "format": FORMAT,
            "version": self.version,
            "columns": self.columns,
            "techniques": self.techniques,
            "novelty_threshold": self.novelty_threshold,
            "about": self.about,
        }
        (folder / "model.json").write_text(json.dumps(words, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path = DATA, columns: Sequence[str] | None = None) -> "Classical":
        """The model in a folder; the shipped one when none is named.

        Args:
            folder: of the files.
            columns: what the caller can offer; a model of others is refused.

        Raises:
            ModelError: files that are missing, broken, of another format, other columns or another version than they say.
        """
        try:
            words = json.loads((folder / "model.json").read_text())
            with np.load(folder / "baseline.npz", allow_pickle=False) as arrays:
                baseline = Baseline(**{name: arrays[name] for name in ("mean", "scale", "weights", "bias")})
            model = cls(
                columns=tuple(words["columns"]),
                techniques=tuple(words["techniques"]),
                boosting=(folder / "boosting.onnx").read_bytes(),
                forest=(folder / "forest.onnx").read_bytes(),
                baseline=baseline,
                novelty_threshold=float(words["novelty_threshold"]),
                about=words["about"],
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"the model in {folder} cannot be read ({error}): make one with `quantumai threat train-classical`"
            ) from error
        if words.get("format") != FORMAT:
            raise ModelError(f"the model in {folder} has format {words.get('format')}, this version reads {FORMAT}: train it anew")
        if model.version != words.get("version"):
            raise ModelError(f"the model in {folder} says version {words.get('version')}, but its content is {model.version}")
        if columns is not None and model.columns != tuple(columns):
            raise ModelError(f"the model in {folder} was trained on other features than events have here: train it anew")
        return model
