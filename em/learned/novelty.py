"""Is an input like those that a model was fitted to? The distance to its neighbours among them, against what is usual."""

from dataclasses import dataclass

import numpy as np

from em.learned.features import Floats

NEIGHBOURS = 5
_LEAST_SCALE = 1e-3
_AT_ONCE = 256  # rows compared with all references together: 256 x 2,000 x 22 numbers


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows that a model was fitted to.

    Attributes:
        mean, scale: (columns,) of all rows.
        rows: (references, columns), standardised.
    """

    mean: Floats
    scale: Floats
    rows: Floats

    def distances(self, rows: Floats) -> Floats:
        """(rows,): the mean distance of each to its nearest references, in standard deviations of a column."""
        found = []
        for start in range(0, len(rows), _AT_ONCE):
            some = (rows[start : start + _AT_ONCE] - self.mean) / self.scale
            squares = np.square(some).sum(axis=1)[:, None] - 2 * some @ self.rows.T + np.square(self.rows).sum(axis=1)
            nearest = np.partition(np.maximum(squares, 0.0), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            found.append(np.sqrt(nearest).mean(axis=1))
        return np.concatenate(found) if found else np.zeros(0)


def reference(rows: Floats, most: int, seed: int) -> Reference:
    """The reference of these rows, at most so many of them kept."""
    mean, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), _LEAST_SCALE)
    kept = np.random.default_rng(seed).permutation(len(rows))[:most]
    return Reference(mean, scale, np.asarray(((rows[np.sort(kept)] - mean) / scale).astype(np.float32), dtype=np.float64))
