"""Circuits as blocks: single-qubit gates go into the next two-qubit gate, and neighbours on the same pair become one block.

A batch is taken apart at once, with arrays: its gates are sorted along the wires (a wire is one qubit of one circuit), where
the single-qubit gates between two cuts, the two-qubit gates, are a chain, and two cuts that follow each other on both wires
are one block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from em.engines.engine import SITE, Floats, NoisyCircuit
from em.engines.transfer import Transfers

Indices = NDArray[np.intp]

_PARAMETERS = attrgetter("parameters")


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
    """A batch of circuits in blocks.

    Attributes:
        structures: of each circuit.
        blocks: (blocks, 16, 16), transfer matrices (in, out), circuit after circuit; those that cannot be seen are left out.
        after: (places, 4, 4), of the single-qubit gates after the last block of each place, circuit after circuit.
    """

    structures: list[Structure]
    blocks: Floats
    after: Floats


def fuse(circuits: Sequence[NoisyCircuit], transfers: Transfers) -> Fused:
    """Takes circuits apart and builds all matrices.

    Raises:
        KeyError: a gate that the device does not have.
    """
    gates = _gates(circuits, transfers)
    wires = _wires(gates)
    roots = _roots(wires)
    ends = np.searchsorted(gates.circuit[wires.pairs[roots.first]], np.arange(len(circuits) + 1))
    low, high = (side[wires.pairs[roots.first]].tolist() for side in (gates.low, gates.high))
    structures, kept = [], np.zeros(len(roots.first), dtype=bool)
    for index, circuit in enumerate(circuits):
        start, stop = ends[index], ends[index + 1]
        seen, structure = _structure(low[start:stop], high[start:stop], circuit.places)
        kept[start:stop] = seen
        structures.append(structure)
    read = [index * gates.span + place for index, circuit in enumerate(circuits) for place in circuit.places]
    return Fused(structures, _blocks(gates, wires, roots, kept, transfers), _after(gates, wires, read, transfers))


@dataclass(frozen=True, slots=True)
class _Gates:
    """All gates of a batch in order; `high` is -1 for single-qubit gates, `span` the number of qubits of the device."""

    site: Indices
    angle: Floats
    circuit: Indices
    low: Indices
    high: Indices
    span: int


def _gates(circuits: Sequence[NoisyCircuit], transfers: Transfers) -> _Gates:
    lengths = [len(circuit.operations) for circuit in circuits]
    operations = [*chain.from_iterable(circuit.operations for circuit in circuits)]
    try:
        sites = np.fromiter(map(transfers.sites.__getitem__, map(SITE, operations)), np.intp, len(operations))
    except KeyError:  # some are new, or have several angles
        sites = np.fromiter(map(transfers.site, operations), np.intp, len(operations))
    angles = np.array([parameters[0] if parameters else 0.0 for parameters in map(_PARAMETERS, operations)], dtype=np.float64)
    low, high = transfers.qubits[:, sites]
    return _Gates(sites, angles, np.repeat(np.arange(len(circuits)), lengths), low, high, transfers.span)


@dataclass(frozen=True, slots=True)
class _Wires:
    """A batch along its wires. A slot is one side of a two-qubit gate: 2 k for the lower qubit of pair k, 2 k + 1 for the higher.

    Attributes:
        pairs: the two-qubit gates, in order.
        slots: all slots, wire by wire.
        before: the slot that comes before each slot on its wire, -1 for none; by slot.
        singles: the single-qubit gates that a slot follows, wire by wire.
        lengths: how many of them belong to each of `slots`.
        last: the other single-qubit gates, wire by wire.
        wires: the wire of each of `last`.
    """

    pairs: Indices
    slots: Indices
    before: Indices
    singles: Indices
    lengths: Indices
    last: Indices
    wires: Indices


def _wires(gates: _Gates) -> _Wires:
    number = len(gates.site)
    pairs = np.flatnonzero(gates.high >= 0)
    gate = np.concatenate([np.arange(number), pairs])
    wire = np.concatenate([gates.circuit * gates.span + gates.low, gates.circuit[pairs] * gates.span + gates.high[pairs]])
    order = np.argsort(wire * number + gate)
    gate, wire, higher = gate[order], wire[order], order >= number
    double = gates.high[gate] >= 0
    cuts, singles = np.flatnonzero(double), np.flatnonzero(~double)
    slots = 2 * np.searchsorted(pairs, gate[cuts]) + higher[cuts]
    before = np.full(len(slots), -1)
    follows = wire[cuts[1:]] == wire[cuts[:-1]]
    before[slots[1:][follows]] = slots[:-1][follows]
    following = np.cumsum(double)[singles]  # of the cuts; the last one's wire is none
    inside = wire[singles] == np.append(wire[cuts], -1)[following]
    lengths = np.bincount(following[inside], minlength=len(cuts))
    return _Wires(pairs, slots, before, gate[singles[inside]], lengths, gate[singles[~inside]], wire[singles[~inside]])


@dataclass(frozen=True, slots=True)
class _Roots:
    """Which two-qubit gates are one block: `first` has each block's first, `of` the block of each."""

    first: Indices
    of: Indices


def _roots(wires: _Wires) -> _Roots:
    before = wires.before.reshape(-1, 2) // 2
    root = np.where((before[:, 0] == before[:, 1]) & (before[:, 0] >= 0), before[:, 0], np.arange(len(before)))
    while not np.array_equal(root, root[root]):
        root = root[root]
    first, of = np.unique(root, return_inverse=True)
    return _Roots(first, of)


def _structure(low: Sequence[int], high: Sequence[int], places: Sequence[int]) -> tuple[list[bool], Structure]:
    """Which blocks what is read depends on (noise preserves the trace, so that no other is seen), and the structure of those."""
    reached, seen = set(places), []
    for one, other in zip(reversed(low), reversed(high), strict=True):
        seen.append(one in reached or other in reached)
        if seen[-1]:
            reached.add(one)
            reached.add(other)
    seen.reverse()
    label = {qubit: index for index, qubit in enumerate(sorted(reached))}
    pairs = tuple([(label[one], label[other]) for one, other, kept in zip(low, high, seen, strict=True) if kept])
    return seen, Structure(len(label), pairs, tuple([label[place] for place in places]))


def _blocks(gates: _Gates, wires: _Wires, roots: _Roots, kept: NDArray[np.bool_], transfers: Transfers) -> Floats:
    """The matrices of the blocks that are kept."""
    wanted = kept[roots.of]
    chains = wanted[wires.slots // 2]
    singles = wires.singles[np.repeat(chains, wires.lengths)]
    before: Floats = np.empty((len(wires.slots), 4, 4))
    before[wires.slots[chains]] = products(transfers.matrices(1, gates.site[singles], gates.angle[singles]), wires.lengths[chains])
    order = np.argsort(roots.of, kind="stable")
    order = order[wanted[order]]
    pairs, before = wires.pairs[order], before.reshape(-1, 2, 4, 4)[order]
    matrices = transfers.matrices(2, gates.site[pairs], gates.angle[pairs]).reshape(-1, 4, 4, 16)
    higher = np.matmul(before[:, None, 1], matrices).reshape(-1, 4, 64)
    return products(np.matmul(before[:, 0], higher).reshape(-1, 16, 16), np.bincount(roots.of, minlength=len(kept))[kept])


def _after(gates: _Gates, wires: _Wires, read: Sequence[int], transfers: Transfers) -> Floats:
    """The matrices of the last chains of the wires that are read."""
    starts = np.searchsorted(wires.wires, read)
    lengths = np.searchsorted(wires.wires, read, side="right") - starts
    places = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    singles = wires.last[places]
    return products(transfers.matrices(1, gates.site[singles], gates.angle[singles]), lengths)


def products(factors: Floats, lengths: Indices) -> Floats:
    """(len(lengths), d, d): of consecutive factors, so many for each; the identity for none."""
    if len(lengths) and lengths.min() == lengths.max() == 1:
        return factors
    starts = np.cumsum(lengths) - lengths
    found: Floats = np.empty((len(lengths), *factors.shape[1:]))
    found[lengths == 0] = np.eye(factors.shape[-1])
    some = np.flatnonzero(lengths)
    found[some] = factors[starts[some]]
    for position in range(1, int(lengths.max(initial=0))):
        some = some[lengths[some] > position]
        found[some] = found[some] @ factors[starts[some] + position]
    return found
