"""How long a device takes, so that a simulator's cost can be compared with hardware's."""

from collections.abc import Iterable, Mapping

REPETITION_SECONDS = 250e-6
"""Pause between two shots in which qubits relax to |0>: IBM's `default_rep_delay`."""


def execution_seconds(shots: int, circuit_seconds: float, readout_seconds: float) -> float:
    """shots x (gates + readout + pause): what a device is engaged for. Loading and compilation are not counted."""
    return shots * (circuit_seconds + readout_seconds + REPETITION_SECONDS)


def critical_path(
    operations: Iterable[tuple[str, tuple[int, ...]]], durations: Mapping[tuple[str, tuple[int, ...]], float]
) -> float:
    """Seconds from the first gate to the end of the last, every gate as early as its qubits allow."""
    free: dict[int, float] = {}
    for operation in operations:
        end = max(free.get(qubit, 0.0) for qubit in operation[1]) + durations[operation]
        free.update(dict.fromkeys(operation[1], end))
    return max(free.values(), default=0.0)
