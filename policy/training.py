"""Fits a model to a data set: a forest for what the closed form leaves of each method's error, a network for the overhead."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx  # type: ignore[import-untyped]
from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]
from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.model_selection import GroupKFold  # type: ignore[import-untyped]
from sklearn.neural_network import MLPRegressor  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from em.learned.conformal import quantile
from em.learned.novelty import reference
from policy.choice import AUTOMATIC
from policy.examples import Examples
from policy.experience import Experience
from policy.features import NAMES, PLACE
from policy.model import FORMAT, Model, gaps, load, write_description

Floats = NDArray[np.float64]
Say = Callable[[str], None]

COVERAGE = 0.9
"""Of the intervals: the share of runs whose fidelity lies inside."""

USUAL = 0.99
"""Of the candidates like those that were learned from, so many are in range."""

FITTED = ("fit", "early")
"""Groups that forests are fitted to; `conformal` is for intervals, thresholds and confidences, the rest for judging."""

CLOSE = np.log(1.1)
_REFERENCES = 2000
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a model is.

    Attributes:
        trees, leaves: of the forest.
        hidden: neurons of the network's layers.
    """

    trees: int = 24
    leaves: int = 400
    hidden: tuple[int, ...] = (24, 12)


def train(
    data: Examples,
    seed: int,
    folder: Path,
    *,
    seen: Experience | None = None,
    sizes: Sizes | None = None,
    about: Mapping[str, Any],
    say: Say = lambda text: None,
) -> Model:
    """Fits, calibrates, writes the model's files into the folder, and returns it as it ships.

    Args:
        data: all groups; those for judging are left alone but for the figures.
        seed: of the forests, the network and the draws.
        folder: made where it is not there.
        seen: measured errors, learned from as well.
        sizes: of the model.
        about: what else `model.json` shall say.
        say: told what is done.
    """
    sizes = sizes or Sizes()
    fitted, kept = data.where(np.isin(data.group, FITTED)), data.where(data.group == "conformal")
    folder.mkdir(parents=True, exist_ok=True)
    say(f"fitting to {len(fitted):,} cases x {len(AUTOMATIC)} methods")
    _export(forest(fitted, seed, sizes, seen), folder / "forest.onnx", len(NAMES))
    _export(network(fitted, seed, sizes), folder / "overhead.onnx", len(NAMES))
    say("judging itself on families that it does not know")
    judge, width = confident(data.where(np.isin(data.group, (*FITTED, "conformal"))), seed, sizes)
    _export(judge, folder / "confidence.onnx", width)
    known = reference(fitted.features[:, 0, PLACE].astype(float), _REFERENCES, seed)
    np.savez_compressed(folder / "novelty.npz", mean=known.mean, scale=known.scale, rows=known.rows.astype(np.float32))
    description = {
        "format": FORMAT,
        "features": list(NAMES),
        "methods": list(AUTOMATIC),
        "quantile": 0.0,
        "threshold": 0.0,
        "coverage": COVERAGE,
        "seed": seed,
        "sizes": asdict(sizes),
        "cases": len(fitted),
        "learned from measurements": 0 if seen is None else len(seen.errors),
        "limits": _limits(fitted),
        **about,
    }
    write_description(folder, description)
    predicted = load(folder).predict(kept.features)
    description["quantile"] = quantile(scores(predicted.errors, kept, seed), COVERAGE)
    description["threshold"] = quantile(predicted.distances, USUAL)
    write_description(folder, description)
    return load(folder)


def _limits(fitted: Examples) -> dict[str, int]:
    """The largest circuits that were learned from."""
    column = fitted.features[:, 0, :].max(axis=0)
    return {"qubits": round(float(column[NAMES.index("qubits")])), "gates": round(float(column[NAMES.index("entangling gates")]))}


def forest(data: Examples, seed: int, sizes: Sizes, seen: Experience | None = None) -> Any:
    """Of log (true error / predicted by the closed form with the signal); what is near the best counts more."""
    logs = np.log(np.maximum(data.errors, 1e-6))
    behind = logs - logs.min(axis=1, keepdims=True)
    found = RandomForestRegressor(
        sizes.trees, max_leaf_nodes=sizes.leaves, min_samples_leaf=5, max_features=0.5, max_samples=0.2, random_state=seed
    )
    rows: NDArray[Any] = data.features.reshape(-1, len(NAMES))
    targets = (logs - data.features[:, :, 0]).reshape(-1)
    weights = (0.2 + np.exp(-3 * behind)).reshape(-1)
    if seen is not None and len(seen.errors):
        rows = np.concatenate([rows, seen.features])
        targets = np.concatenate([targets, seen.targets])
        weights = np.concatenate([weights, np.minimum(1.0, seen.draws / 4)])
    return found.fit(rows, targets, sample_weight=weights)


def network(data: Examples, seed: int, sizes: Sizes) -> Any:
    """Of log (variance x shots of a method / of raw): how many shots stand for one of raw's."""
    perceptron = MLPRegressor(hidden_layer_sizes=sizes.hidden, random_state=seed, early_stopping=True, max_iter=100)
    found = make_pipeline(StandardScaler(), perceptron)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops when it gets no better, or after so many rounds
        return found.fit(data.features.reshape(-1, len(NAMES)), np.clip(np.log(data.overheads), -5.0, 15.0).reshape(-1))


def confident(data: Examples, seed: int, sizes: Sizes) -> tuple[Any, int]:
    """A forest for the chance that a pick is within 10 % of the best, and its width.

    It is fitted to picks in what was left out, families one time and devices the other: what comes may be new in either way.
    """
    smaller = Sizes(max(6, sizes.trees // 4), sizes.leaves, sizes.hidden)
    device = np.array([name.partition("~")[0].partition(" ")[0] for name in data.place])
    rows, good = [], []
    for groups in (data.family, device):
        errors = _left_out(data, groups, seed, smaller)
        picked = data.errors[np.arange(len(data)), errors.argmin(axis=1)]
        good.append(np.log(picked / data.errors.min(axis=1)) <= CLOSE)
        rows.append(gaps(errors, data.features))
    found = RandomForestRegressor(60, min_samples_leaf=80, max_features=0.4, max_samples=0.5, random_state=seed)
    return found.fit(np.concatenate(rows), np.concatenate(good).astype(float)), rows[0].shape[1]


def _left_out(data: Examples, groups: NDArray[np.str_], seed: int, sizes: Sizes) -> Floats:
    """(cases, methods): errors predicted by forests that know other groups only."""
    errors = np.empty_like(data.errors)
    for inside, outside in GroupKFold(_FOLDS).split(data.errors, groups=groups):
        known = data.where(np.isin(np.arange(len(data)), inside))
        left = data.features[outside]
        residual = forest(known, seed, sizes).predict(left.reshape(-1, len(NAMES))).reshape(left.shape[:2])
        errors[outside] = np.exp(left[:, :, 0] + residual)
    return errors


def scores(errors: Floats, data: Examples, seed: int) -> Floats:
    """(cases,): the error of one run of the pick / the predicted error."""
    rows, picks = np.arange(len(data)), errors.argmin(axis=1)
    draw = np.random.default_rng(seed).standard_normal(len(data))
    achieved = np.abs(data.bias[rows, picks] + data.deviation[rows, picks] * draw)
    return np.asarray(achieved / errors[rows, picks])


def _export(regressor: Any, path: Path, width: int) -> None:
    """As ONNX, in single precision."""
    kinds = [("features", FloatTensorType([None, width]))]
    path.write_bytes(to_onnx(regressor, initial_types=kinds, target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString())
