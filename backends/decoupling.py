"""Dynamical decoupling: pulses that fill idle times and undo each other. Viola and Lloyd 1998, arXiv:quant-ph/9803057.

The noise of a snapshot (`backends.noise`) leaves idle qubits alone: on a simulated device decoupling can only cost the errors
of its own pulses. It is for hardware, where idle qubits dephase slowly and hear their neighbours.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from backends.device import Device, Operation
from backends.errors import WorkRefusedError

SEQUENCES: Mapping[str, str] = MappingProxyType({"XX": "XX", "XY4": "XYXY"})
"""Name -> the pulses, whose product is the identity up to a phase."""


def decoupled(device: Device, operations: Sequence[Operation], sequence: str) -> tuple[Operation, ...]:
    """The operations with one sequence in every idle time of a qubit that is long enough for it.

    A qubit is idle between two of its gates, and from its last gate to the end of the circuit, every gate being as early as
    its qubits allow. The circuit takes no longer than before.

    Raises:
        WorkRefusedError: an unknown sequence.
    """
    if sequence not in SEQUENCES:
        raise WorkRefusedError(f"there is no decoupling sequence {sequence!r}; there are {', '.join(SEQUENCES)}")
    free: dict[int, float] = {}
    steps: list[Operation] = []
    for operation in operations:
        start = max(free.get(qubit, 0.0) for qubit in operation.qubits)
        for qubit in operation.qubits:
            steps += _pulses(device, qubit, start - free.get(qubit, start), sequence)
        steps.append(operation)
        free.update(dict.fromkeys(operation.qubits, start + device.durations[operation.name, operation.qubits]))
    end = max(free.values(), default=0.0)
    return (*steps, *(step for qubit in sorted(free) for step in _pulses(device, qubit, end - free[qubit], sequence)))


def _pulses(device: Device, qubit: int, seconds: float, sequence: str) -> list[Operation]:
    """The sequence, where it fits."""
    x = device.durations.get(("x", (qubit,)), math.inf)
    if seconds <= 0 or len(SEQUENCES[sequence]) * x > seconds:
        return []
    flip, turn = Operation("x", (), (qubit,)), Operation("rz", (math.pi,), (qubit,))
    return [step for letter in SEQUENCES[sequence] for step in ((turn, flip) if letter == "Y" else (flip,))]
