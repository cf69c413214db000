"""Which detectors to use, decided on the training file alone: by attacks of kinds that the detectors were not shown.

New attacks are what the second file is full of. So whole kinds are held out here, and clusters of normal connections, and every
kind counts the same, however many connections it has.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from threat.triage import novelty, stages
from threat.triage.measure import FOLDS, Rule, Say, folds
from threat.triage.nslkdd import Connections

CANDIDATES = (
    ("boosting",),
    ("boosting", "forest"),
    ("boosting", "neighbours"),
    ("boosting", "of service"),
    ("boosting", "neighbours", "of service"),
    ("boosting", "forest", "neighbours", "of service"),
)

NORMAL, ATTACKS = 4000, 500
"""Connections that are used, at most: normal ones, and of each kind of attack."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What some detectors find of attacks of unknown kinds.

    Attributes:
        detectors: names.
        kinds: mean over kinds of the share that is found.
        events: share of all attacks.
        false_positives: share of held-out normal connections.
    """

    detectors: tuple[str, ...]
    kinds: float
    events: float
    false_positives: float


def choices(train: Connections, seed: int, say: Say = lambda _: None) -> list[Choice]:
    """Every candidate, the best first."""
    train, part = _fewer(train, seed)
    held: list[stages.Scores] = []
    kinds: list[NDArray[np.str_]] = []
    for number in range(FOLDS):
        say(f"held-out part {number + 1} of {FOLDS}")
        rest = train.take(part == number)
        held.append(_scores(train.take(part != number), rest, seed))
        kinds.append(rest.kind)
    scores = {name: np.concatenate([each[name] for each in held]) for name in held[0]}
    return sorted((_choice(names, scores, np.concatenate(kinds)) for names in CANDIDATES), key=lambda each: -each.kinds)


def _fewer(train: Connections, seed: int) -> tuple[Connections, NDArray[np.int64]]:
    """Connections, and the part in which each is held out: clusters of normal ones, whole kinds of attack, dealt by size."""
    part, draw = folds(train, seed), np.random.default_rng(seed)
    kinds, counts = np.unique(train.kind[train.attack], return_counts=True)
    for place, kind in enumerate(kinds[np.argsort(-counts, kind="stable")]):
        part[train.kind == kind] = place % FOLDS
    rows = [
        draw.permutation(np.flatnonzero(train.kind == kind))[: NORMAL if kind == "normal" else ATTACKS]
        for kind in np.unique(train.kind)
    ]
    kept = np.sort(np.concatenate(rows))
    return train.take(kept), part[kept]


def _scores(fit: Connections, score: Connections, seed: int) -> stages.Scores:
    return {
        "signatures": score.signature.astype(np.float64),
        "boosting": stages.boosting(fit, score, seed),
        "forest": stages.forest(fit, score, seed),
        "neighbours": novelty.neighbours(fit, score, seed),
        "of service": novelty.of_service(fit, score),
    }


def _choice(names: tuple[str, ...], scores: stages.Scores, kind: NDArray[np.str_]) -> Choice:
    normal = kind == "normal"
    rule = Rule({name: values[normal] for name, values in scores.items()}, names)
    flagged = rule.flagged(scores)
    shares = [float(flagged[kind == one].mean()) for one in np.unique(kind[~normal])]
    return Choice(names, float(np.mean(shares)), float(flagged[~normal].mean()), float(flagged[normal].mean()))
