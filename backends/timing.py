"""How long a device takes, so that a simulator's cost can be compared with hardware's."""

from collections.abc import Iterable, Mapping

from backends.device import WAIT, Operation

REPETITION_SECONDS = 250e-6
"""Pause between two shots in which qubits relax to |0>: IBM's `default_rep_delay`."""


def execution_seconds(shots: int, circuit_seconds: float, readout_seconds: float) -> float:
    """shots x (gates + readout + pause): what a device is engaged for. Loading and compilation are not counted."""
    return shots * (circuit_seconds + readout_seconds + REPETITION_SECONDS)


def critical_path(operations: Iterable[Operation], durations: Mapping[tuple[str, tuple[int, ...]], float]) -> float:
    """Seconds from the first gate to the end of the last, every gate as early as its qubits allow.

    rz takes none, a wait what it says.
    """
    free: dict[int, float] = {}
    for operation in operations:
        if operation.name == "rz":
            continue
        qubits = operation.qubits
        seconds = operation.parameters[0] if operation.name == WAIT else durations[operation.name, qubits]
        if len(qubits) == 1:
            free[qubits[0]] = free.get(qubits[0], 0.0) + seconds
        else:
            one, other = qubits
            free[one] = free[other] = max(free.get(one, 0.0), free.get(other, 0.0)) + seconds
    return max(free.values(), default=0.0)
