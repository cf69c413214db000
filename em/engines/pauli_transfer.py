"""Exact and fast, to 12 qubits: many circuits at once, as Pauli transfer matrices in NumPy.

A batch is fused into blocks of two qubits (`em.engines.fusion`), all their 16x16 matrices are built at once, and circuits
that share a structure move through one plan together (`em.engines.plan`): real numbers, one matrix product per block.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from backends.device import Device
from em.engines.engine import Floats, NoisyCircuit, refuse, too_wide, uncalibrated
from em.engines.fusion import Fused, Structure, fuse
from em.engines.plan import planned
from em.engines.transfer import Transfers

MAX_QUBITS = 12
"""4^12 real numbers take 134 MB, and a step holds three times as many."""

_OPERATIONS = 1 << 14  # of the circuits that are fused at once: their matrices take about 20 MB
_NUMBERS = 1 << 16  # of the states that move together: 0.5 MB

_READ = np.array([[0.5, 0.5], [0, 0], [0, 0], [0.5, -0.5]])  # <I> and <Z> of a qubit to the probabilities of 0 and 1


class PauliTransfer:
    """The engine for few qubits."""

    name = "pauli-transfer"
    approximate = False

    def __init__(self) -> None:
        self._transfers: WeakKeyDictionary[Device, Transfers] = WeakKeyDictionary()

    def refusal(self, device: Device, circuit: NoisyCircuit) -> str:
        """Why it cannot simulate a circuit; empty if it can."""
        return _too_wide(circuit) or uncalibrated(device, circuit)

    def distributions(self, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
        """Per circuit (2**len(places),): the probability of each outcome, to rounding.

        Raises:
            EngineRefusedError: a circuit that needs more than `MAX_QUBITS`, or a gate that the device does not have.
        """
        self._transfers.setdefault(device, Transfers(device))
        found: list[Floats] = [np.empty(0)] * len(circuits)
        for chunk in _chunks(circuits):
            fused = self._fused(device, circuits, chunk)
            for index, probabilities in _evolved(fused):
                found[chunk[index]] = probabilities
        return found

    def _fused(self, device: Device, circuits: Sequence[NoisyCircuit], chunk: Sequence[int]) -> Fused:
        try:
            fused = fuse([circuits[index] for index in chunk], self._transfers[device])
        except KeyError:
            for index in chunk:
                refuse(index, len(circuits), uncalibrated(device, circuits[index]))
            raise
        for index, structure in zip(chunk, fused.structures, strict=True):
            if structure.width > MAX_QUBITS:
                refuse(index, len(circuits), _too_wide(circuits[index]))
        return fused


def _too_wide(circuit: NoisyCircuit) -> str:
    return too_wide(circuit, MAX_QUBITS, "Pauli transfer matrices hold", "use trajectories")


def _chunks(circuits: Sequence[NoisyCircuit]) -> Iterator[list[int]]:
    """The circuits' numbers, as many at a time as their matrices may take memory."""
    chunk: list[int] = []
    operations = 0
    for index, circuit in enumerate(circuits):
        if chunk and operations + len(circuit.operations) > _OPERATIONS:
            yield chunk
            chunk, operations = [], 0
        chunk.append(index)
        operations += len(circuit.operations)
    if chunk:
        yield chunk


def _evolved(fused: Fused) -> Iterator[tuple[int, Floats]]:
    """Each circuit's number and distribution."""
    groups: defaultdict[Structure, list[int]] = defaultdict(list)
    for index, structure in enumerate(fused.structures):
        groups[structure].append(index)
    block = np.cumsum([0, *(len(structure.pairs) for structure in fused.structures)])
    place = np.cumsum([0, *(len(structure.places) for structure in fused.structures)])
    last = fused.after @ _READ
    for structure, members in groups.items():
        plan = planned(structure)
        together = max(1, _NUMBERS // plan.peak)
        for start in range(0, len(members), together):
            some = np.array(members[start : start + together])
            blocks = fused.blocks[block[some, None] + np.arange(len(structure.pairs))]
            yield from zip(some.tolist(), plan.run(blocks, last[place[some, None] + np.arange(len(structure.places))]), strict=True)
