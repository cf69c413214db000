"""Makes the classical model: boosting, baseline and novelty gate from labelled events. scikit-learn here and nowhere else."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

from threat import trees
from threat.baseline import Baseline, Floats
from threat.classical import NOVELTY_PERCENTILE, Classical, Verdicts

HELD_OUT = 0.25
"""Share of the events on which the threshold and the figures are taken."""


def train(features: Floats, labels: NDArray[np.str_], columns: Sequence[str], seed: int, about: dict[str, Any]) -> Classical:
    """A model, with its figures on events held out in `about`.

    Args:
        features: (n, k).
        labels: (n,) the technique or kind of threat, empty for normal.
        columns: (k,) names.
        seed: of the split, boosting and forest.
        about: what else the model's card shall say.
    """
    fit, held = train_test_split(np.arange(len(labels)), test_size=HELD_OUT, random_state=seed, stratify=labels != "")
    techniques = tuple(sorted(set(labels) - {""}))
    classes = np.array([techniques.index(label) + 1 if label else 0 for label in labels])
    boosting = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, learning_rate=0.15, l2_regularization=1.0, random_state=seed
    ).fit(features[fit].astype(np.float32), classes[fit])
    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=seed)
    forest.fit(features[fit][labels[fit] == ""].astype(np.float32))
    model = Classical(
        columns=tuple(columns),
        techniques=techniques,
        boosting=trees.boosting(boosting, features.shape[1]),
        forest=trees.forest(forest, features.shape[1]),
        baseline=Baseline.fit(features[fit], labels[fit] != ""),
        novelty_threshold=0.0,
        about={},
    )
    normal = model.judge(features[held][labels[held] == ""])
    threshold = float(np.percentile(normal.novelty, NOVELTY_PERCENTILE))
    judged = model.judge(features[held])
    figures = _figures(judged, labels[held] != "", threshold)
    final = {**about, "seed": seed, "events": len(labels), "held_out": len(held), "figures": figures}
    return Classical(model.columns, techniques, model.boosting, model.forest, model.baseline, threshold, final)


def _figures(judged: Verdicts, threat: NDArray[np.bool_], threshold: float) -> dict[str, float]:
    """On events that the model has not seen."""

    def share(found: NDArray[np.bool_]) -> float:
        return round(float(found.mean()), 4)

    return {
        "boosting accuracy": share((judged.probability >= 0.5) == threat),
        "boosting finds of threats": share(judged.probability[threat] >= 0.5),
        "boosting false positives": share(judged.probability[~threat] >= 0.5),
        "baseline accuracy": share((judged.baseline >= 0.5) == threat),
        "novel of threats": share(judged.novelty[threat] > threshold),
        "novel of normal": share(judged.novelty[~threat] > threshold),
    }
