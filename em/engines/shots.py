"""From one exact distribution to what is read: readout errors and shots, for many runs, budgets and seeds at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from em.engines.engine import Floats


def misread(distributions: Floats, readings: Floats) -> Floats:
    """(..., 2**k): the distributions of what is read, normalised, as `backends.sampling.misread` gives one by one.

    Args:
        distributions: (..., 2**k): of what the qubits are, the first qubit the lowest bit.
        readings: (..., k, 2, 2): P(read | actual) of each qubit (`backends.sampling.reading`); broadcasts with the former.
    """
    width = readings.shape[-3]
    batch = np.broadcast_shapes(distributions.shape[:-1], readings.shape[:-3])
    found = np.broadcast_to(distributions, (*batch, 2**width))
    for qubit in range(width):
        shaped = found.reshape(*batch, -1, 2, 2**qubit)
        found = np.matmul(readings[..., None, qubit, :, :], shaped).reshape(*batch, -1)
    found = np.clip(found, 0.0, None)
    return np.asarray(found / found.sum(axis=-1, keepdims=True))


def counts(distribution: Floats, budgets: Sequence[int], seeds: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """(seeds, budgets, outcomes): how often each outcome is seen; the draws are independent.

    Each seed has a generator of its own: what it gives depends neither on the other seeds nor on the engine.

    Args:
        distribution: (outcomes,), of what is read.
        budgets: shots.
        seeds: as `numpy.random.default_rng` takes them.
    """
    shots = np.asarray(budgets, dtype=np.int64)
    return np.stack([np.random.default_rng(seed).multinomial(shots, distribution) for seed in seeds])
