"""The NumPy baseline: logistic regression on the angles that the circuit gets, by Newton's method."""

import numpy as np

from threat.vqc.circuit import Floats

_RIDGE = 1e-3  # keeps the weights finite where the angles separate the classes
_STEPS = 25


def fit(angles: Floats, labels: Floats) -> Floats:
    """(qubits + 1,): weights and intercept of the largest likelihood."""
    columns = _columns(angles)
    weights = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        chances = score(angles, weights)
        slope = columns.T @ (chances - labels) + _RIDGE * weights
        curvature = (columns * (chances * (1 - chances))[:, None]).T @ columns + _RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(curvature, slope)
    return np.asarray(weights)


def score(angles: Floats, weights: Floats) -> Floats:
    """(events,): the probability of a threat."""
    return np.asarray(1 / (1 + np.exp(-np.clip(_columns(angles) @ weights, -500, 500))))


def _columns(angles: Floats) -> Floats:
    return np.column_stack([angles - np.pi, np.ones(len(angles))])
