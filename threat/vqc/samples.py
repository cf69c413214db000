"""The 20 sample threats, and what the NumPy baseline and the circuit say of each."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from threat.errors import DataError, LineError
from threat.features import features
from threat.feeds.normalise import normalise
from threat.vqc.card import markdown
from threat.vqc.model import Model

FOLDER = Path("examples/threats")
_REPEATS = 2_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample and both answers.

    Attributes:
        threat: what it is.
        baseline, vqc: the probability of a threat.
    """

    name: str
    title: str
    threat: bool
    baseline: float
    vqc: float

    @property
    def right(self) -> tuple[bool, bool]:
        """Whether baseline and circuit are."""
        return (self.baseline > 0.5) == self.threat, (self.vqc > 0.5) == self.threat


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on all samples.

    Attributes:
        seconds: per event, of baseline and circuit: all samples many times over in one batch, encoding included.
    """

    answers: tuple[Answer, ...]
    seconds: tuple[float, float]

    @property
    def accuracy(self) -> tuple[float, float]:
        """Of baseline and circuit."""
        baseline, vqc = np.mean([answer.right for answer in self.answers], axis=0).tolist()
        return baseline, vqc


def compare(model: Model, folder: Path = FOLDER) -> Comparison:
    """Asks both about every sample of a folder.

    Raises:
        DataError: no samples, or one that is no event; names it.
    """
    samples = _samples(folder)
    table = _features(samples)
    answers = tuple(
        Answer(path.stem, str(sample["title"]), bool(sample["threat"]), baseline, vqc)
        for (path, sample), baseline, vqc in zip(
            samples.items(), model.baseline.score(table).tolist(), model.score(table).tolist(), strict=True
        )
    )
    many = np.tile(table, (_REPEATS // len(table) + 1, 1))
    return Comparison(answers, (_seconds(model.baseline.score, many), _seconds(model.score, many)))


def features_of(folder: Path = FOLDER) -> Any:
    """(samples, k): the platform's features of all samples, in the order of their names. Raises DataError like `compare`."""
    return _features(_samples(folder))


def table(found: Comparison) -> str:
    """The answers as Markdown: what does not depend on the machine."""
    rows = [
        (answer.name, answer.title, _word(answer.threat), f"{answer.baseline:.3f}", f"{answer.vqc:.3f}", _marks(answer.right))
        for answer in found.answers
    ]
    return markdown(("sample", "what it is", "truth", "baseline", "VQC", "right"), rows)


def page(model: Model, found: Comparison, day: str) -> str:
    """`docs/threat-baseline.md`."""
    accuracies, rates = [f"{share:.0%}" for share in found.accuracy], [f"{1 / seconds:,.0f}" for seconds in found.seconds]
    return (
        "\n\n".join(
            (
                "# Twenty sample threats: the NumPy baseline and the quantum classifier",
                "Written by `quantumai threat baseline --write docs/threat-baseline.md`; `python threat/poc_quantum_classifier.py` "
                "prints the same. The samples are OCSF events in `examples/threats/`, drawn from the project's own generator "
                f"with a seed of their own. Both models were trained on other events of that generator (`{model.name}`, "
                f"version `{model.version}`, card in `threat/vqc/data/card.md`): this page shows that the path works, and "
                "nothing about a real network.",
                table(found),
                "Numbers are probabilities of a threat; above 0.5 counts as one. The baseline is one dense layer in NumPy on all "
                "features, trained on the same events.",
                markdown(
                    ("figure", "NumPy baseline", "VQC, exact"),
                    [
                        ("accuracy on the 20 samples", *accuracies),
                        (f"events / s on one core, in a batch, encoding included ({day})", *rates),
                        ("output", "probability", "probability; circuit and parity for a device"),
                    ],
                ),
                "Twenty samples cannot tell two such models apart; the model card has 4,000 held-out events and more controls.",
            )
        )
        + "\n"
    )


def _samples(folder: Path) -> dict[Path, dict[str, Any]]:
    found = {path: _sample(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise DataError(f"there are no samples (*.json) in {folder}; run this where the repository is, or name their folder")
    return found


def _sample(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return {"title": found["title"], "threat": found["threat"], "event": found["event"]}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no sample: it needs title, threat and event ({error})") from error


def _features(samples: dict[Path, dict[str, Any]]) -> Any:
    observed = []
    for path, sample in samples.items():
        try:
            observed.append(normalise(orjson.dumps(sample["event"]), path.name))
        except LineError as error:
            raise DataError(f"{path}: {error}") from error
    return features(observed)


def _seconds(score: Any, many: Any) -> float:
    score(many)
    began = time.perf_counter()
    score(many)
    return (time.perf_counter() - began) / len(many)


def _word(threat: bool) -> str:
    return "threat" if threat else "benign"


def _marks(right: tuple[bool, bool]) -> str:
    return {(True, True): "both", (True, False): "baseline", (False, True): "VQC", (False, False): "neither"}[right]
