"""From features to angles by a scorecard: every feature is cut into bins, every bin adds evidence, every qubit sums a few features.

A bin's evidence is its log odds of threat against the mean (weight of evidence, Good 1950), weighted by a logistic regression
over all features, so that what two features say alike is not counted twice. It is fitted on training events alone, is additive,
and can be read: each feature's part of each angle is one number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from threat.vqc.circuit import Floats
from threat.vqc.errors import VqcError

BINS = 32
"""Of a feature with more distinct values than `DISTINCT`: quantiles; of others, one bin per value."""

DISTINCT = 80

REACH = 1.2
"""Angles are pi +- this: there the ZZ phases 2 (pi - x)(pi - y) are small, and the score is a gentle function of the features."""

_CHUNK = 256  # events at a time: each is compared with every bin of every feature

_PRIOR = 4.0  # events of the mean odds that every bin starts with


@dataclass(frozen=True)
class Encoding:
    """A fitted scorecard.

    Attributes:
        columns: (k,) names of the features.
        points: (k, b) lower ends of the bins, or the values themselves; +inf behind the last.
        exact: (k,) whether `points` are values: another value then says nothing.
        evidence: (k, b + 1) log odds of each bin; the first is 0, for what is not a number or was never seen.
        qubit: (k,) which angle the feature adds to.
        centre, width: (qubits,) angle = pi + REACH tanh((sum of evidence - centre) / (2 width)).
    """

    columns: tuple[str, ...]
    points: Floats
    exact: NDArray[np.bool_]
    evidence: Floats
    qubit: NDArray[np.int64]
    centre: Floats
    width: Floats

    def parts(self, features: Floats) -> Floats:
        """(events, k): the evidence of each feature."""
        features = np.asarray(features, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.columns):
            raise VqcError(f"features must be (events, {len(self.columns)}), got {features.shape}")
        places = np.concatenate([self._places(features[at : at + _CHUNK]) for at in range(0, len(features), _CHUNK) or (0,)])
        return np.asarray(self.evidence[np.arange(len(self.columns)), places])

    def _places(self, values: Floats) -> NDArray[np.int16]:
        """(events, k): the bin of each value; 0 for what is not a number or was never seen."""
        places = (self._points[:, None] <= values).sum(axis=0, dtype=np.int16)
        column = np.arange(len(self.columns))
        unseen = self.exact & (self._points[np.maximum(places - 1, 0), column] != values)
        places[unseen] = 0
        return np.asarray(places)

    @cached_property
    def _points(self) -> Floats:
        """(b, k): `points`, so that all features are compared at once."""
        return np.ascontiguousarray(self.points.T)

    def angles(self, features: Floats) -> Floats:
        """(events, qubits), radians, for (events, k) features."""
        return self._angles(self.parts(features))

    def _angles(self, parts: Floats) -> Floats:
        return np.asarray(np.pi + REACH * np.tanh((self._sums(parts) - self.centre) / (2 * self.width)))

    def _sums(self, parts: Floats) -> Floats:
        return np.asarray(parts @ self._members)

    @cached_property
    def _members(self) -> Floats:
        """(k, qubits): 1 where the feature adds to the angle."""
        return np.asarray(np.equal.outer(self.qubit, np.arange(len(self.centre))), dtype=np.float64)


def fit(columns: Sequence[str], features: Floats, labels: Floats, qubits: int) -> Encoding:
    """The scorecard of labelled events; features go to qubits so that all angles carry about as much evidence.

    Args:
        columns: names.
        features: (events, k).
        labels: (events,) of 0 and 1.
        qubits: how many angles, at most k.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # noqa: PLC0415 - takes a second

    if len(columns) < qubits:
        raise VqcError(f"{qubits} qubits need as many features, got {len(columns)}: {', '.join(columns)}")
    exact = np.array([len(np.unique(values)) <= DISTINCT for values in features.T])
    cuts = [_points(values, bool(each)) for values, each in zip(features.T, exact, strict=True)]
    points = np.full((len(cuts), max(map(len, cuts))), np.inf)
    for row, found in zip(points, cuts, strict=True):
        row[: len(found)] = found
    evidence = np.array([_evidence(row, values, labels) for row, values in zip(points, features.T, strict=True)])
    flat = Encoding(tuple(columns), points, exact, evidence, np.zeros(len(columns), np.int64), np.zeros(1), np.ones(1))
    parts = flat.parts(features)
    spread = np.maximum(parts.std(axis=0), 1e-9)
    weights = LogisticRegression(C=1.0, max_iter=3_000).fit(parts / spread, labels).coef_[0] / spread
    qubit = _shared(np.abs(weights) * parts.std(axis=0), qubits)
    grouped = Encoding(tuple(columns), points, exact, evidence * weights[:, None], qubit, np.zeros(qubits), np.ones(qubits))
    sums = grouped._sums(grouped.parts(features))
    width = np.maximum(sums.std(axis=0), 1e-9)
    return Encoding(grouped.columns, points, exact, grouped.evidence, qubit, sums.mean(axis=0), width)


def _points(values: Floats, exact: bool) -> Floats:
    known = values[~np.isnan(values)]
    if exact:
        return np.asarray(np.unique(known))
    return np.asarray(np.concatenate([[-np.inf], np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))]))


def _evidence(points: Floats, values: Floats, labels: Floats) -> Floats:
    """(b + 1,): log odds of each bin against the mean."""
    place = np.where(np.isnan(values), 0, np.searchsorted(points, values, side="right"))
    mean = labels.mean()
    threats = np.bincount(place, labels, len(points) + 1) + _PRIOR * mean
    others = np.bincount(place, 1 - labels, len(points) + 1) + _PRIOR * (1 - mean)
    found = np.log(threats / others) - np.log(mean / (1 - mean))
    found[0] = 0.0
    return np.asarray(found)


def _shared(strength: Floats, qubits: int) -> NDArray[np.int64]:
    """(k,): the strongest feature first, each to the qubit that has least."""
    total, found = np.zeros(qubits), np.zeros(len(strength), np.int64)
    for column in np.argsort(-strength, kind="stable"):
        place = int(np.argmin(total))
        found[column] = place
        total[place] += strength[column] ** 2
    return found
