"""Pauli frames: random Paulis around the two-qubit gates, carried along in software and almost free of pulses.

A twirl turns the noise of the gates into Pauli noise, and coherent errors with it (Wallman and Emerson 2016,
arXiv:1512.01098). The frame is the Pauli by which the state differs from what the plain operations would make. It passes rz
(with its sign turned), x and sx for free. Before each two-qubit gate it is changed to a random one: the Z part by a change
of the qubit's own frame, the X part by turning the last sx on the qubit into its inverse; only where there is none, an x is
added. Errors that are made on purpose (`backends.cancellation`) change the frame alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from backends.device import Operation
from backends.errors import WorkRefusedError

Bits: TypeAlias = tuple[bool, bool]
"""A Pauli on one qubit up to its phase: whether it flips (X or Y), whether it turns the phase (Z or Y)."""

_I: Bits = (False, False)
_TURN = (math.pi,)

CONJUGATIONS: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {"cx": ("XX", "ZI", "IX", "ZZ"), "cz": ("XZ", "ZI", "ZX", "IZ"), "ecr": ("YX", "ZI", "IX", "ZY")}
)
"""Gate -> what U P U^-1 is for P = XI, ZI, IX, IZ, up to the sign; the first letter is the gate's first qubit's."""


def framed(
    operations: Sequence[Operation],
    draw: np.random.Generator | None = None,
    error: Callable[[Operation], Sequence[Bits]] | None = None,
    heeded: Sequence[bool] = (),
    read: Sequence[int] = (),
) -> tuple[Operation, ...]:
    """The same unitary up to a global phase (times the errors made on purpose), in random frames.

    Args:
        operations: the plain ones.
        draw: where random frames come from; None for none.
        error: the Pauli error to make after an operation, a pair of bits for each of its qubits.
        heeded: for each operation, whether `error` is to be asked.
        read: qubits on which `error` is to be asked for what the last frame costs, too.

    Raises:
        WorkRefusedError: a gate that Paulis cannot pass here.
    """
    tracker = _Tracker(draw, error)
    for index, operation in enumerate(operations):
        tracker.pass_through(operation, bool(heeded) and heeded[index])
    tracker.settle(frozenset(read))
    return tuple(step for slot in tracker.slots for step in slot)


class _Tracker:
    """What was emitted so far, and the frame."""

    def __init__(self, draw: np.random.Generator | None, error: Callable[[Operation], Sequence[Bits]] | None) -> None:
        self.slots: list[tuple[Operation, ...]] = []
        self._draw = draw
        self._error = error
        self._frame: dict[int, Bits] = {}
        self._since: dict[int, list[int]] = {}  # slots of a qubit from its last sx on, none of them of another qubit

    def pass_through(self, operation: Operation, heeded: bool) -> None:
        """Emits an operation in the present frame, or in a new random one."""
        if len(operation.qubits) == 2:
            self._pair(operation, heeded)
        elif operation.name in {"rz", "sx", "x"}:
            self._one(operation, heeded)
        else:
            raise WorkRefusedError(f"the gate {operation.name} cannot be twirled: Paulis pass rz, sx, x, cx, cz and ecr here")

    def settle(self, read: frozenset[int]) -> None:
        """Takes the frame back to none."""
        for qubit in sorted(self._frame):
            while self._frame[qubit] != _I:  # an x that is emitted for it may bring an error of its own
                self._change(qubit, _I, qubit in read)

    def _one(self, operation: Operation, heeded: bool) -> None:
        (qubit,) = operation.qubits
        flips, turns = self._frame.get(qubit, _I)
        if operation.name == "rz" and flips:
            operation = Operation("rz", (-operation.parameters[0],), operation.qubits)
        if operation.name == "sx":
            self._frame[qubit] = (flips != turns, turns)
            self._since[qubit] = []
        if qubit in self._since:
            self._since[qubit].append(len(self.slots))
        self._emit(operation, heeded)

    def _pair(self, operation: Operation, heeded: bool) -> None:
        if operation.name not in CONJUGATIONS:
            raise WorkRefusedError(f"the gate {operation.name} cannot be twirled; cx, cz and ecr can")
        for qubit in operation.qubits:
            bits = self._draw.random(2) < 0.5 if self._draw is not None else _I
            self._change(qubit, (bool(bits[0]), bool(bits[1])), heeded)
            self._since.pop(qubit, None)
        before = [self._frame.get(qubit, _I) for qubit in operation.qubits]
        self._frame.update(zip(operation.qubits, conjugated(operation.name, before), strict=True))
        self._emit(operation, heeded)

    def _change(self, qubit: int, wanted: Bits, heeded: bool) -> None:
        flips, turns = self._frame.get(qubit, _I)
        self._frame[qubit] = wanted
        if turns != wanted[1]:
            self._one_unframed(Operation("rz", _TURN, (qubit,)))
        if flips == wanted[0]:
            return
        if qubit not in self._since:
            self._emit(Operation("x", (), (qubit,)), heeded)
            return
        pulse, *later = self._since[qubit]
        self.slots[pulse] = _inverted_or_plain(self.slots[pulse])
        for slot in later:
            self.slots[slot] = tuple(_passed_by_x(step) for step in self.slots[slot])

    def _one_unframed(self, operation: Operation) -> None:
        if operation.qubits[0] in self._since:
            self._since[operation.qubits[0]].append(len(self.slots))
        self.slots.append((operation,))

    def _emit(self, operation: Operation, heeded: bool) -> None:
        self.slots.append((operation,))
        if heeded and self._error is not None:
            for qubit, (flips, turns) in zip(operation.qubits, self._error(operation), strict=True):
                known = self._frame.get(qubit, _I)
                self._frame[qubit] = (known[0] != flips, known[1] != turns)


def conjugated(name: str, paulis: Sequence[Bits]) -> list[Bits]:
    """U P U^-1 for the Pauli with these bits on the first and the second qubit of a gate of `CONJUGATIONS`."""
    flips, turns = [False, False], [False, False]
    for image, present in zip(CONJUGATIONS[name], (bit for pauli in paulis for bit in pauli), strict=True):
        for place, letter in enumerate(image if present else ""):
            flips[place] ^= letter in "XY"
            turns[place] ^= letter in "YZ"
    return list(zip(flips, turns, strict=True))


def _inverted_or_plain(pulse: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """sx to its inverse Z sx Z, and back."""
    if len(pulse) == 3:
        return (pulse[1],)
    frame = Operation("rz", _TURN, pulse[0].qubits)
    return (frame, *pulse, frame)


def _passed_by_x(step: Operation) -> Operation:
    return Operation("rz", (-step.parameters[0],), step.qubits) if step.name == "rz" else step
