"""Pauli frames: random Paulis around the two-qubit gates, carried along in software and almost free of pulses.

A twirl turns the noise of the gates into Pauli noise, and coherent errors with it (Wallman and Emerson 2016,
arXiv:1512.01098). The frame is the Pauli by which the state differs from what the plain operations would make. It passes rz
(with its sign turned), x and sx for free. Before each two-qubit gate it is changed to a random one: the Z part by a change
of the qubit's own frame, the X part by turning the last sx on the qubit into its inverse; only where there is none, an x is
added. Errors that are made on purpose (`backends.cancellation`) change the frame alone.

What stands on a qubit between two of its two-qubit gates can be passed in sixteen ways, each of which is written once.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np

from backends.device import Operation
from backends.errors import WorkRefusedError

Bits: TypeAlias = tuple[bool, bool]
"""A Pauli on one qubit up to its phase: whether it flips (X or Y), whether it turns the phase (Z or Y)."""

Pauli: TypeAlias = int
"""The same as a number: 1 if it flips, plus 2 if it turns the phase."""

_FLIPS, _TURNS = 1, 2
_TURN = (math.pi,)

CONJUGATIONS: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {"cx": ("XX", "ZI", "IX", "ZZ"), "cz": ("XZ", "ZI", "ZX", "IZ"), "ecr": ("YX", "ZI", "IX", "ZY")}
)
"""Gate -> what U P U^-1 is for P = XI, ZI, IX, IZ, up to the sign; the first letter is the gate's first qubit's."""


class Errors(Protocol):
    """Paulis that are made on purpose."""

    def alone(self, segment: int) -> tuple[tuple[int, Pauli], ...]:
        """Those after single-qubit operations: (place in the segment, Pauli)."""

    def after(self, pair: int) -> tuple[Pauli, Pauli]:
        """Those after a two-qubit gate, on its two qubits."""

    def added(self, pair: int | None, qubit: int) -> Pauli:
        """That after an x which a frame needs, before a two-qubit gate or (None) at the end."""


class _Without:
    """No errors."""

    def alone(self, segment: int) -> tuple[tuple[int, Pauli], ...]:
        return ()

    def after(self, pair: int) -> tuple[Pauli, Pauli]:
        return 0, 0

    def added(self, pair: int | None, qubit: int) -> Pauli:
        return 0


class Frames:
    """Operations, prepared for any number of random frames.

    Attributes:
        places: for each operation, where it is: (pair number, None), or (segment number, place in it).

    Raises:
        WorkRefusedError: a gate that Paulis cannot pass here.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.places: list[tuple[int, int | None]] = []
        self._pairs: list[tuple[Operation, tuple[tuple[Pauli, Pauli], ...], int, int]] = []
        segments: list[tuple[int, list[Operation]]] = []
        latest: dict[int, int] = {}

        def segment(qubit: int) -> int:
            if qubit not in latest:
                latest[qubit] = len(segments)
                segments.append((qubit, []))
            return latest[qubit]

        for operation in operations:
            first = segment(operation.qubits[0])
            if len(operation.qubits) == 2:
                self.places.append((len(self._pairs), None))
                self._pairs.append((operation, _images(operation.name), first, segment(operation.qubits[1])))
                for qubit in operation.qubits:
                    del latest[qubit]
            else:
                self.places.append((first, len(segments[first][1])))
                segments[first][1].append(operation)
        self._last = [segment(qubit) for qubit in sorted({qubit for qubit, _ in segments})]
        self._segments = [_segment(qubit, tuple(inside)) for qubit, inside in segments]

    def drawn(self, draw: np.random.Generator | None, errors: Errors = _Without()) -> tuple[Operation, ...]:  # noqa: B008
        """The same unitary up to a global phase (times the errors), in random frames; in plain ones, if nothing draws them."""
        frame: dict[int, Pauli] = {}
        steps: list[Operation] = []
        wanted = self._wanted(draw)
        for number, (operation, images, first, second) in enumerate(self._pairs):
            one, other = operation.qubits
            mine, theirs = wanted[number]
            for segment, qubit, after in ((first, one, mine), (second, other, theirs)):
                passed, frame[qubit] = self._passed(segment, frame.get(qubit, 0), after, number, errors)
                steps += passed
            steps.append(operation)
            (mine, theirs), (wrong, false) = images[frame[one] + 4 * frame[other]], errors.after(number)
            frame[one], frame[other] = mine ^ wrong, theirs ^ false
        for segment in self._last:
            qubit = self._segments[segment].qubit
            passed, left = self._passed(segment, frame.get(qubit, 0), 0, None, errors)
            steps += passed
            while left:  # an x that was added for it may bring an error of its own
                passed, x = _segment(qubit, ()).between(left, 0, ())
                steps += passed
                left = errors.added(None, qubit) if x else 0
        return tuple(steps)

    def _wanted(self, draw: np.random.Generator | None) -> list[list[Pauli]]:
        """The frames before each two-qubit gate."""
        if draw is None:
            return [[0, 0]] * len(self._pairs)
        bits = draw.random((len(self._pairs), 2, 2)) < 0.5
        found: list[list[Pauli]] = (bits @ np.array([_FLIPS, _TURNS])).tolist()
        return found

    def _passed(
        self, segment: int, before: Pauli, wanted: Pauli, pair: int | None, errors: Errors
    ) -> tuple[tuple[Operation, ...], Pauli]:
        """What is executed of a segment, and the frame after it."""
        passed = self._segments[segment]
        operations, x = passed.between(before, wanted, errors.alone(segment))
        return operations, wanted ^ errors.added(pair, passed.qubit) if x else wanted


class _Segment:
    """What stands on a qubit between two of its two-qubit gates."""

    def __init__(self, qubit: int, operations: tuple[Operation, ...]) -> None:
        strange = [operation.name for operation in operations if operation.name not in {"rz", "sx", "x"}]
        if strange:
            raise WorkRefusedError(f"the gate {strange[0]} cannot be twirled: Paulis pass rz, sx, x, cx, cz and ecr here")
        self.qubit = qubit
        self.operations = operations
        self._known: dict[tuple[Pauli, Pauli, tuple[tuple[int, Pauli], ...]], tuple[tuple[Operation, ...], bool]] = {}

    def between(self, before: Pauli, after: Pauli, errors: tuple[tuple[int, Pauli], ...]) -> tuple[tuple[Operation, ...], bool]:
        """What is executed between two frames, and whether an x had to be added at its end."""
        key = before, after, errors
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._between(before, after, dict(errors))
        return known

    def _between(self, frame: Pauli, after: Pauli, errors: Mapping[int, Pauli]) -> tuple[tuple[Operation, ...], bool]:
        steps: list[Operation] = []
        pulse = None  # the place of the last sx
        for place, operation in enumerate(self.operations):
            if operation.name == "sx":
                frame ^= _FLIPS if frame & _TURNS else 0
                pulse = len(steps)
            steps.append(_passed_by_x(operation) if frame & _FLIPS else operation)
            frame ^= errors.get(place, 0)
        if (frame ^ after) & _TURNS:
            steps.append(Operation("rz", _TURN, (self.qubit,)))
        if not (frame ^ after) & _FLIPS:
            return tuple(steps), False
        if pulse is None:
            return (*steps, Operation("x", (), (self.qubit,))), True
        turn = Operation("rz", _TURN, (self.qubit,))  # Z sx Z is the inverse of sx, up to a phase
        return (*steps[:pulse], turn, steps[pulse], turn, *map(_passed_by_x, steps[pulse + 1 :])), False


_segment = lru_cache(maxsize=1 << 12)(_Segment)  # folded circuits have the same again and again


def conjugated(name: str, paulis: Sequence[Bits]) -> list[Bits]:
    """U P U^-1 for the Pauli with these bits on the first and the second qubit of a gate of `CONJUGATIONS`."""
    flips, turns = [False, False], [False, False]
    for image, present in zip(CONJUGATIONS[name], (bit for pauli in paulis for bit in pauli), strict=True):
        for place, letter in enumerate(image if present else ""):
            flips[place] ^= letter in "XY"
            turns[place] ^= letter in "YZ"
    return list(zip(flips, turns, strict=True))


@lru_cache
def _images(name: str) -> tuple[tuple[Pauli, Pauli], ...]:
    """The frames after a gate, by those before it: of the first qubit plus 4 times that of the second."""
    if name not in CONJUGATIONS:
        raise WorkRefusedError(f"the gate {name} cannot be twirled; cx, cz and ecr can")
    found = []
    for place in range(16):
        bits = [(bool(pauli & _FLIPS), bool(pauli & _TURNS)) for pauli in (place & 3, place >> 2)]
        first, second = (_FLIPS * flips + _TURNS * turns for flips, turns in conjugated(name, bits))
        found.append((first, second))
    return tuple(found)


def _passed_by_x(step: Operation) -> Operation:
    return Operation("rz", (-step.parameters[0],), step.qubits) if step.name == "rz" else step
