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

_LISTED = 4096  # chunks; such a list takes 32 KB, and the 8,192 steps that are kept share them


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
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: NDArray[np.intp] | None
    chunk: int
    front: bool
    turned: bool

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
    """One block.

    Attributes:
        move: how its axes are reached.
        enters: whether each of its qubits enters the state with it.
        leaves: per qubit: the place to which it leaves, -1 if it is not read, None if it stays.
        whole: whether the block's matrix is used as it is.
        axes: of the state afterwards, as qubits.
        sizes: of `axes`.
    """

    move: _Move
    enters: tuple[bool, bool]
    leaves: tuple[int | None, int | None]
    whole: bool
    axes: tuple[int, ...]
    sizes: tuple[int, ...]

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
            block = blocks[:, index]
            state = step.apply(state, block if step.whole else step.matrix(block, last))
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
    steps = []
    for index, (low, high) in enumerate(structure.pairs):
        first = bits.get(low, -1) if final[low] == index else None
        second = bits.get(high, -1) if final[high] == index else None
        step = _step(axes, sizes, low, high, (first, second))
        axes, sizes = step.axes, step.sizes
        steps.append(step)
    alone = tuple(place for qubit, place in bits.items() if qubit not in final)
    peak = max([2 ** len(bits), *(prod(step.sizes) for step in steps)])
    return Plan(tuple(steps), alone, (*(bits[qubit] for qubit in axes), *alone), peak)


@lru_cache(maxsize=1 << 13)
def _step(axes: tuple[int, ...], sizes: tuple[int, ...], low: int, high: int, leaves: tuple[int | None, int | None]) -> _Step:
    move = _move(axes, sizes, low, high)
    enters = (low not in axes, high not in axes)
    after = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if axis not in {low, high}]
    after += [
        (qubit, 4 if place is None else 2) for qubit, place in zip((low, high), leaves, strict=True) if place is None or place >= 0
    ]
    whole = not (move.turned or any(enters)) and leaves == (None, None)
    return _Step(move, enters, leaves, whole, tuple(axis for axis, _ in after), tuple(size for _, size in after))


def _move(axes: tuple[int, ...], sizes: tuple[int, ...], low: int, high: int) -> _Move:
    targets = [axis for axis in axes if axis in {low, high}]
    rest = [axis for axis in axes if axis not in {low, high}]
    front = bool(targets) and axes[-1] not in targets
    if front:
        targets.sort(key=[low, high].index)
    wanted = targets + rest if front else rest + targets
    still = len(axes)
    while still and axes[still - 1] == wanted[still - 1]:
        still -= 1
    shape, moves = tuple(sizes[:still]), tuple([axes.index(axis) for axis in wanted[:still]])
    order = _order(shape, moves) if still and prod(shape) <= _LISTED else None
    return _Move(shape, moves, order, chunk=prod(sizes[still:]), front=front, turned=targets == [high, low])


@lru_cache(maxsize=1 << 13)
def _order(shape: tuple[int, ...], axes: tuple[int, ...]) -> NDArray[np.intp]:
    return np.arange(prod(shape)).reshape(shape).transpose(axes).ravel()
