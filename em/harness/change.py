"""Has something moved since an earlier night? A rank test that assumes nothing about how results are distributed.

Every night measures the same circuits with other seeds. While the code is the same, the nights of one task are exchangeable: each
order of its results is as likely as any other. For a split of the nights into old and new, U of a task is the number of pairs in
which the new result is the larger, minus the number in which it is the smaller (Mann and Whitney 1947); all splits are tried, as by
Pettitt (1979, doi:10.2307/2346729). Tasks on the same circuit and device share draws, so that their U are added up to one S.

The S of a cluster is the sum of what each new night has won against all nights: as many draws, without replacement, from the
cluster's own numbers, one a night, whatever their ties and skew. Its exponential moments are at most those of draws with
replacement (Hoeffding 1963, doi:10.1080/01621459.1963.10500830, theorem 4), clusters are independent, and Chernoff's bound on their
sum is the p-value; it is multiplied by two, the number of splits and the number of tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

Floats = NDArray[np.float64]

ALARM = 0.005
"""A night on which nothing has changed raises an alarm with at most this probability, all tests together."""


@dataclass(frozen=True, slots=True)
class Change:
    """The split of the nights that the results tell apart best.

    Attributes:
        night: the first of the new nights, an index.
        z: positive where the new results are larger.
        p: at most the probability of such a z, or larger, if nothing has changed: all splits counted, one test.
        clusters: independent circuits and devices behind it.
    """

    night: int
    z: float
    p: float
    clusters: int


def change(nights: Floats, clusters: Sequence[int] | NDArray[np.intp]) -> Change | None:
    """The most telling split; None where there are no two nights or no tasks.

    Args:
        nights: (tasks, nights) results in the order of time; rows with NaN are left out.
        clusters: (tasks,) which rows belong together, from 0.
    """
    whole = ~np.isnan(nights).any(axis=1)
    nights, members = nights[whole], np.asarray(clusters)[whole]
    splits = nights.shape[1] - 1
    if splits < 1 or not len(nights):
        return None
    larger = np.sign(nights[:, :, None] - nights[:, None, :]).sum(axis=2)  # what each night wins against all
    _, members = np.unique(members, return_inverse=True)
    won = np.zeros((int(members.max()) + 1, nights.shape[1]))
    np.add.at(won, members, larger)
    sums = [won[:, first:].sum(axis=1) for first in range(1, splits + 1)]
    spreads = [float(np.sqrt(np.square(each).sum())) for each in sums]
    found = [float(each.sum()) / spread if spread else 0.0 for each, spread in zip(sums, spreads, strict=True)]
    best = int(np.argmax(np.abs(found)))
    total = float(sums[best].sum())
    old, new = best + 1, splits - best
    fewer = won if new <= old else -won  # what the new nights win the old ones lose
    p = min(1.0, 2 * splits * _tail(np.sign(total) * fewer, min(old, new), abs(total)))
    return Change(best + 1, found[best], p, len(won))


def least(clusters: int, nights: int) -> float:
    """The smallest p that the last of some nights can have, when it has moved in every cluster as far as can be."""
    return min(1.0, 2 * (nights - 1) * float(nights) ** -clusters)


def _tail(won: Floats, draws: int, total: float) -> float:
    """At most the probability that so many draws from each cluster's numbers, added up, reach `total`."""
    largest = float(np.abs(won).max())
    if not largest:
        return 1.0

    def exponent(steepness: float) -> float:
        scaled = steepness * won / largest
        return float(draws * (logsumexp(scaled, axis=1) - np.log(won.shape[1])).sum() - steepness * total / largest)

    best = minimize_scalar(exponent, bounds=(0.0, 50.0 * won.shape[1]), method="bounded")
    return float(np.exp(min(0.0, best.fun)))
