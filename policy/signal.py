"""How large a circuit's value should be, and what a device's noise leaves of it: some hundred Pauli strings followed backwards.

The observable is carried through the compiled gates in the Heisenberg picture (sparse Pauli dynamics, Begusic et al. 2024,
doi:10.1126/sciadv.adk4321), the heaviest strings kept, the others dropped: the work is bounded, whatever the width. Each gate that
a string meets leaves of it what the calibration says (the diagonal of its noise's Pauli transfer matrix), and relaxation turns a
little of each Z into the identity. `kept` says how much of the observable was followed to the end; where that is little, values are
guesses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from backends.device import Compiled, Device, Operation
from em.observables import support

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Masks = NDArray[np.uint64]
Step: TypeAlias = tuple[str, float | None, tuple[int, ...]]
"""Name, angle, and which of a gate's qubits."""

SCALES = np.array([0.0, 1.0, 3.0, 5.0])
"""Of the noise: none, and as extrapolations scale it."""

MOST_STRINGS = 384
WIDEST = 64
"""Qubits in the light cone: bits of a mask."""

_ROUNDING = 1e-9
_WORTH = 2e-5  # of the observable's bound: smaller parts of what relaxation adds are left out
_ROWS = np.concatenate([SCALES, SCALES[1:]])
_FORWARD, _BACK = np.ceil(_ROWS / 2), np.floor(_ROWS / 2)
"""How often a folded circuit passes through a gate, and through its inverse, whose noise meets the string before the gate."""

_LETTERS = np.array([0, 1, 3, 2], dtype=np.uint64)  # X part + 2 x Z part -> I, X, Y, Z as transfer matrices count them


@dataclass(frozen=True, slots=True)
class Signal:
    """An observable without its constant, after a circuit on a device, in units of the observable's bound.

    Attributes:
        values: (SCALES,) before readout.
        read: (SCALES without 0,) as it is read, readout errors included.
        kept: part of the sum of squared coefficients that was followed to the end, in [0, 1].
        shot: (2, SCALES without 0) variance of one shot, as it is read, and with readout errors inverted; None: not known.
    """

    values: Floats
    read: Floats
    kept: float
    shot: Floats | None = None


def signal(device: Device, compiled: Compiled, sizes: Mapping[str, float], bound: float) -> Signal:
    """The signal of a sum of Pauli strings; nothing is `kept` of a light cone of more than `WIDEST` qubits.

    Args:
        device: whose calibration speaks.
        compiled: the circuit.
        sizes: Pauli string -> coefficient, the identity left out.
        bound: the observable's.
    """
    inside, bits = cone(compiled, {qubit for pauli in sizes for qubit in support(pauli)})
    if not sizes or len(bits) > WIDEST:
        return Signal(np.zeros(len(SCALES)), np.zeros(len(SCALES) - 1), float(not sizes))
    strings = _Strings({pauli: size / bound for pauli, size in sizes.items()}, compiled.places, bits)
    for qubit in sorted({qubit for pauli in sizes for qubit in support(pauli)}):
        row = device.calibration.qubits[compiled.places[qubit]]
        strings.read(bits[compiled.places[qubit]], row.prob_meas1_prep0, row.prob_meas0_prep1)
    for operation in inside:
        where = [bits[qubit] for qubit in operation.qubits]
        noise = None if operation.name == "rz" else device.reported(operation.name, operation.qubits)
        if noise is not None:
            strings.meet(where, noise, _FORWARD)
        strings.turn(operation, where)
        if noise is not None:
            strings.meet(where, noise, _BACK)
    return strings.seen()


def cone(compiled: Compiled, reached: set[int]) -> tuple[list[Operation], dict[int, int]]:
    """The gates that can be seen, last first, and the bit of each qubit of them."""
    seen, inside = {compiled.places[qubit] for qubit in reached}, []
    for operation in reversed(compiled.operations):
        if not seen.isdisjoint(operation.qubits):
            seen.update(operation.qubits)
            inside.append(operation)
    return inside, {qubit: index for index, qubit in enumerate(sorted(seen))}


class _Strings:
    """A sum of Hermitian Pauli strings as masks of X and Z parts (both: Y).

    A string has a coefficient for each scale, and then one for each scale but 0 with the readout's errors.
    """

    def __init__(self, sizes: Mapping[str, float], places: Sequence[int], bits: Mapping[int, int]) -> None:
        parts = [
            [sum(1 << bits[places[qubit]] for qubit in support(pauli) if pauli[-1 - qubit] in letters) for pauli in sizes]
            for letters in ("XY", "ZY")
        ]
        self.x, self.z = (np.array(part, dtype=np.uint64) for part in parts)
        self.sizes = np.tile(np.array(list(sizes.values())), (len(_ROWS), 1))
        self._whole = self._weight()

    def seen(self) -> Signal:
        """The value in |0...0>: of strings of nothing but Z."""
        self._merge()
        values = self.sizes[:, self.x == 0].sum(axis=1)
        return Signal(values[: len(SCALES)], values[len(SCALES) :], min(1.0, self._weight() / self._whole))

    def read(self, bit: int, wrong0: float, wrong1: float) -> None:
        """The readout of a qubit: (1 - P(1|0) - P(0|1)) Z + P(0|1) - P(1|0) is read in place of Z, whatever it was turned from."""
        acts = (self._bit(self.x, bit) | self._bit(self.z, bit)).astype(bool)
        late = np.arange(len(_ROWS)) >= len(SCALES)
        without = self.sizes[:, acts] * np.where(late, wrong1 - wrong0, 0.0)[:, None]
        self.sizes = np.where(acts & late[:, None], self.sizes * (1 - wrong0 - wrong1), self.sizes)
        if abs(wrong1 - wrong0) > _WORTH and acts.any():
            clear = ~np.uint64(1 << bit)
            self._add(self.x[acts] & clear, self.z[acts] & clear, without)
            self._merge()

    def meet(self, bits: Sequence[int], matrix: Floats, times: Floats) -> None:
        """The noise of a gate, so many times for each row: what it leaves of letters; where a Z relaxes, what is left without."""
        letters = [_LETTERS[self._bit(self.x, bit) + 2 * self._bit(self.z, bit)] for bit in bits]
        digits = letters[0] if len(bits) == 1 else letters[0] + 4 * letters[1]
        relaxed = [self._relaxed(bit, 3 * 4**index, digits, matrix, times) for index, bit in enumerate(bits) if len(bits) == 2]
        scaled = np.maximum(np.diag(matrix), _ROUNDING)[:, None] ** times
        self.sizes = self.sizes * scaled[digits].T
        for strings in relaxed:
            self._add(*strings)
        if len(self.x) > 2 * MOST_STRINGS:
            self._merge()

    def _relaxed(self, bit: int, without: int, digits: Masks, matrix: Floats, times: Floats) -> tuple[Masks, Masks, Floats]:
        """Strings that relaxation of a qubit makes of those with a Z there."""
        has = _letter(digits, without) == 3
        added = np.where(has, matrix[digits, np.where(has, digits - np.uint64(without), digits)], 0.0)
        sizes = self.sizes * added * times[:, None]
        worth = has & (np.abs(sizes).max(axis=0) > _WORTH)
        return self.x[worth], self.z[worth] ^ np.uint64(1 << bit), sizes[:, worth]

    def turn(self, operation: Operation, bits: Sequence[int]) -> None:
        """The strings before a gate."""
        for name, angle, which in _STEPS[operation.name](*operation.parameters):
            getattr(self, f"_{name}")(*(bits[index] for index in which), *(() if angle is None else (angle,)))

    def _cx(self, control: int, target: int) -> None:
        """Aaronson and Gottesman 2004, quant-ph/0406196."""
        xc, zc, xt, zt = (self._bit(mask, bit).astype(bool) for bit in (control, target) for mask in (self.x, self.z))
        self._negate(xc & zt & ~(xt ^ zc))
        self.x ^= xc.astype(np.uint64) << np.uint64(target)
        self.z ^= zt.astype(np.uint64) << np.uint64(control)

    def _x(self, bit: int) -> None:
        """Y and Z change their sign."""
        self._negate(self._bit(self.z, bit).astype(bool))

    def _sx(self, bit: int) -> None:
        """Y -> -Z, Z -> Y."""
        z = self._bit(self.z, bit)
        self._negate((z & self._bit(self.x, bit)).astype(bool))
        self.x ^= z << np.uint64(bit)

    def _rz(self, bit: int, angle: float) -> None:
        """X -> cos X - sin Y, Y -> cos Y + sin X: strings of both become two, and equal ones are added up."""
        turned = self._bit(self.x, bit).astype(bool)
        c, s = cos(angle), sin(angle)
        if not turned.any() or (abs(s) < _ROUNDING and c > 0):
            return
        signs = np.where(self._bit(self.z, bit), s, -s)
        mask = np.uint64(1 << bit)
        if abs(c) < _ROUNDING:
            self.z = np.where(turned, self.z ^ mask, self.z)
            self.sizes = np.where(turned, self.sizes * signs, self.sizes)
            return
        new = self.sizes[:, turned] * signs[turned]
        self.sizes = np.concatenate([np.where(turned, self.sizes * c, self.sizes), new], axis=1)
        self.x, self.z = np.concatenate([self.x, self.x[turned]]), np.concatenate([self.z, self.z[turned] ^ mask])
        if len(self.x) > 2 * MOST_STRINGS:
            self._merge()

    def _add(self, x: Masks, z: Masks, sizes: Floats) -> None:
        self.x, self.z = np.concatenate([self.x, x]), np.concatenate([self.z, z])
        self.sizes = np.concatenate([self.sizes, sizes], axis=1)

    def _merge(self) -> None:
        order = np.lexsort((self.z, self.x))
        x, z = self.x[order], self.z[order]
        starts = np.flatnonzero(np.concatenate([[True], (x[1:] != x[:-1]) | (z[1:] != z[:-1])]))
        self.x, self.z, self.sizes = x[starts], z[starts], np.add.reduceat(self.sizes[:, order], starts, axis=1)
        if len(starts) > MOST_STRINGS:
            heaviest = np.argpartition(-np.abs(self.sizes[:2]).max(axis=0), MOST_STRINGS)[:MOST_STRINGS]
            self.x, self.z, self.sizes = self.x[heaviest], self.z[heaviest], self.sizes[:, heaviest]

    def _weight(self) -> float:
        return float(np.square(self.sizes[0]).sum())

    def _bit(self, mask: Masks, bit: int) -> Masks:
        return (mask >> np.uint64(bit)) & np.uint64(1)

    def _negate(self, which: Bools) -> None:
        self.sizes = np.where(which, -self.sizes, self.sizes)


def _letter(digits: Masks, place: int) -> Masks:
    """The letters of the qubit whose Z counts `place`."""
    return digits % 4 if place == 3 else digits // 4


_H: tuple[Step, ...] = (("rz", pi / 2, (1,)), ("sx", None, (1,)), ("rz", pi / 2, (1,)))  # a Hadamard but for a phase
_STEPS: Mapping[str, Callable[..., tuple[Step, ...]]] = {
    "rz": lambda angle: (("rz", angle, (0,)),),
    "x": lambda: (("x", None, (0,)),),
    "sx": lambda: (("sx", None, (0,)),),
    "id": lambda: (),
    "cx": lambda: (("cx", None, (0, 1)),),
    "cz": lambda: (*_H, ("cx", None, (0, 1)), *_H),
    # before an ecr come an x of the first qubit, then its cx with s and sx: Qiskit's ECRGate
    "ecr": lambda: (("x", None, (0,)), ("cx", None, (0, 1)), ("sx", None, (1,)), ("rz", pi / 2, (0,))),
}
"""A device's gate as steps, the last first, since strings go backwards."""

GATES = frozenset(_STEPS)
"""Gates that strings can be followed through; delays and resets are no part of circuits here."""
