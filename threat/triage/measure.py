"""Triage as a whole: thresholds from connections held out by kind, then the test set, once.

Ordinary cross-validation promises too much: the test set's normal traffic is not the training's. Normal connections are therefore
held out in clusters, so that what is held out is unlike what was learned, for all thresholds but the novelty gate's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans  # type: ignore[import-untyped]

from threat.triage import stages
from threat.triage.nslkdd import Connections, Floats, Vocabulary

BOOSTED = 0.024
"""Share of normal connections, held out in clusters, that boosting may call attacks."""

NOVELTY_PERCENTILE = 95.0
"""Of normal connections held out at random: what is stranger to the forest is novel, and at least HIGH."""

ESCALATED_PERCENTILE = 85.0
"""What is stranger than this and not caught yet is put to the second opinion."""

RAISED = 0.003
"""Share of normal connections that the second opinion may raise."""

FOLDS = 5
CLUSTERS = 100

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
    parts = folds(train, seed)
    clustered = _held_out(train, parts, lambda fit, rest: _all(fit, rest, seed), say)
    anyhow = np.random.default_rng(seed).permutation(parts)
    novelty = _held_out(train, anyhow, lambda fit, rest: {"forest": stages.forest(fit, rest, seed)}, say)["forest"]
    say("all of the training, then the test set")
    return _measured(clustered, novelty, _all(train, test, seed), test)


def _all(fit: Connections, score: Connections, seed: int) -> stages.Scores:
    first = {"boosting": stages.boosting(fit, score, seed), "forest": stages.forest(fit, score, seed)}
    return {**first, **stages.second_opinions(fit, score, seed)}


def _held_out(
    train: Connections, part: NDArray[np.int64], scores: Callable[[Connections, Connections], stages.Scores], say: Say
) -> stages.Scores:
    """The scores of the normal connections, each by what was fitted without its part."""
    held = []
    for number in range(FOLDS):
        say(f"held-out part {number + 1} of {FOLDS}")
        rest = train.take(part == number)
        held.append(scores(train.take(part != number), rest.take(~rest.attack)))
    return {name: np.concatenate([each[name] for each in held]) for name in held[0]}


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


def _measured(reference: stages.Scores, novelty: Floats, scored: stages.Scores, test: Connections) -> Measured:
    gate, door = np.percentile(novelty, (NOVELTY_PERCENTILE, ESCALATED_PERCENTILE))
    boosted = scored["boosting"] > np.quantile(reference["boosting"], 1 - BOOSTED)
    known = boosted | test.signature
    first = known | (scored["forest"] > gate)
    waiting = (reference["forest"] > door) & (reference["forest"] <= gate)

    def line(name: str, flagged: NDArray[np.bool_], before: NDArray[np.bool_] | None = None) -> Line:
        attack = test.attack
        added = None if before is None else int((flagged & ~before & attack).sum())
        wrong = float(flagged[~attack].mean())
        return Line(name, int((attack & ~flagged).sum()), wrong, float((flagged == attack).mean()), added)

    def raised(name: str) -> NDArray[np.bool_]:
        """With those of the escalated that a second opinion raises."""
        limit = np.quantile(reference[name][waiting], max(0.0, 1 - RAISED * len(waiting) / max(1, waiting.sum())))
        return np.asarray(first | ((scored["forest"] > door) & (scored[name] > limit)))

    final, half = raised("quantum"), scored["boosting"] > 0.5
    lines = (
        line("boosting", boosted),
        line("+ signatures", known, boosted),
        line("+ novelty", first, known),
        line("+ quantum opinion", final, first),
    )
    controls = (
        line("boosting at 0.5", half),
        line("boosting at 0.5, or novel", half | (scored["forest"] > gate), half),
        line("novel alone", scored["forest"] > gate),
        *(line(f"{name} for the quantum opinion", raised(name), first) for name in ("without entanglement", "linear")),
    )
    kinds, counts = np.unique(test.kind[test.attack & ~final], return_counts=True)
    missed = [(str(kind), int(count), int((test.kind == kind).sum())) for kind, count in zip(kinds, counts, strict=True)]
    return Measured(lines, controls, int(test.attack.sum()), tuple(sorted(missed, key=lambda each: -each[1])))
