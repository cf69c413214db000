"""The order in which a state's axes are multiplied: one matrix product per block, and as few copies as can be.

A qubit enters the state at its first block and leaves it at its last, as the two probabilities of its place if it is read
and as nothing if it is not, so that the state holds only what is still needed.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from em.engines.engine import Floats
from em.engines.fusion import Structure

_LISTED = 4096  # chunks; 2,048 such lists take 64 MB


@dataclass(frozen=True, slots=True)
class _Move:
    """How a pair's axes come to the front or the back of the state, where one matrix product reaches them.

    A product leaves its axes at the back. What stands behind the pair stays there, so that whole chunks are copied.

    Attributes:
        shape: the axes that move; empty where none does.
        axes: their new order.
        order: the chunks' new order, where there are few enough to list them: three times faster than by strides.
        chunk: numbers copied as one.
        front: whether the pair stands in front.
        turned: whether the pair's higher qubit stands first.
        rest: the other axes, and their sizes.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: NDArray[np.intp] | None
    chunk: int
    front: bool
    turned: bool
    rest: tuple[int, ...]
    sizes: tuple[int, ...]

    def moved(self, state: Floats) -> Floats:
        """(batch, numbers) in the new order."""
        if not self.shape:
            return state
        batch = len(state)
        if self.order is not None:
            return state.reshape(batch, -1, self.chunk).take(self.order, axis=1, mode="clip")
        shaped: NDArray[Any] = state.reshape(batch, *self.shape, self.chunk)
        return np.asarray(shaped.transpose(0, *[axis + 1 for axis in self.axes], -1).reshape(batch, -1))


@dataclass(frozen=True, slots=True)
class _Step:
    """One block: how its axes are reached, whether each of its qubits enters, and the places to which they leave.

    Attributes:
        move: how its axes are reached.
        enters: per qubit.
        leaves: per qubit: its place, -1 if it is not read, None if it stays.
    """

    move: _Move
    enters: tuple[bool, bool]
    leaves: tuple[int | None, int | None]

    def matrix(self, block: Floats, last: Floats) -> Floats:
        """(batch, in, out) from (batch, 16, 16), for the axes that are there and those that remain."""
        batch = len(block)
        if self.move.turned or any(self.enters):
            block = block.reshape(batch, 4, 4, 16)
            if self.enters[0]:  # as |0>, which is (1, 0, 0, 1)
                block = block[:, 0:1] + block[:, 3:4]
            if self.enters[1]:
                block = block[:, :, 0:1] + block[:, :, 3:4]
            block = (block.swapaxes(1, 2) if self.move.turned else block).reshape(batch, -1, 16)
        first, second = self.leaves
        if first is None and second is None:
            return block
        block = block.reshape(batch, -1, 4, 4)
        if first is not None:
            block = block[:, :, 0:1] if first < 0 else np.matmul(last[:, None, first].swapaxes(2, 3), block)
        if second is not None:
            block = block[..., 0:1] if second < 0 else np.matmul(block, last[:, None, second])
        return block.reshape(batch, block.shape[1], -1)

    def apply(self, state: Floats, matrix: Floats) -> Floats:
        """(batch, numbers) after the block."""
        batch, state = len(state), self.move.moved(state)
        if self.move.front:
            state = state.reshape(batch, matrix.shape[1], -1).swapaxes(1, 2)
        else:
            state = state.reshape(batch, -1, matrix.shape[1])
        return np.asarray(np.matmul(state, matrix).reshape(batch, -1))


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a structure.

    Attributes:
        steps: one per block.
        alone: the places that no block touches.
        axes: the places in the order in which the last state has them, those in `alone` at the end.
        peak: the most numbers that a state has.
    """

    steps: tuple[_Step, ...]
    alone: tuple[int, ...]
    axes: tuple[int, ...]
    peak: int

    def run(self, blocks: Floats, last: Floats) -> Floats:
        """(batch, 2**places): the outcomes' probabilities, the first place the lowest bit.

        Args:
            blocks: (batch, steps, 16, 16), transfer matrices.
            last: (batch, places, 4, 2), from each place's Pauli components to its two probabilities.
        """
        batch = len(last)
        state: Floats = np.ones((batch, 1))
        for index, step in enumerate(self.steps):
            state = step.apply(state, step.matrix(blocks[:, index], last))
        for place in self.alone:
            state = (state[:, :, None] * (last[:, None, place, 0] + last[:, None, place, 3])).reshape(batch, -1)
        highest_first = sorted(range(len(self.axes)), key=self.axes.__getitem__, reverse=True)
        shaped = state.reshape(batch, *[2] * len(self.axes)).transpose(0, *[axis + 1 for axis in highest_first])
        return np.ascontiguousarray(shaped).reshape(batch, -1)


def planned(structure: Structure) -> Plan:
    """The plan of a structure."""
    final = {qubit: index for index, pair in enumerate(structure.pairs) for qubit in pair}
    bits = {qubit: place for place, qubit in enumerate(structure.places)}
    axes: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    steps, peak = [], 2 ** len(structure.places)
    for index, (low, high) in enumerate(structure.pairs):
        move = _move(axes, sizes, low, high)
        leaves = tuple([bits.get(qubit, -1) if final[qubit] == index else None for qubit in (low, high)])
        steps.append(_Step(move, (low not in axes, high not in axes), (leaves[0], leaves[1])))
        axes, sizes = move.rest, move.sizes
        for qubit, place in zip((low, high), leaves, strict=True):
            if place is None or place >= 0:
                axes, sizes = (*axes, qubit), (*sizes, 4 if place is None else 2)
        peak = max(peak, prod(sizes))
    alone = tuple(place for qubit, place in bits.items() if qubit not in final)
    return Plan(tuple(steps), alone, (*(bits[qubit] for qubit in axes), *alone), peak)


@lru_cache(maxsize=1 << 15)
def _move(axes: tuple[int, ...], sizes: tuple[int, ...], low: int, high: int) -> _Move:
    targets = [axis for axis in axes if axis in {low, high}]
    rest = [axis for axis in axes if axis not in {low, high}]
    front = bool(targets) and axes[-1] not in targets
    wanted = targets + rest if front else rest + targets
    size = dict(zip(axes, sizes, strict=True))
    still = len(axes)
    while still and axes[still - 1] == wanted[still - 1]:
        still -= 1
    shape, moves = tuple(sizes[:still]), tuple([axes.index(axis) for axis in wanted[:still]])
    order = _order(shape, moves) if still and prod(shape) <= _LISTED else None
    return _Move(
        shape,
        moves,
        order,
        chunk=prod(sizes[still:]),
        front=front,
        turned=targets == [high, low],
        rest=tuple(rest),
        sizes=tuple([size[axis] for axis in rest]),
    )


@lru_cache(maxsize=2048)
def _order(shape: tuple[int, ...], axes: tuple[int, ...]) -> NDArray[np.intp]:
    return np.arange(prod(shape)).reshape(shape).transpose(axes).ravel()
