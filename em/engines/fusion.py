"""Circuits as blocks: single-qubit gates go into the next two-qubit gate, and neighbours on the same pair become one block."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from backends.device import Operation
from em.engines.engine import Floats, NoisyCircuit
from em.engines.transfer import Transfers

_NONE: tuple[int, ...] = ()
_SITE, _PARAMETERS, _QUBITS = attrgetter("name", "qubits"), attrgetter("parameters"), attrgetter("qubits")


@dataclass(frozen=True, slots=True)
class Structure:
    """All that decides which axes are multiplied in which order; circuits that share it are simulated together.

    Attributes:
        width: qubits in the light cone of what is read, numbered 0, 1, ... in the order of the device.
        pairs: each block's qubits, ascending.
        places: the qubits that are read, the first the lowest bit.
    """

    width: int
    pairs: tuple[tuple[int, int], ...]
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fused:
    """One circuit in blocks. A gate is named by its position in `sites` and `angles`; gates that cannot be seen stay there.

    Attributes:
        structure: what its blocks act on.
        sites: each gate's row in `Transfers`.
        angles: each gate's angle, 0 where it has none.
        factors: the two-qubit gates, block after block.
        repeats: the number of two-qubit gates of each block.
        before: two for each of `factors`: the single-qubit gates before it on the lower and on the higher qubit.
        after: the single-qubit gates at the end of each of `structure.places`.
    """

    structure: Structure
    sites: list[int]
    angles: list[float]
    factors: list[int]
    repeats: list[int]
    before: list[Sequence[int]]
    after: list[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Matrices:
    """The transfer matrices of some circuits, (in, out).

    Attributes:
        blocks: (blocks, 16, 16), circuit after circuit.
        after: (places, 4, 4), circuit after circuit.
    """

    blocks: Floats
    after: Floats


def fuse(circuit: NoisyCircuit, transfers: Transfers) -> Fused:
    """Takes a circuit apart; blocks outside the light cone of the places are left out.

    Raises:
        KeyError: a gate that the device does not have.
    """
    operations = circuit.operations
    try:
        sites = [*map(transfers.sites.__getitem__, map(_SITE, operations))]
    except KeyError:  # some are new, or have several angles
        sites = [transfers.site(operation) for operation in operations]
    angles = [parameters[0] if parameters else 0.0 for parameters in map(_PARAMETERS, operations)]
    blocks, waiting = _blocks(operations)
    kept, reached = _within_reach(blocks, circuit.places)
    label = {qubit: index for index, qubit in enumerate(sorted(reached))}
    factors = [factor for block in kept for factor in block.factors]
    pairs = tuple([(label[block.low], label[block.high]) for block in kept])
    return Fused(
        Structure(len(label), pairs, tuple([label[place] for place in circuit.places])),
        sites,
        angles,
        factors=[factor[0] for factor in factors],
        repeats=[len(block.factors) for block in kept],
        before=[gates for _, low, high in factors for gates in (low, high)],
        after=[waiting.get(place, _NONE) for place in circuit.places],
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """Two-qubit gates on one pair, each with the single-qubit gates before it on the lower and on the higher qubit."""

    low: int
    high: int
    factors: list[tuple[int, Sequence[int], Sequence[int]]]


def _blocks(operations: Sequence[Operation]) -> tuple[list[_Block], dict[int, list[int]]]:
    """The blocks in order, and the single-qubit gates after the last block of each qubit."""
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    newest: dict[int, _Block] = {}
    blocks: list[_Block] = []
    for index, qubits in enumerate(map(_QUBITS, operations)):
        if len(qubits) == 1:
            waiting[qubits[0]].append(index)
            continue
        low, high = qubits if qubits[0] < qubits[1] else qubits[::-1]
        factor = (index, waiting.pop(low, _NONE), waiting.pop(high, _NONE))
        block = newest.get(low)
        if block is not None and block is newest.get(high):
            block.factors.append(factor)
        else:
            newest[low] = newest[high] = _Block(low, high, [factor])
            blocks.append(newest[low])
    return blocks, waiting


def _within_reach(blocks: Sequence[_Block], places: Sequence[int]) -> tuple[list[_Block], set[int]]:
    """The blocks that what is read depends on, and all its qubits; noise preserves the trace, so that no other is seen."""
    reached = set(places)
    kept = []
    for block in reversed(blocks):
        if block.low in reached or block.high in reached:
            reached.update((block.low, block.high))
            kept.append(block)
    return kept[::-1], reached


def matrices(circuits: Sequence[Fused], transfers: Transfers) -> Matrices:
    """Every block's and every last gate's matrix, for many circuits at once."""
    starts = np.cumsum([0, *(len(circuit.sites) for circuit in circuits)])[:-1]
    sites = np.fromiter(chain.from_iterable(circuit.sites for circuit in circuits), np.intp)
    angles = np.fromiter(chain.from_iterable(circuit.angles for circuit in circuits), np.float64)

    def gathered(name: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        runs = [getattr(circuit, name) for circuit in circuits]
        lengths = np.fromiter(map(len, chain.from_iterable(runs)), np.intp)
        per = [sum(map(len, run)) for run in runs]
        flat = np.fromiter(chain.from_iterable(chain.from_iterable(runs)), np.intp)
        return flat + np.repeat(starts, per), lengths

    def product_of(name: str) -> Floats:
        gates, lengths = gathered(name)
        return products(transfers.matrices(1, sites[gates], angles[gates]), lengths)

    before = product_of("before").reshape(-1, 2, 4, 4)
    counts = [len(circuit.factors) for circuit in circuits]
    pairs = np.fromiter(chain.from_iterable(circuit.factors for circuit in circuits), np.intp) + np.repeat(starts, counts)
    if not len(pairs):
        return Matrices(np.empty((0, 16, 16)), product_of("after"))
    gates = transfers.matrices(2, sites[pairs], angles[pairs]).reshape(-1, 4, 4, 16)
    high = np.matmul(before[:, None, 1], gates).reshape(-1, 4, 64)
    blocks = np.matmul(before[:, 0], high).reshape(-1, 16, 16)
    repeats = np.fromiter(chain.from_iterable(circuit.repeats for circuit in circuits), np.intp)
    return Matrices(products(blocks, repeats), product_of("after"))


def products(factors: Floats, lengths: NDArray[np.intp]) -> Floats:
    """(len(lengths), d, d): of consecutive factors, so many for each; the identity for none."""
    size = factors.shape[-1]
    starts = np.cumsum(lengths) - lengths
    if len(lengths) and lengths.min() == lengths.max() == 1:
        return factors
    found = np.empty((len(lengths), size, size))
    found[lengths == 0] = np.eye(size)
    some = np.flatnonzero(lengths)
    found[some] = factors[starts[some]]
    for position in range(1, int(lengths.max(initial=0))):
        some = some[lengths[some] > position]
        found[some] = found[some] @ factors[starts[some] + position]
    return found
