"""What a simulation engine is asked, what it answers, and how much of a circuit it has to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backends.device import WAIT, Device, Operation
from em.errors import EmError
from schemas.errors import InputError

Floats = NDArray[np.float64]

SITE = attrgetter("name", "qubits")
"""The gate of an operation and where it is: what its calibration is kept under."""


class EngineRefusedError(EmError, InputError):
    """An engine cannot simulate a circuit; the sentence names its limit."""


@dataclass(frozen=True, slots=True)
class NoisyCircuit:
    """A device's own gates, each followed by its noise, and the qubits that are looked at afterwards.

    Attributes:
        operations: on physical qubits, in order.
        places: the physical qubits that are read, each once, the first being the lowest bit of an outcome.
    """

    operations: tuple[Operation, ...]
    places: tuple[int, ...]


class Engine(Protocol):
    """Simulates noisy circuits; none of them adds readout errors (`em.engines.shots` does).

    Attributes:
        name: its key in `ENGINES`.
        approximate: whether something other than sampling stands between its values and the device's noise model.
    """

    name: str
    approximate: bool

    def refusal(self, device: Device, circuit: NoisyCircuit) -> str:
        """Why it cannot simulate a circuit, in a sentence with its limit; empty if it can."""

    def distributions(self, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
        """Per circuit (2**len(places),): the probability of each outcome.

        Raises:
            EngineRefusedError: a circuit that it cannot simulate.
        """


def seen(circuit: NoisyCircuit) -> tuple[tuple[Operation, ...], tuple[int, ...]]:
    """The operations that what is read depends on, and the qubits they and the reading touch, ascending.

    All noise here preserves the trace, so that what happens outside the light cone of the places cannot be seen.
    """
    reached = set(circuit.places)
    kept = []
    for operation in reversed(circuit.operations):
        if not reached.isdisjoint(operation.qubits):
            reached.update(operation.qubits)
            kept.append(operation)
    return tuple(reversed(kept)), tuple(sorted(reached))


def too_wide(circuit: NoisyCircuit, most: int, holder: str, instead: str) -> str:
    """A sentence if what is read depends on more qubits than `holder` holds; empty otherwise."""
    touched = set(circuit.places).union(*{operation.qubits for operation in circuit.operations})
    width = len(touched) if len(touched) <= most else len(seen(circuit)[1])
    return "" if width <= most else f"what is read depends on {width} qubits, {holder} {most}; {instead}"


def uncalibrated(device: Device, circuit: NoisyCircuit) -> str:
    """A sentence about a gate that the circuit asks for and the device does not have; empty if it has all."""
    unknown = {(name, qubits) for name, qubits in set(map(SITE, circuit.operations)) - device.gates.keys() if name != WAIT}
    if not unknown:
        return ""
    name, qubits = min(unknown)
    place = ", ".join(map(str, qubits))
    return f"{device.calibration.backend} has no calibrated gate {name} on {place}; compile the circuit for it first"


def refuse(index: int, count: int, reason: str) -> None:
    """Raises if there is a reason.

    Raises:
        EngineRefusedError: the circuit's number in its batch, and the reason.
    """
    if reason:
        raise EngineRefusedError(f"circuit {index} of {count}: {reason}")
