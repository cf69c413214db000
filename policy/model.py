"""A fitted model as it ships: regressors as ONNX, what else there is as JSON and npz. Nothing here can run code of the file's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from em.learned.novelty import Reference
from policy.choice import AUTOMATIC
from policy.errors import ModelError
from policy.features import KEPT, NAMES, PLACE

Floats = NDArray[np.float64]

FORMAT = 2
"""Changes when the same files would be read otherwise than before."""

PARTS = ("forest.onnx", "overhead.onnx", "confidence.onnx", "novelty.npz")
_ABOUT = "model.json"
_GAPS = 3


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model says of (candidates, methods).

    Attributes:
        errors: expected |error| in units of the observable's bound.
        overheads: shots that a method needs for each of raw's, for as small a standard error.
        confidence: (candidates,) chance that no method is more than 10 % better than the one with the least predicted error; what
            was learned from is simulated, so that it is cut where strings were dropped, by what was kept of them.
        distances: (candidates,) from what the model was fitted to.
    """

    errors: Floats
    overheads: Floats
    confidence: Floats
    distances: Floats


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Attributes:
        about: `model.json`: `version`, `quantile`, `threshold`, `figures`, `data`, ...
        sessions: regressors by name.
        reference: what it was fitted to.
    """

    about: Mapping[str, Any]
    sessions: Mapping[str, Any]
    reference: Reference

    @property
    def version(self) -> str:
        """What stands in every recommendation: the format, and a hash of all files."""
        return str(self.about["version"])

    @property
    def threshold(self) -> float:
        """The distance beyond which a candidate is out of range."""
        return float(self.about["threshold"])

    @property
    def quantile(self) -> float:
        """The error of a run / the predicted error, that so many runs stay below as the interval promises."""
        return float(self.about["quantile"])

    def predict(self, features: NDArray[np.float32]) -> Predicted:
        """What it says of (candidates, methods, features): one call for all."""
        shape = features.shape[:2]
        rows = features.reshape(-1, features.shape[2])
        errors = self.errors(features)
        overheads = np.exp(np.clip(self._run("overhead", rows).reshape(shape), -5.0, 15.0))
        confidence = np.clip(self._run("confidence", gaps(errors, features)), 0.0, 1.0) * features[:, 0, KEPT]
        distances = self.reference.distances(features[:, 0, PLACE].astype(np.float64))
        return Predicted(errors, overheads, confidence, distances)

    def errors(self, features: NDArray[np.float32]) -> Floats:
        """(candidates, methods): expected |error|, whatever methods the rows are about."""
        residual = self._run("forest", features.reshape(-1, features.shape[2])).reshape(features.shape[:2])
        return np.asarray(np.clip(np.exp(features[:, :, 0] + residual), 1e-9, 2.0))

    def _run(self, name: str, rows: NDArray[np.float32]) -> Floats:
        (found,) = self.sessions[name].run(None, {"features": rows})
        return np.asarray(found, dtype=np.float64).reshape(-1)


def gaps(errors: Floats, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(candidates, ...) what the confidence is judged by: by how much the next methods are worse, and where this is."""
    logs = np.sort(np.log(errors), axis=1)
    ahead = logs[:, 1 : _GAPS + 1] - logs[:, :1]
    close = (logs < logs[:, :1] + np.log(1.1)).sum(axis=1)
    best = features[np.arange(len(errors)), errors.argmin(axis=1)]
    return np.column_stack([ahead, close, logs[:, 0], best]).astype(np.float32)


def load(folder: Path) -> Model:
    """The model in a folder.

    Raises:
        ModelError: there is none, a file is not what it was, or it is of another version; a sentence.
    """
    about = described(folder)
    expected = {"format": FORMAT, "features": list(NAMES), "methods": list(AUTOMATIC)}
    for name, value in expected.items():
        if about.get(name) != value:
            raise ModelError(
                f"the model in {folder} is of another version ({name} differ): train it again with `quantumai policy train`"
            )
    if about.get("version") != version_of(folder, about):
        raise ModelError(
            f"the model in {folder} is corrupt: its files are not those that its version {about.get('version')} stands for"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        sessions = {
            name.removesuffix(".onnx"): onnxruntime.InferenceSession(
                str(folder / name), options, providers=["CPUExecutionProvider"]
            )
            for name in PARTS
            if name.endswith(".onnx")
        }
        with np.load(folder / "novelty.npz", allow_pickle=False) as arrays:
            reference = Reference(*(arrays[name].astype(np.float64) for name in ("mean", "scale", "rows")))
    except Exception as error:  # whatever a damaged file makes the readers say
        raise ModelError(f"the model in {folder} cannot be read: {error}") from error
    return Model(about, sessions, reference)


def described(folder: Path) -> Mapping[str, Any]:
    """What `model.json` says.

    Raises:
        ModelError: there is no model, or the file is damaged.
    """
    try:
        found = json.loads((folder / _ABOUT).read_text())
    except FileNotFoundError:
        raise ModelError(f"there is no model in {folder}; train one with `quantumai policy train`") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / _ABOUT} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{folder / _ABOUT} does not describe a model")
    return found


def version_of(folder: Path, about: Mapping[str, Any]) -> str:
    """`learned-1+` and twelve hex digits of a hash over all that a prediction depends on.

    Raises:
        ModelError: a file is missing.
    """
    try:
        digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in PARTS]
    except OSError as error:
        raise ModelError(f"the model in {folder} is not whole: {error}") from error
    content = json.dumps([digests, about.get("quantile"), about.get("threshold"), about.get("features"), about.get("methods")])
    return f"learned-{FORMAT}+{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def write_description(folder: Path, about: Mapping[str, Any]) -> None:
    """Writes `model.json`, the version added."""
    whole = {"version": version_of(folder, about), **{name: value for name, value in about.items() if name != "version"}}
    (folder / _ABOUT).write_text(json.dumps(whole, indent=1) + "\n")
