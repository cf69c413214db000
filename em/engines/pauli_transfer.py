"""Exact and fast, to 12 qubits: many circuits at once, as Pauli transfer matrices in NumPy.

A batch is fused into blocks of two qubits (`em.engines.fusion`), all their 16x16 matrices are built at once, and circuits
that share a structure move through one plan together (`em.engines.plan`): real numbers, one matrix product per block.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from weakref import WeakKeyDictionary

import numpy as np

from backends.device import Device
from em.engines.engine import Floats, NoisyCircuit, refuse, too_wide, uncalibrated
from em.engines.fusion import Fused, fuse, matrices
from em.engines.plan import planned
from em.engines.transfer import Transfers

MAX_QUBITS = 12
"""4^12 real numbers take 134 MB, and a step holds three times as many."""

_OPERATIONS = 1 << 15  # of the circuits that are fused at once: their matrices take about 30 MB
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
        transfers = self._transfers.setdefault(device, Transfers(device))
        found: list[Floats] = [np.empty(0)] * len(circuits)
        for chunk in _chunks(circuits):
            fused = {index: self._fused(device, circuits, index) for index in chunk}
            order = sorted(chunk, key=lambda index: hash(fused[index].structure))
            for index, probabilities in zip(order, _evolved([fused[index] for index in order], transfers), strict=True):
                found[index] = probabilities
        return found

    def _fused(self, device: Device, circuits: Sequence[NoisyCircuit], index: int) -> Fused:
        circuit = circuits[index]
        try:
            fused = fuse(circuit, self._transfers[device])
        except KeyError:
            refuse(index, len(circuits), uncalibrated(device, circuit))
            raise
        if fused.structure.width > MAX_QUBITS:
            refuse(index, len(circuits), _too_wide(circuit))
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


def _evolved(circuits: Sequence[Fused], transfers: Transfers) -> Iterator[Floats]:
    """The distributions of circuits that are sorted by structure."""
    built = matrices(circuits, transfers)
    block = place = 0
    for structure, group in groupby(circuits, key=lambda circuit: circuit.structure):
        batch, steps, places = len(list(group)), len(structure.pairs), len(structure.places)
        plan = planned(structure)
        blocks = built.blocks[block : block + batch * steps].reshape(batch, steps, 16, 16)
        last = (built.after[place : place + batch * places] @ _READ).reshape(batch, places, 4, 2)
        block, place = block + batch * steps, place + batch * places
        together = max(1, _NUMBERS // plan.peak)
        for start in range(0, batch, together):
            yield from plan.run(blocks[start : start + together], last[start : start + together])
