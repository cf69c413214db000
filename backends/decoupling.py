"""Dynamical decoupling: pulses that fill idle times and undo each other. Viola and Lloyd 1998, arXiv:quant-ph/9803057.

The noise of a snapshot (`backends.noise`) leaves idle qubits alone: on a device that is simulated under it decoupling can only cost
the errors of its own pulses. It is for hardware, where idle qubits dephase slowly and hear their neighbours, and for simulations of
that (`backends.idling`). Pulses undo each other only with equal waits between them, which are written down as delays.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from backends.device import Device, Operation
from backends.errors import WorkRefusedError
from backends.waits import filled, waiting

SEQUENCES: Mapping[str, str] = MappingProxyType({"XX": "XX", "XY4": "XYXY"})
"""Name -> the pulses, whose product is the identity up to a phase."""


def decoupled(device: Device, operations: Sequence[Operation], sequence: str) -> tuple[Operation, ...]:
    """The operations with one sequence in every wait of a qubit that is long enough for it (`backends.waits.filled`).

    The circuit takes no longer than before.

    Raises:
        WorkRefusedError: an unknown sequence.
    """
    if sequence not in SEQUENCES:
        raise WorkRefusedError(f"there is no decoupling sequence {sequence!r}; there are {', '.join(SEQUENCES)}")
    return filled(device, operations, lambda qubit, seconds: _pulses(device, qubit, seconds, sequence))


def _pulses(device: Device, qubit: int, seconds: float, sequence: str) -> list[Operation]:
    """The sequence, where it fits, each pulse in the middle of its share of the time."""
    x, letters = device.durations.get(("x", (qubit,)), math.inf), SEQUENCES[sequence]
    if seconds <= 0 or len(letters) * x > seconds:
        return []
    share = (seconds - len(letters) * x) / len(letters)
    flip, turn = Operation("x", (), (qubit,)), Operation("rz", (math.pi,), (qubit,))
    steps = waiting(qubit, share / 2)
    for number, letter in enumerate(letters, 1):
        steps += (turn, flip) if letter == "Y" else (flip,)
        steps += waiting(qubit, share if number < len(letters) else share / 2)
    return steps
