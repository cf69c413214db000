"""Training: Adam on adjoint gradients where the circuit is simulated, SPSA where only scores with shots can be had."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from threat.vqc.circuit import Architecture, Floats
from threat.vqc.engine import Reals, engine
from threat.vqc.errors import VqcError
from threat.vqc.gradient import scores_and_pull

Say = Callable[[int, float], None]
"""(epochs done, mean loss of the last)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        epochs: passes over all events.
        batch: events per step.
        rate: of the first steps, radians; it falls to 0 along a cosine.
        starts: trained from as many random weights; the one with the lowest loss after a tenth of the epochs goes on.
        seed: of weights and the order of events.
    """

    epochs: int = 60
    batch: int = 250
    rate: float = 0.1
    starts: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned.

    Attributes:
        weights: (architecture.weights,), radians.
        scale, bias: P(threat) = sigmoid(scale (1 - 2 p) + bias) of the odd parity p: a calibrated readout.
        losses: mean cross-entropy of each epoch, nats.
    """

    weights: Floats
    scale: float
    bias: float
    losses: tuple[float, ...]


def fit(architecture: Architecture, angles: Floats, labels: Floats, settings: Settings, say: Say = lambda *_: None) -> Fitted:
    """Minimises the cross-entropy in single precision.

    Args:
        architecture: of the circuit.
        angles: (events, qubits), radians.
        labels: (events,) 1 for threats, 0 for others.
        settings: how.
        say: told after every epoch.

    Raises:
        VqcError: angles and labels do not fit, or one of the classes is absent.
    """
    made = engine(architecture)
    angles, labels = made.checked(angles), np.asarray(labels, dtype=np.float64)
    if labels.shape != (len(angles),) or set(np.unique(labels)) != {0.0, 1.0}:
        raise VqcError("training needs a label 0 or 1 for every event, and events of both")
    draw = np.random.default_rng(settings.seed)
    order = draw.permutation(len(angles))
    angles, labels = angles[order], labels[order]
    batches = [_Batch(made.waves(angles[part], np.float32), labels[part]) for part in _cut(len(labels), settings.batch)]
    trial = max(1, settings.epochs // 10)
    runs = [_Descent(architecture, batches, settings, int(draw.integers(2**31))) for _ in range(settings.starts)]
    for run in runs[1:] and runs:
        run.go_on(trial, lambda *_: None)
    best = min(runs, key=lambda run: run.losses[-1]) if runs[1:] else runs[0]
    best.go_on(settings.epochs, say)
    return Fitted(best.values[:-2].copy(), float(best.values[-2]), float(best.values[-1]), tuple(best.losses))


class _Batch(NamedTuple):
    """Events of one step.

    Attributes:
        waves: (2, events, D).
        labels: (events,).
    """

    waves: Reals
    labels: Floats


def _cut(count: int, size: int) -> list[slice]:
    """Parts of about this size."""
    edges = np.linspace(0, count, max(1, round(count / size)) + 1).astype(int).tolist()
    return [slice(*pair) for pair in pairwise(edges)]


class _Descent:
    """One run of Adam (Kingma and Ba 2015, arXiv:1412.6980): weights, scale and bias in one vector."""

    def __init__(self, architecture: Architecture, batches: list[_Batch], settings: Settings, seed: int) -> None:
        self._engine, self._batches, self._settings = engine(architecture), batches, settings
        self._draw = np.random.default_rng(seed)
        weights = self._draw.uniform(-np.pi, np.pi, architecture.weights)
        self.values = np.concatenate([weights, [2.0, 0.0]])
        self.losses: list[float] = []
        self._mean, self._square, self._steps = np.zeros_like(self.values), np.zeros_like(self.values), 0

    def go_on(self, epochs: int, say: Say) -> None:
        """Trains until this many epochs are done."""
        while len(self.losses) < epochs:
            losses = [self._step(self._batches[number]) for number in self._draw.permutation(len(self._batches))]
            self.losses.append(float(np.mean(losses)))
            say(len(self.losses), self.losses[-1])

    def _step(self, batch: _Batch) -> float:
        loss, gradient = self._loss(batch)
        self._steps += 1
        self._mean += 0.1 * (gradient - self._mean)
        self._square += 0.001 * (gradient**2 - self._square)
        rate = self._settings.rate * (1 + np.cos(np.pi * self._steps / (len(self._batches) * self._settings.epochs + 1))) / 2
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        self.values -= rate * mean / (np.sqrt(square) + 1e-8)
        return loss

    def _loss(self, batch: _Batch) -> tuple[float, Floats]:
        """Mean cross-entropy of a batch and its gradient."""
        scale, bias = self.values[-2:]
        scores, pull = scores_and_pull(self._engine, batch.waves, self.values[:-2])
        parity = 1 - 2 * scores.astype(np.float64)
        logits = scale * parity + bias
        labels = batch.labels
        loss = float(np.mean(np.logaddexp(0, logits) - labels * logits))
        slope = (1 / (1 + np.exp(-logits)) - labels) / len(labels)
        return loss, np.concatenate([pull(-2 * scale * slope), [slope @ parity, slope.sum()]])


def spsa(loss: Callable[[Floats], float], start: Floats, *, steps: int, seed: int, rate: float = 0.2, shift: float = 0.2) -> Floats:
    """Minimises a loss that can only be sampled: two evaluations a step, whatever the number of weights.

    Simultaneous perturbation, Spall 1998, with his exponents 0.602 and 0.101: the way to train on hardware.

    Args:
        loss: of weights; may be noisy.
        start: (weights,).
        steps: how many.
        seed: of the directions.
        rate: of the first step.
        shift: of the first perturbation, radians.
    """
    draw, found, total = np.random.default_rng(seed), np.array(start, dtype=np.float64), np.zeros(len(start))
    for step in range(steps):
        direction = draw.choice((-1.0, 1.0), len(found))
        width = shift / (step + 1) ** 0.101
        slope = (loss(found + width * direction) - loss(found - width * direction)) / (2 * width)
        found -= rate / (step + 1 + steps / 10) ** 0.602 * (1 + steps / 10) ** 0.602 * slope * direction
        if 2 * step >= steps:
            total += found  # the mean of the second half: less noise than the last
    return total / (steps - (steps + 1) // 2)
