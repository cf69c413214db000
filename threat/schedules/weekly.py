"""The week's training: a new quantum classifier from analysts' labels, promoted only if it is better on held-out events.

The rule: on the held-out events, the mean of the accuracies of both classes (threats, others) of the new model less that of the
model in use; of `DRAWS` bootstrap samples, drawn within each class, at least 95 in 100 must find it above 0. A tie keeps the old.
Which events are held out depends on their ids alone, so that what was held out once is never learned from.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from threat.errors import DataError
from threat.features import COLUMNS
from threat.vqc.circuit import Floats
from threat.vqc.labelled import BENIGN, Labelled
from threat.vqc.learning import learn
from threat.vqc.model import Model
from threat.vqc.training import Say, Settings

HELD_OUT = 0.3
DRAWS = 2_000
SURE = 0.95
FEWEST = 20
"""Events of each class, held out and not: with fewer nothing can be said."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a training.

    Attributes:
        model: the new one.
        promoted: whether it is better.
        before, after: mean of both classes' accuracies on the held-out events: of the model in use, of the new one.
        share: of the bootstrap samples that found it better.
        learned, held: how many events.
    """

    model: Model
    promoted: bool
    before: float
    after: float
    share: float
    learned: int
    held: int

    @property
    def sentence(self) -> str:
        """In words."""
        found = (
            f"{self.after:.4f} against {self.before:.4f} on {self.held:,} held-out events, better in {self.share:.1%} of samples"
        )
        return f"{'promoted' if self.promoted else 'kept the old model'}: {found}"


def labels(path: Path) -> dict[str, bool]:
    """Event id -> whether it is a threat, from CSV with the columns event_id and label, or from lines of JSON with these fields.

    `normal`, `benign`, `false` and `0` are no threats, all else is one. Of an event that stands twice the last line holds.

    Raises:
        DataError: a line that does not fit, by its number; or no labels at all.
    """
    found: dict[str, bool] = {}
    for number, row in _rows(path):
        event, label = row.get("event_id"), row.get("label")
        if not isinstance(event, str) or not event or label is None or str(label).strip() == "":
            raise DataError(f"{path}, line {number}: an event_id and a label are wanted")
        found[event] = str(label).strip().lower() not in BENIGN
    if not found:
        raise DataError(f"{path} holds no labels: write lines of event_id,label under that heading, or of JSON")
    return found


def retrain(ids: Sequence[str], events: Labelled, present: Model, settings: Settings, say: Say = lambda *_: None) -> Decision:
    """Trains on the events that are not held out and compares on the others.

    Args:
        ids: (events,) of the events.
        events: with `threat.features.COLUMNS`.
        present: the model in use.
        settings: of the training; its seed is also the bootstrap's.
        say: is told how far the training is.

    Raises:
        DataError: too few events of a class.
    """
    apart = np.array([held_out(event) for event in ids], dtype=bool)
    learned, held = (events.take(np.flatnonzero(rows).tolist()) for rows in (~apart, apart))
    for what, part in (("to learn from", learned), ("held out", held)):
        threats = int(part.labels.sum())
        if min(threats, len(part.labels) - threats) < FEWEST:
            said = f"{threats} threats and {len(part.labels) - threats} others {what}"
            raise DataError(f"too few labels of the period's events: {said}; at least {FEWEST} of each are wanted")
    about = {
        "data": "labelled events of a week",
        "seed": settings.seed,
        "events": len(learned.labels),
        "held_out": len(held.labels),
    }
    model = learn(learned, present.architecture, settings, about, say)
    right = [_right(each, held) for each in (present, model)]
    before, after = (_balanced(each, held.labels) for each in right)
    share = bootstrap(right[0], right[1], held.labels, settings.seed)
    return Decision(model, share >= SURE, before, after, share, len(learned.labels), len(held.labels))


def held_out(event_id: str) -> bool:
    """Whether an event is held out, of every training."""
    return int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:4]) < HELD_OUT * 2**32


def bootstrap(before: Floats, after: Floats, truth: Floats, seed: int) -> float:
    """The share of bootstrap samples in which `after` beats `before`; (events,) of 0 and 1: whether each answer is right."""
    draw = np.random.default_rng(seed)
    gain = np.zeros(DRAWS)
    for label in (0, 1):
        differences = (after - before)[truth == label]
        gain += differences[draw.integers(len(differences), size=(DRAWS, len(differences)))].mean(axis=1)
    return float(np.mean(gain > 0))


def _right(model: Model, events: Labelled) -> Floats:
    wanted = [COLUMNS.index(column) for column in model.columns]
    answers = model.score(events.features[:, wanted]) >= 0.5
    return np.asarray(answers == (events.labels > 0.5), dtype=np.float64)


def _balanced(right: Floats, truth: Floats) -> float:
    return float(np.mean([right[truth == label].mean() for label in (0, 1)]))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    number = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            if path.suffix in (".jsonl", ".ndjson", ".json"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        row = json.loads(line)
                        yield number, row if isinstance(row, dict) else {}
            else:
                table = csv.DictReader(file)
                for row in table:
                    yield table.line_num, row
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path}, line {number}: {error}") from error
