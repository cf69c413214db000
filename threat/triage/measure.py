"""Triage as a whole: thresholds from connections held out by kind, then the test set, once.

Ordinary cross-validation promises too much: the test set's normal traffic is not the training's. Normal connections are therefore
held out in clusters, so that what is held out is unlike what was learned. What each detector says of a connection becomes its
surprise: minus the logarithm of the share of held-out normal connections that it finds as bad. The largest surprise counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans  # type: ignore[import-untyped]

from threat.triage import novelty, stages
from threat.triage.nslkdd import Connections, Floats, Vocabulary

DETECTORS = ("boosting", "forest", "neighbours", "of service")
"""What may call a connection an attack; chosen by attacks of kinds that were held out of the training file."""

CONTROLS = (("boosting",), ("boosting", "forest"))
"""The same rule with other detectors."""

FLAGGED = 0.033
"""Share of held-out normal connections that all detectors and signatures together may flag."""

ESCALATED = 0.15
"""Share up to which those that surprise most, and are not caught yet, are put to the second opinion."""

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
    reference = _held_out(train, folds(train, seed), lambda fit, rest: _all(fit, rest, seed), say)
    say("all of the training, then the test set")
    return _measured(reference, _all(train, test, seed), test)


def _all(fit: Connections, score: Connections, seed: int) -> stages.Scores:
    return {
        "signatures": score.signature.astype(np.float64),
        "boosting": stages.boosting(fit, score, seed),
        "neighbours": novelty.neighbours(fit, score, seed),
        "of service": novelty.of_service(fit, score),
        "forest": stages.forest(fit, score, seed),
        **stages.second_opinions(fit, score, seed),
    }


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


class Rule:
    """Signatures, and detectors that share one bound on surprise; the bound comes from held-out normal connections."""

    def __init__(self, reference: stages.Scores, detectors: Sequence[str]) -> None:
        self._reference, self._detectors = reference, detectors
        surprise = np.where(reference["signatures"] > 0, np.inf, self.surprise(reference))
        self.bound, self.door = np.quantile(surprise, (1 - FLAGGED, 1 - ESCALATED))

    def surprise(self, scores: stages.Scores, among: Sequence[str] = ()) -> Floats:
        """(n,): the largest of the detectors', or of some of them."""
        each = [_surprise(self._reference[name], scores[name]) for name in among or self._detectors]
        return np.asarray(np.max(each, axis=0))

    def flagged(self, scores: stages.Scores, among: Sequence[str] = ()) -> NDArray[np.bool_]:
        """(n,): caught by signatures or detectors, or by some of these."""
        return np.asarray((scores["signatures"] > 0) | (self.surprise(scores, among) > self.bound))

    def waiting(self, scores: stages.Scores) -> NDArray[np.bool_]:
        """(n,): put to the second opinion."""
        return np.asarray(~self.flagged(scores) & (self.surprise(scores) > self.door))


def _surprise(normal: Floats, scores: Floats) -> Floats:
    above = len(normal) - np.searchsorted(np.sort(normal), scores, side="left")
    return np.asarray(-np.log((above + 1) / (len(normal) + 1)))


def _measured(reference: stages.Scores, scored: stages.Scores, test: Connections) -> Measured:
    rule = Rule(reference, DETECTORS)
    boosted = rule.surprise(scored, DETECTORS[:1]) > rule.bound
    cumulative = [rule.flagged(scored, DETECTORS[:count]) for count in range(1, len(DETECTORS) + 1)]
    first, held = cumulative[-1], rule.waiting(reference)

    def line(name: str, flagged: NDArray[np.bool_], before: NDArray[np.bool_] | None = None) -> Line:
        attack = test.attack
        added = None if before is None else int((flagged & ~before & attack).sum())
        wrong = float(flagged[~attack].mean())
        return Line(name, int((attack & ~flagged).sum()), wrong, float((flagged == attack).mean()), added)

    def raised(name: str) -> NDArray[np.bool_]:
        """With those of the escalated that a second opinion raises."""
        limit = np.quantile(reference[name][held], max(0.0, 1 - RAISED * len(held) / max(1, held.sum())))
        return np.asarray(first | (rule.waiting(scored) & (scored[name] > limit)))

    final, half = raised("quantum"), scored["boosting"] > 0.5
    lines = (
        line("boosting", boosted),
        line("+ signatures", cumulative[0], boosted),
        *(line(f"+ {DETECTORS[at]}", cumulative[at], cumulative[at - 1]) for at in range(1, len(DETECTORS))),
        line("+ quantum opinion", final, first),
    )
    controls = (
        line("boosting at 0.5", half),
        *(line(f"{' and '.join(names)} alone", Rule(reference, names).flagged(scored)) for names in CONTROLS),
        *(line(f"{name} for the quantum opinion", raised(name), first) for name in ("without entanglement", "linear")),
    )
    kinds, counts = np.unique(test.kind[test.attack & ~final], return_counts=True)
    missed = [(str(kind), int(count), int((test.kind == kind).sum())) for kind, count in zip(kinds, counts, strict=True)]
    return Measured(lines, controls, int(test.attack.sum()), tuple(sorted(missed, key=lambda each: -each[1])))
