"""The baseline: one dense layer in NumPy. It is the control of every other model, and its parts explain a score exactly."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RIDGE = 1.0
_STEPS = 25


@dataclass(frozen=True)
class Baseline:
    """P(threat) = sigmoid(z w + b), z the standardised features.

    Attributes:
        mean, scale: (k,) of the training events.
        weights: (k,).
        bias: a number, as an array without axes.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    @classmethod
    def fit(cls, features: Floats, threat: NDArray[np.bool_]) -> "Baseline":
        """Logistic regression with a ridge, by Newton's method (iteratively reweighted least squares)."""
        mean, scale = features.mean(0), features.std(0) + 1e-3
        design = np.column_stack([np.clip((features - mean) / scale, -8, 8), np.ones(len(features))])
        penalty = np.diag([_RIDGE] * features.shape[1] + [1e-6])
        weights: Floats = np.zeros(design.shape[1])
        for _ in range(_STEPS):
            odds = 1 / (1 + np.exp(-design @ weights))
            slope = design.T @ (odds - threat) + penalty @ weights
            curvature = (design.T * (odds * (1 - odds))) @ design + penalty
            weights = weights - np.linalg.solve(curvature, slope)
        return cls(mean, scale, weights[:-1], weights[-1:].reshape(()))

    def parts(self, features: Floats) -> Floats:
        """(n, k): what each feature adds to the logit."""
        found = (features - self.mean) / self.scale
        np.minimum(found, 8, out=found)
        np.maximum(found, -8, out=found)
        return np.asarray(found * self.weights)

    def score(self, features: Floats) -> Floats:
        """(n,): the probability of a threat."""
        return self.total(self.parts(features))

    def total(self, parts: Floats) -> Floats:
        """(n,): the probability that `parts` add up to."""
        return np.asarray(1 / (1 + np.exp(-(parts.sum(1) + self.bias))))

    @property
    def arrays(self) -> Mapping[str, Floats]:
        """What a model's npz holds of it."""
        return {"mean": self.mean, "scale": self.scale, "weights": self.weights, "bias": self.bias}
