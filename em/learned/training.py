"""From simulated devices to a model in a folder: fitted, exported, calibrated on devices that it was not fitted to, described."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx  # type: ignore[import-untyped]
from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]
from sklearn.base import RegressorMixin, clone  # type: ignore[import-untyped]
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor  # type: ignore[import-untyped]
from sklearn.linear_model import Ridge  # type: ignore[import-untyped]
from sklearn.model_selection import GroupKFold, cross_val_predict  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from em.learned.cases import SETTINGS, cases
from em.learned.conformal import quantile
from em.learned.devices import CONFORMAL, FITTED
from em.learned.examples import Example, examples, stacked
from em.learned.features import FEATURES, NAMES, STRUCTURE, Floats
from em.learned.model import REGRESSORS, Model, kind, loaded
from em.learned.novelty import reference

COVERAGE = 0.95
"""Of the intervals."""

USUAL = 0.99
"""Of the observables of circuits like those that were learned from, so many are in range."""

_REFERENCES = 2000
_UNUSED = {"nodes_hitrates", "nodes_missing_value_tracks_true"}  # by what runs a tree; a sixth of its file

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is learned from.

    Attributes:
        random, ising, vqe: circuits of each family.
        copies: devices that a circuit of `random` and `vqe` runs on; those of `ising` run on one for each kind of noise.
        draws: times that a simulated circuit's shots are drawn.
        conformal: circuits of each setting that intervals are calibrated on.
        trees: of the forest.
        leaves: of each tree.
    """

    random: int = 50
    ising: int = 300
    vqe: int = 60
    copies: int = 2
    draws: int = 2
    conformal: int = 24
    trees: int = 60
    leaves: int = 1200


def train(seed: int, folder: Path, sizes: Sizes, say: Say = lambda text: None) -> Model:
    """Fits, calibrates, writes `*.onnx`, `novelty.npz` and `model.json` into the folder, and returns the model as it ships.

    What is fitted is in standard deviations of the physical estimate, each example weighing one of them: without, few very noisy
    circuits would decide; without the weights, the many almost noiseless ones.
    """
    fitted = learned_from(seed, sizes, say)
    features, residual, rows = stacked(fitted)
    circuits = np.unique([each.case.instance.source for each in fitted], return_inverse=True)[1][rows]
    weights = balance([each.case.setting for each in fitted], rows) * features[:, NAMES.index("sigma")]
    regressors = regressors_of(seed, sizes)
    say(f"fitting to {len(rows)} Pauli strings of {len(fitted)} executions")
    folder.mkdir(parents=True, exist_ok=True)
    for name, regressor in regressors.items():
        export(regressor.fit(features, residual, **_weighing(regressor, weights)), folder / f"{name}.onnx")
    spread = spread_of(regressors["forest"], features, residual, circuits, seed)
    export(spread, folder / "spread.onnx")
    known = reference(features[:, STRUCTURE], _REFERENCES, seed)
    np.savez_compressed(folder / "novelty.npz", mean=known.mean, scale=known.scale, rows=known.rows.astype(np.float32))
    say("calibrating on devices that nothing was fitted to")
    model = loaded(folder, {"features": list(NAMES)})
    scores = calibrated(model, list(examples(cases(SETTINGS, range(sizes.conformal), CONFORMAL, seed + 3))))
    about = {
        "features": dict(FEATURES),
        **scores,
        "coverage": COVERAGE,
        "seed": seed,
        "sizes": asdict(sizes),
        "strings": len(rows),
        "shots": int(sum(each.case.shots for each in fitted)),
        "model_id": _content_id(folder, scores),
    }
    (folder / "model.json").write_text(json.dumps(about, indent=1) + "\n")
    return loaded(folder, about)


def learned_from(seed: int, sizes: Sizes, say: Say) -> list[Example]:
    """The examples that regressors are fitted to."""
    found: list[Example] = []
    for family, circuits, copies in (
        ("random", sizes.random, sizes.copies),
        ("ising", sizes.ising, 1),
        ("vqe", sizes.vqe, sizes.copies),
    ):
        settings = {name: setting for name, setting in SETTINGS.items() if name.split(" ")[0] == family}
        say(f"simulating {circuits} circuits of {family}")
        found += examples(cases(settings, range(circuits), FITTED, seed, copies=copies, train=True), sizes.draws, averaged=True)
    return found


def regressors_of(seed: int, sizes: Sizes) -> dict[str, Any]:
    """Unfitted, by name."""
    return {
        "forest": RandomForestRegressor(
            sizes.trees, max_leaf_nodes=sizes.leaves, min_samples_leaf=10, max_features=0.4, random_state=seed
        ),
        "linear": make_pipeline(StandardScaler(), Ridge(1.0)),
        "boosting": GradientBoostingRegressor(
            n_estimators=150,
            max_depth=4,
            min_samples_leaf=20,
            learning_rate=0.08,
            subsample=0.5,
            max_features=0.3,
            random_state=seed,
        ),
    }


def spread_of(forest: Any, features: Floats, residual: Floats, circuits: NDArray[np.intp], seed: int) -> Any:
    """A small forest for how far off the big one is on circuits that it does not know."""
    smaller = clone(forest).set_params(n_estimators=30)
    unknown = cross_val_predict(smaller, features, residual, groups=circuits, cv=GroupKFold(3))
    spread = RandomForestRegressor(40, max_leaf_nodes=60, min_samples_leaf=20, max_features=0.5, random_state=seed)
    return spread.fit(features, np.abs(residual - unknown))


def balance(settings: Sequence[str], rows: NDArray[np.intp]) -> Floats:
    """(rows,): weights with which each setting counts the same."""
    kinds, member = np.unique(settings, return_inverse=True)
    member = member[rows]
    return np.asarray(len(rows) / len(kinds) / np.bincount(member)[member])


def export(regressor: RegressorMixin, path: Path) -> None:
    """As ONNX, in single precision."""
    kinds = [("features", FloatTensorType([None, len(NAMES)]))]
    model = to_onnx(regressor, initial_types=kinds, target_opset={"": 17, "ai.onnx.ml": 3})
    for node in model.graph.node:
        used = [attribute for attribute in node.attribute if attribute.name not in _UNUSED]
        del node.attribute[:]
        node.attribute.extend(used)
    path.write_bytes(model.SerializeToString())


def calibrated(model: Model, known: Sequence[Example]) -> dict[str, Any]:
    """`quantiles` of each regressor's intervals, and the `threshold` of distances.

    A new case does not say which setting it is of: the quantile is that of the setting which needs the largest.
    """
    distances: list[float] = []
    scores: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in known:
        for name in REGRESSORS:
            prediction = model.predict(each.table, name)
            for terms in each.terms:
                score = float(abs(terms @ (prediction.values - each.ideal)) / prediction.spread(terms))
                scores[name, kind(terms)][each.case.setting].append(score)
                if name == REGRESSORS[0]:
                    distances.append(prediction.distance(terms))
    quantiles: dict[str, dict[str, float]] = {name: {} for name in REGRESSORS}
    for (name, of), settings in scores.items():
        quantiles[name][of] = max(quantile(np.array(found), COVERAGE) for found in settings.values())
    return {"quantiles": quantiles, "threshold": quantile(np.array(distances), USUAL)}


def _weighing(regressor: Any, weights: Floats) -> Mapping[str, Floats]:
    return {"ridge__sample_weight": weights} if hasattr(regressor, "steps") else {"sample_weight": weights}


def _content_id(folder: Path, scores: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of all that a prediction depends on."""
    parts = [*(folder / f"{name}.onnx" for name in (*REGRESSORS, "spread")), folder / "novelty.npz"]
    digests = [hashlib.sha256(part.read_bytes()).hexdigest() for part in parts]
    return hashlib.sha256(json.dumps([digests, scores]).encode()).hexdigest()
