"""A model from labelled events, and what it is worth: held-out figures beside those of its controls."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from threat.baseline import Baseline
from threat.vqc import encoding
from threat.vqc.circuit import Architecture, Floats
from threat.vqc.labelled import Labelled
from threat.vqc.model import Model
from threat.vqc.training import Say, Settings, fit


@dataclass(frozen=True, slots=True)
class Line:
    """One model's figures.

    Attributes:
        accuracy, auc: of each set of events, by its name.
        seconds: of training.
    """

    name: str
    accuracy: Mapping[str, float]
    auc: Mapping[str, float]
    seconds: float


def learn(
    events: Labelled, architecture: Architecture, settings: Settings, about: Mapping[str, Any], say: Say = lambda *_: None
) -> Model:
    """Fits the scorecard, then the circuit.

    Raises:
        VqcError: fewer features than qubits, or events of one class only.
    """
    card = encoding.fit(events.columns, events.features, events.labels, architecture.qubits)
    angles = card.angles(events.features)
    fitted = fit(architecture, angles, events.labels, settings, say)
    readout = np.array([fitted.scale, fitted.bias])
    control = Baseline.fit(np.nan_to_num(events.features), events.labels > 0.5)
    return Model(architecture, card, fitted.weights, readout, control, {**about, "loss": fitted.losses[-1]})


def measure(name: str, score: Any, sets: Mapping[str, Labelled], seconds: float) -> Line:
    """Accuracy at 0.5 and area under the ROC curve of a function from (events, k) features to probabilities."""
    found = {of: score(events.features) for of, events in sets.items()}
    accuracy = {of: float(np.mean((found[of] > 0.5) == (events.labels > 0.5))) for of, events in sets.items()}
    return Line(name, accuracy, {of: auc(events.labels, found[of]) for of, events in sets.items()}, seconds)


def auc(labels: Floats, scores: Floats) -> float:
    """The chance that a threat scores higher than another event, ties counting half (Mann and Whitney 1947)."""
    from scipy.stats import rankdata  # noqa: PLC0415 - takes a second to import

    ranks, threats = rankdata(scores), labels > 0.5
    count = int(threats.sum())
    above = ranks[threats].sum() - count * (count + 1) / 2
    return float(above / (count * (len(labels) - count)))


def controls(events: Labelled, model: Model, sets: Mapping[str, Labelled], settings: Settings) -> Iterator[Line]:
    """Trains and measures each control on the same events, those after the first on the same angles."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
    from sklearn.svm import SVC  # type: ignore[import-untyped]  # noqa: PLC0415

    angles = model.encoding.angles
    table: dict[str, tuple[Any, Any]] = {
        "boosting, all features": (HistGradientBoostingClassifier(random_state=settings.seed), lambda features: features),
        "boosting, same angles": (HistGradientBoostingClassifier(random_state=settings.seed), angles),
        "RBF-SVM, same angles": (SVC(C=10.0, gamma="scale"), angles),
    }
    yield measure("linear, all features (NumPy baseline)", model.baseline.score, sets, 0.0)
    for name, (control, view) in table.items():
        began = time.perf_counter()
        control.fit(view(events.features), events.labels)
        yield measure(name, _scorer(control, view), sets, time.perf_counter() - began)
    began = time.perf_counter()
    linear = Baseline.fit(angles(events.features), events.labels > 0.5)
    yield measure("linear, same angles", lambda features: linear.score(angles(features)), sets, time.perf_counter() - began)
    began = time.perf_counter()
    product = learn(events, Architecture(model.architecture.qubits, entangled=False), settings, {})
    yield measure("same circuit without entanglement", product.score, sets, time.perf_counter() - began)


def _scorer(control: Any, view: Any) -> Any:
    """Probabilities, or decision values brought into (0, 1) with 0 at 0.5."""
    if hasattr(control, "predict_proba"):
        return lambda features: control.predict_proba(view(features))[:, 1]
    return lambda features: 1 / (1 + np.exp(-control.decision_function(view(features))))
