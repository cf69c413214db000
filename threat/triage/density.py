"""Novelty as improbability: a tree of pairwise dependencies between binned features (Chow and Liu 1968) of normal events."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

PSEUDO_COUNT = 0.5
PARENT_WEIGHT = 3.0
"""Events that every parent's value has seen before the first: its child's values as they are overall."""


@dataclass(frozen=True)
class Bins:
    """Where numbers are cut: at quantiles; a number that is itself a cut has a bin of its own."""

    cuts: tuple[Floats, ...]

    @classmethod
    def fit(cls, numbers: Floats, count: int) -> "Bins":
        """About `count` bins a column, fewer where values repeat."""
        return cls(tuple(np.unique(np.quantile(column, np.linspace(0, 1, count + 1))) for column in numbers.T))

    @property
    def sizes(self) -> list[int]:
        """Codes of each column."""
        return [2 * len(cut) + 1 for cut in self.cuts]

    def codes(self, numbers: Floats) -> Codes:
        """(n, k)."""
        sides = [
            np.searchsorted(cut, column, "left") + np.searchsorted(cut, column, "right")
            for cut, column in zip(self.cuts, numbers.T, strict=True)
        ]
        return np.column_stack(sides)


class Tree:
    """-log p of events under the tree.

    Args:
        codes: (n, k) of normal events.
        sizes: codes of each column.
    """

    def __init__(self, codes: Codes, sizes: list[int]) -> None:
        self._parents = _tree(_information(codes, sizes))
        self._tables = {column: _table(codes, sizes, column, parent) for column, parent in self._parents.items()}

    def strangeness(self, codes: Codes) -> Floats:
        """(n,): nats."""
        total = np.zeros(len(codes))
        for column, parent in self._parents.items():
            table = self._tables[column]
            total += table[codes[:, column]] if parent is None else table[codes[:, parent], codes[:, column]]
        return total


def _information(codes: Codes, sizes: list[int]) -> Floats:
    """Mutual information of each pair of columns, nats."""
    count, columns = codes.shape
    shares = [np.bincount(codes[:, column], minlength=sizes[column]) / count for column in range(columns)]
    found = np.zeros((columns, columns))
    for one in range(columns):
        for other in range(one):
            together = np.bincount(codes[:, one] * sizes[other] + codes[:, other], minlength=sizes[one] * sizes[other]) / count
            apart = np.outer(shares[one], shares[other]).ravel()
            seen = together > 0
            found[one, other] = found[other, one] = (together[seen] * np.log(together[seen] / apart[seen])).sum()
    return found


def _tree(information: Floats) -> dict[int, int | None]:
    """Column -> parent, of the spanning tree with most information (Prim)."""
    parents: dict[int, int | None] = {0: None}
    while len(parents) < len(information):
        inside, outside = list(parents), [column for column in range(len(information)) if column not in parents]
        links = information[np.ix_(inside, outside)]
        row, place = np.unravel_index(links.argmax(), links.shape)
        parents[outside[place]] = inside[row]
    return parents


def _table(codes: Codes, sizes: list[int], column: int, parent: int | None) -> Floats:
    overall = np.bincount(codes[:, column], minlength=sizes[column]) + PSEUDO_COUNT
    overall = overall / overall.sum()
    if parent is None:
        return np.asarray(-np.log(overall))
    flat = np.bincount(codes[:, parent] * sizes[column] + codes[:, column], minlength=sizes[parent] * sizes[column])
    pairs = flat.reshape(sizes[parent], sizes[column]).astype(np.float64)
    return np.asarray(-np.log((pairs + PARENT_WEIGHT * overall) / (pairs.sum(1, keepdims=True) + PARENT_WEIGHT)))
