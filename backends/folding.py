"""Folding: the same unitary with more of the device's own noise. Giurgica-Tiron et al. 2020, arXiv:2005.10921."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from backends.adapter import Fold
from backends.device import Operation
from backends.errors import WorkRefusedError


class Folding(Protocol):
    """Operations and a scale to operations."""

    def __call__(self, operations: Sequence[Operation], scale: float) -> tuple[Operation, ...]:
        """The folded operations; `scale` >= 1."""


def folded(operations: Sequence[Operation], scale: float, fold: Fold = "global") -> tuple[Operation, ...]:
    """The operations with their noise scaled; nothing for scale 0.

    Raises:
        WorkRefusedError: a gate whose inverse the device does not have.
    """
    return () if scale == 0 else FOLDINGS[fold](operations, scale)


def globally(operations: Sequence[Operation], scale: float) -> tuple[Operation, ...]:
    """G (G^-1 G)^n for scale 2n + 1: every noisy gate comes 2n + 1 times."""
    return (*operations, *(_inverse(operations) + tuple(operations)) * (round(scale - 1) // 2))


def by_gate(operations: Sequence[Operation], scale: float) -> tuple[Operation, ...]:
    """Each noisy gate g becomes g (g^-1 g)^n; what is missing to the scale is spread evenly over the gates of each kind.

    The scale is met exactly where it is odd, and to one gate of each kind elsewhere.
    """
    times = iter(_repetitions([operation.name for operation in operations if operation.name != "rz"], scale))
    return tuple(
        step
        for operation in operations
        for step in ([operation] if operation.name == "rz" else globally([operation], 1 + 2 * next(times)))
    )


def by_layer(operations: Sequence[Operation], scale: float) -> tuple[Operation, ...]:
    """Each layer L of gates that run at the same time becomes L (L^-1 L)^n; the rest is spread evenly over the layers.

    A layer holds the gates that come equally late, each as early as its qubits allow; it may have gates of several kinds,
    so that a scale that is not odd is met to one layer only.
    """
    layers = _layers(operations)
    times = _repetitions(["layer"] * len(layers), scale)
    return tuple(step for layer, time in zip(layers, times, strict=True) for step in globally(layer, 1 + 2 * time))


FOLDINGS: Mapping[Fold, Folding] = MappingProxyType({"global": globally, "gate": by_gate, "layer": by_layer})


def inverted(operation: Operation) -> tuple[Operation, ...]:
    """The inverse in the same gates, up to a global phase, with the same number of noisy ones.

    Raises:
        WorkRefusedError: a gate whose inverse the device does not have.
    """
    if operation.name == "rz":
        return (Operation("rz", (-operation.parameters[0],), operation.qubits),)
    if operation.name == "sx":  # Z sx Z = sx^-1, and rz(pi) is Z up to a phase
        frame = Operation("rz", (math.pi,), operation.qubits)
        return (frame, operation, frame)
    if operation.name in {"x", "cx", "cz", "ecr"}:
        return (operation,)
    raise WorkRefusedError(f"the gate {operation.name} has no inverse among the device's gates, so that it cannot be folded")


def _inverse(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    return tuple(step for operation in reversed(operations) for step in inverted(operation))


def _repetitions(kinds: Sequence[str], scale: float) -> list[int]:
    """How often each is folded: n or n + 1 times, so that every kind comes `scale` times as often as it did."""
    whole = int((scale - 1) // 2)
    rest = (scale - 1) / 2 - whole
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    more = {kind: round(count * rest) for kind, count in counts.items()}
    seen = dict.fromkeys(counts, 0)
    times = []
    for kind in kinds:
        index, count, extra = seen[kind], counts[kind], more[kind]
        times.append(whole + ((index + 1) * extra // count - index * extra // count))
        seen[kind] += 1
    return times


def _layers(operations: Sequence[Operation]) -> list[list[Operation]]:
    """rz takes no time: it goes into the layer of the next gate on its qubit, or the last."""
    layers: list[list[Operation]] = []
    free: dict[int, int] = {}
    waiting: dict[int, list[Operation]] = {}
    for operation in operations:
        if operation.name == "rz":
            waiting.setdefault(operation.qubits[0], []).append(operation)
            continue
        place = max(free.get(qubit, 0) for qubit in operation.qubits)
        if place == len(layers):
            layers.append([])
        layers[place] += [frame for qubit in operation.qubits for frame in waiting.pop(qubit, [])] + [operation]
        free.update(dict.fromkeys(operation.qubits, place + 1))
    left = [frame for frames in waiting.values() for frame in frames]
    return [*layers, left] if left else layers
