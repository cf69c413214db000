"""Waits written down: a delay for each time in which a qubit does nothing."""

import math
from collections.abc import Callable, Sequence

from backends.device import WAIT, Device, Operation

_TICK_SECONDS = 1e-12
_ROUNDING = 1e-4  # of a tick: sums of durations differ in the last bit


def waiting(qubit: int, seconds: float) -> list[Operation]:
    """A wait, in whole ticks; none where it is shorter than one."""
    ticks = math.floor(seconds / _TICK_SECONDS + _ROUNDING)
    return [Operation(WAIT, (ticks * _TICK_SECONDS,), (qubit,))] if ticks > 0 else []


def filled(
    device: Device, operations: Sequence[Operation], fill: Callable[[int, float], Sequence[Operation]] = waiting
) -> tuple[Operation, ...]:
    """The operations, and what `fill(qubit, seconds)` makes of each wait.

    Gates are as late as their qubits allow, as vendors schedule them, and all qubits are read together in the end: what waits
    before its first gate waits in |0>, which costs nothing and is left out.
    """
    left: dict[int, float] = {}
    parts: list[Sequence[Operation]] = []
    for operation in reversed(operations):
        end = max(left.get(qubit, 0.0) for qubit in operation.qubits)
        parts += [fill(qubit, end - left.get(qubit, 0.0)) for qubit in operation.qubits]
        parts.append((operation,))
        left.update(dict.fromkeys(operation.qubits, end + device.seconds(operation)))
    return tuple(step for part in reversed(parts) for step in part)
