"""A fitted model as it ships: regressors as ONNX, what else there is as JSON and npz. Nothing here can run code of the file's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]

from em.errors import EmError
from em.learned.features import NAMES, STRUCTURE, Floats, Table
from em.learned.novelty import Reference

DATA = Path(__file__).parent / "data"
REGRESSORS = ("forest", "linear", "boosting")
"""The method, and its controls."""

_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of a circuit's Pauli strings.

    Attributes:
        values: (strings,) in [-1, 1].
        physical, sigmas: (strings,) what the physical estimate says that a regressor corrects, and its standard deviation.
        spreads: (strings,) how far off a value may be; intervals are multiples of it.
        distances: (strings,) from what the model was fitted to.
    """

    values: Floats
    physical: Floats
    sigmas: Floats
    spreads: Floats
    distances: Floats

    def half_width(self, weights: Floats, quantiles: Mapping[str, float]) -> float:
        """Of the interval around `weights` @ `values`."""
        return quantiles[kind(weights)] * self.spread(weights)

    def spread(self, weights: Floats) -> float:
        """Of `weights` @ `values`, as if strings were off independently; the quantiles make up for it."""
        return float(np.sqrt(np.square(weights) @ np.square(self.spreads)))

    def distance(self, weights: Floats) -> float:
        """The median over the strings of an observable."""
        return float(np.median(self.distances[weights != 0]))


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Attributes:
        about: `model.json`: `model_id`, `features`, `quantiles` (regressor -> kind of observable -> quantile), `threshold`, ...
        sessions: regressors, and `spread`, by name.
        reference: what it was fitted to.
    """

    about: Mapping[str, Any]
    sessions: Mapping[str, Any]
    reference: Reference

    @property
    def threshold(self) -> float:
        """The distance beyond which an observable is out of range."""
        return float(self.about["threshold"])

    def quantiles(self, regressor: str) -> Mapping[str, float]:
        """See `Prediction.half_width`."""
        found: Mapping[str, float] = self.about["quantiles"][regressor]
        return found

    def predict(self, table: Table, regressor: str) -> Prediction:
        """What a regressor says of a circuit's strings."""
        features, sigmas = table.features, table.sigmas
        values = np.clip(table.estimates + table.signs * sigmas * self._run(regressor, features), -1.0, 1.0)
        spreads = np.maximum(sigmas * self._run("spread", features), _LEAST_SPREAD)
        return Prediction(values, table.estimates, sigmas, spreads, self.reference.distances(features[:, STRUCTURE]))

    def _run(self, name: str, features: Floats) -> Floats:
        (found,) = self.sessions[name].run(None, {"features": features.astype(np.float32)})
        return np.asarray(found, dtype=np.float64).reshape(-1)


def kind(weights: Floats) -> str:
    """`string` for an observable of one Pauli string, `sum` for others: their errors are differently distributed."""
    return "string" if np.count_nonzero(weights) <= 1 else "sum"


@cache
def shipped(folder: Path = DATA) -> Model:
    """The model in a folder.

    Raises:
        EmError: there is none, or it is made for other features.
    """
    about = described(folder)
    if tuple(about["features"]) != NAMES:
        raise EmError(f"the model in {folder} is made for other features; train it again with `quantumai em train`")
    return loaded(folder, about)


def loaded(folder: Path, about: Mapping[str, Any]) -> Model:
    """The model of a folder's regressors and reference, with this description."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
        for name in (*REGRESSORS, "spread")
    }
    with np.load(folder / "novelty.npz", allow_pickle=False) as arrays:
        reference = Reference(*(arrays[name].astype(np.float64) for name in ("mean", "scale", "rows")))
    return Model(about, sessions, reference)


@cache
def described(folder: Path = DATA) -> Mapping[str, Any]:
    """What `model.json` says, without loading the rest.

    Raises:
        EmError: there is no model.
    """
    path = folder / "model.json"
    if not path.is_file():
        raise EmError(f"there is no model in {folder}; train one with `quantumai em train`")
    found: dict[str, Any] = json.loads(path.read_text())
    return found
