"""The stages of triage on NSL-KDD: each is fitted to some connections and scores others, higher being worse."""

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest  # type: ignore[import-untyped]

from threat.baseline import Baseline
from threat.triage.nslkdd import Connections, Floats, Vocabulary
from threat.vqc import encoding
from threat.vqc.circuit import Architecture
from threat.vqc.labelled import Labelled
from threat.vqc.learning import learn
from threat.vqc.training import Settings

Scores: TypeAlias = Mapping[str, Floats]

_BALANCED = 1000
"""A type with fewer connections than this counts more, by the root of what it lacks: seven warezmasters are no noise."""


def boosting(fit: Connections, score: Connections, seed: int) -> Floats:
    """The probability of an attack by boosted trees over all features."""
    words = Vocabulary(fit.words)
    kinds = Counter(fit.kind.tolist())
    weights = np.array([1.0 if kind == "normal" else (_BALANCED / kinds[kind]) ** 0.5 for kind in fit.kind.tolist()])

    def table(events: Connections) -> Floats:
        codes = words.codes(events.words).astype(np.float64)
        return np.column_stack([events.everything, np.where(codes == np.array(words.sizes) - 1, np.nan, codes)])

    numbers = fit.everything.shape[1]
    model = HistGradientBoostingClassifier(
        categorical_features=[False] * numbers + [True] * fit.words.shape[1],
        max_iter=150,
        max_leaf_nodes=8,
        l2_regularization=5.0,
        min_samples_leaf=5,
        random_state=seed,
    )
    return np.asarray(model.fit(table(fit), fit.attack, sample_weight=weights).predict_proba(table(score))[:, 1])


def forest(fit: Connections, score: Connections, seed: int) -> Floats:
    """How strange an isolation forest of normal connections finds them."""
    words = Vocabulary(fit.words)

    def table(events: Connections) -> Floats:
        return np.column_stack([events.numbers, words.indicators(events.words)])

    model = IsolationForest(n_estimators=300, max_samples=512, random_state=seed)
    return np.asarray(-model.fit(table(fit)[~fit.attack]).score_samples(table(score)))


def second_opinions(fit: Connections, score: Connections, seed: int, qubits: int = 4) -> Scores:
    """The exact quantum classifier and what it has to be compared with, all on the same four angles."""
    words = Vocabulary(fit.words)

    def table(events: Connections) -> Floats:
        return np.column_stack([events.everything, words.codes(events.words)])

    columns = tuple(f"feature-{place}" for place in range(table(fit).shape[1]))
    events = Labelled(columns, table(fit), fit.attack.astype(np.float64))
    angles = encoding.fit(columns, events.features, events.labels, qubits).angles
    linear = Baseline.fit(angles(events.features), fit.attack)
    settings = Settings(seed=seed)
    whole, product = (learn(events, Architecture(qubits, entangled=entangled), settings, {}) for entangled in (True, False))
    return {
        "quantum": whole.score(table(score)),
        "without entanglement": product.score(table(score)),
        "linear": linear.score(angles(table(score))),
    }
