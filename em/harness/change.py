"""Has something moved since an earlier night? A rank test that assumes nothing about how results are distributed.

Every night measures the same circuits with other seeds. While the code is the same, the nights of one task are exchangeable: each
order of its results is as likely as any other. For a split of the nights into old and new, U of a task is the number of pairs in
which the new result is the larger, minus the number in which it is the smaller (Mann and Whitney 1947); all splits are tried, as by
Pettitt (1979, doi:10.2307/2346729). Tasks on the same circuit and device share draws, so that their U are added up to one S; the
S are independent and have mean zero, and Z = sum S / sqrt(sum S^2) is bounded: P(Z >= z) <= exp(-z^2 / 2) for symmetric S, whatever
their sizes (Efron 1969). The bound is used as the p-value; it is multiplied by the number of splits and of tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    larger = np.sign(nights[:, :, None] - nights[:, None, :])  # of night i than night j
    _, members = np.unique(members, return_inverse=True)
    found = []
    for first in range(1, splits + 1):
        sums = np.bincount(members, larger[:, first:, :first].sum(axis=(1, 2)))
        spread = float(np.sqrt(np.square(sums).sum()))
        found.append(float(sums.sum()) / spread if spread else 0.0)
    best = int(np.argmax(np.abs(found)))
    p = min(1.0, 2 * splits * float(np.exp(-(found[best] ** 2) / 2)))
    return Change(best + 1, found[best], p, int(members.max()) + 1)
