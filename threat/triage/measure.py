"""Triage as a whole: thresholds from connections held out by kind, then the test set, once.

Ordinary cross-validation promises too much: the test set's normal traffic is not the training's. Normal connections are therefore
held out in clusters, so that what is held out is unlike what was learned; every p-value and threshold comes from these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans  # type: ignore[import-untyped]

from threat.triage import stages
from threat.triage.nslkdd import Connections, Floats, Vocabulary

FALSE_POSITIVES = 0.036
"""Of normal connections, all stages together."""

QUANTUM_SHARE = 0.006
"""What of it is left to the second opinion."""

ESCALATED = 0.10
"""Normal connections, by classical strangeness, that are escalated: of these the second opinion may raise some."""

FOLDS = 5
CLUSTERS = 100
NOVELTY_PERCENTILE = 95.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Line:
    """What a stage or a control finds in the test set.

    Attributes:
        name: of the stage.
        missed: attacks that it does not find.
        false_positives: share of the normal connections.
        added: attacks that are found with it and not without it, for a stage that stands behind another.
    """

    name: str
    missed: int
    false_positives: float
    accuracy: float
    added: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Stages and controls on the test set, and which kinds of attack were missed."""

    stages: tuple[Line, ...]
    controls: tuple[Line, ...]
    attacks: int
    missed: tuple[tuple[str, int, int], ...]


def measure(train: Connections, test: Connections, seed: int, say: Say = lambda _: None) -> Measured:
    """Fits all stages and all thresholds on `train`, then scores `test` once."""
    fold = folds(train, seed)
    held: list[dict[str, Floats]] = []
    for number in range(FOLDS):
        say(f"held-out part {number + 1} of {FOLDS}")
        fit, rest = train.take(fold != number), train.take(fold == number)
        rest = rest.take(~rest.attack)
        held.append({**stages.classical(fit, rest, seed), **stages.second_opinions(fit, rest, seed)})
    reference = {name: np.concatenate([part[name] for part in held]) for name in held[0]}
    say("all of the training, then the test set")
    scored = {**stages.classical(train, test, seed), **stages.second_opinions(train, test, seed)}
    return _measured(reference, scored, test)


def folds(train: Connections, seed: int) -> NDArray[np.int64]:
    """(n,): the part in which each connection is held out; a cluster of normal ones is held out as a whole."""
    draw = np.random.default_rng(seed)
    table = np.column_stack([train.numbers, Vocabulary(train.words).indicators(train.words)])
    normal = table[~train.attack]
    normal = (normal - normal.mean(0)) / (normal.std(0) + 0.05)
    cluster = KMeans(min(CLUSTERS, len(normal)), random_state=seed, n_init=1).fit_predict(normal)
    part = draw.integers(0, FOLDS, len(train.kind))
    part[~train.attack] = draw.integers(0, FOLDS, CLUSTERS)[cluster]
    return part


def strange(reference: stages.Scores, scores: stages.Scores) -> Floats:
    """(n,): Fisher's sum of -log p over the classical stages, p against held-out normal connections."""
    return np.sum([-np.log(_p(reference[name], scores[name])) for name in ("boosting", "forest", "density")], axis=0)


def _measured(reference: stages.Scores, scored: stages.Scores, test: Connections) -> Measured:
    known, found = strange(reference, reference), strange(reference, scored)
    cut = np.quantile(known, 1 - FALSE_POSITIVES + QUANTUM_SHARE)
    door = np.quantile(known, 1 - ESCALATED)
    boosted = scored["boosting"] > np.quantile(reference["boosting"], 1 - FALSE_POSITIVES + QUANTUM_SHARE)
    first, escalated = found > cut, (found > door) & (found <= cut)

    def line(name: str, flagged: NDArray[np.bool_], before: NDArray[np.bool_] | None = None) -> Line:
        attack = test.attack
        added = None if before is None else int((flagged & ~before & attack).sum())
        wrong = float(flagged[~attack].mean())
        return Line(name, int((attack & ~flagged).sum()), wrong, float((flagged == attack).mean()), added)

    def raised(name: str) -> NDArray[np.bool_]:
        """With those of the escalated that a second opinion raises, at its share of false positives."""
        waiting = (known > door) & (known <= cut)
        limit = np.quantile(reference[name][waiting], max(0.0, 1 - QUANTUM_SHARE * len(known) / max(1, waiting.sum())))
        return first | (escalated & (scored[name] > limit))

    final = raised("quantum")
    lines = (line("boosting", boosted), line("with novelty", first, boosted), line("with the quantum opinion", final, first))
    gate = scored["forest"] > np.percentile(reference["forest"], NOVELTY_PERCENTILE)
    controls = (
        line("boosting at 0.5", scored["boosting"] > 0.5),
        line("boosting at 0.5, or novel to the forest", (scored["boosting"] > 0.5) | gate),
        line("classical alone, with all of the false positives", found > np.quantile(known, 1 - FALSE_POSITIVES)),
        *(line(f"with {name} for the quantum opinion", raised(name), first) for name in ("without entanglement", "linear")),
    )
    kinds, counts = np.unique(test.kind[test.attack & ~final], return_counts=True)
    missed = [(str(kind), int(count), int((test.kind == kind).sum())) for kind, count in zip(kinds, counts, strict=True)]
    return Measured(lines, controls, int(test.attack.sum()), tuple(sorted(missed, key=lambda each: -each[1])))


def _p(reference: Floats, scores: Floats) -> Floats:
    """The share of the reference that is at least as strange, never 0."""
    ordered = np.sort(reference)
    return np.asarray((len(ordered) - np.searchsorted(ordered, scores, "left") + 1) / (len(ordered) + 1))
