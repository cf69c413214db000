"""Gradients of any loss of the scores: the batch collapses into one matrix, and one sweep back through the ansatz does the rest.

With W the ansatz and G = dL/dW, the derivative by a weight of layer l is <A_l, J>, where A_l is G W^T taken back through the
layers above l, and J the rotation's generator on that qubit. The sweep's cost does not depend on the number of events
(adjoint differentiation, Jones and Gacon 2020, arXiv:2009.02823).
"""

from collections.abc import Callable

import numpy as np

from threat.vqc.circuit import Floats
from threat.vqc.engine import Engine, Reals, Turn, unturn


def scores_and_pull(engine: Engine, waves: Reals, weights: Floats) -> tuple[Reals, Callable[[Reals], Floats]]:
    """The scores of a batch, and the function that turns dL/dscores (events,) into dL/dweights.

    Args:
        engine: of the architecture.
        waves: (2, events, D), see `Engine.waves`; its precision is that of the whole computation.
        weights: (architecture.weights,), radians.
    """
    turns = engine.turns(weights, waves.dtype)
    unitary = engine.composed(turns)
    scores, amplitudes = engine.weigh(waves, unitary)

    def pull(slope: Reals) -> Floats:
        both = np.tile((2 / engine.size) * slope, 2).astype(waves.dtype)
        return sweep(engine, unitary, np.multiply(amplitudes, both, out=amplitudes) @ waves.reshape(-1, engine.size), turns)

    return scores, pull


def sweep(engine: Engine, unitary: Reals, rows: Reals, turns: list[Turn]) -> Floats:
    """(weights,): dL/dweights from `rows` = dL/d(odd rows of the unitary), (D/2, D).

    The generators are antisymmetric, so what is symmetric adds nothing: `rows` times the odd rows is, and is left out.
    """
    carried = np.zeros_like(unitary)
    carried[np.ix_(engine.odd, engine.even)] = rows @ unitary[engine.even].T
    found: list[Floats] = []
    for layer, turn in zip(reversed(engine.layers), reversed(turns), strict=True):
        if layer.moved is not None:
            carried = carried.take(layer.moved)
        found.insert(0, _turned(engine, carried))
        if len(found) < len(engine.layers):
            carried = unturn(carried, turn)
    return np.concatenate(found)


def _turned(engine: Engine, carried: Reals) -> Floats:
    """(qubits,): the overlap with each qubit's generator, [[0, -1], [1, 0]] / 2."""
    places = np.arange(engine.size)[:, None]
    flipped = carried[places ^ (1 << np.arange(engine.architecture.qubits)), places]
    return np.asarray(((0.5 - engine.bits) * flipped).sum(axis=0))


def parameter_shift(engine: Engine, angles: Floats, weights: Floats) -> Floats:
    """(events, weights): d score / d weight by two shifted runs each: what hardware can do, and what the sweep is held against.

    Schuld et al. 2019, arXiv:1811.11184.
    """
    shifts = np.pi / 2 * np.eye(len(weights))
    return np.array([engine.scores(angles, weights + shift) - engine.scores(angles, weights - shift) for shift in shifts]).T / 2
