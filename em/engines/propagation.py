"""Expectation values of wide circuits by propagating Pauli strings backwards, small terms dropped and counted.

<P> of the noisy state is Tr(E^+(P) |0..0><0..0|), where E^+ is the noisy circuit in the Heisenberg picture. Each block of
`em.engines.fusion` turns a Pauli string into at most 16, its transfer matrix giving the coefficients, so that the whole
noise is kept, amplitude damping too (Rall et al. 2019, arXiv:1901.09070; Angrisani et al. 2024, arXiv:2409.01706). Strings
are 64-bit words of two bits a qubit; equal ones are merged after each block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from backends.device import Device
from em.engines.engine import EngineRefusedError, Floats, NoisyCircuit, refuse, too_wide, uncalibrated
from em.engines.fusion import Structure, fuse
from em.engines.transfer import Transfers

MAX_QUBITS = 32
"""Two bits a qubit in a 64-bit word."""

MAX_PLACES = 6
"""A distribution over k places takes 2^k expectation values."""

SMALLEST = 1e-6
"""Terms with smaller coefficients are dropped."""

MOST = 1 << 16
"""Terms kept; beyond, the smallest are dropped. Up to sixteen times as many arise within one block: 50 MB."""

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expectation value of a Pauli string.

    Attributes:
        value: in [-1, 1] up to `discarded`.
        discarded: the sum of the dropped coefficients' magnitudes, which bounds the error of `value`.
        terms: the most strings that were carried.
    """

    value: float
    discarded: float
    terms: int


class PauliPropagation:
    """The engine for expectation values of up to `MAX_QUBITS` qubits."""

    name = "pauli-propagation"
    approximate = True

    def __init__(self, smallest: float = SMALLEST, most: int = MOST) -> None:
        self._smallest, self._most = smallest, most
        self._transfers: WeakKeyDictionary[Device, Transfers] = WeakKeyDictionary()

    def refusal(self, device: Device, circuit: NoisyCircuit) -> str:
        """Why it cannot give a circuit's distribution; empty if it can."""
        if len(circuit.places) > MAX_PLACES:
            return (
                f"a distribution over {len(circuit.places)} places takes too many expectation values, Pauli propagation gives "
                f"those of {MAX_PLACES}; ask for the expectation values that you need"
            )
        return _too_wide(device, circuit)

    def distributions(self, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
        """Per circuit (2**len(places),): the probability of each outcome from all products of Z on the places.

        Raises:
            EngineRefusedError: a circuit that it cannot simulate.
        """
        found = []
        for index, circuit in enumerate(circuits):
            refuse(index, len(circuits), self.refusal(device, circuit))
            width = len(circuit.places)
            products = ["".join("IZ"[mask >> bit & 1] for bit in reversed(range(width))) for mask in range(2**width)]
            values = np.array([item.value for item in self.expectations(device, circuit, products)])
            signs = np.array([[(-1) ** (mask & outcome).bit_count() for mask in range(2**width)] for outcome in range(2**width)])
            probabilities = np.clip(signs @ values / 2**width, 0.0, None)
            found.append(probabilities / probabilities.sum())
        return found

    def expectations(self, device: Device, circuit: NoisyCircuit, paulis: Sequence[str]) -> list[Expectation]:
        """The expectation value of each Pauli string, a letter per place, the rightmost for the first.

        Raises:
            EngineRefusedError: a circuit of more than `MAX_QUBITS`, a gate that the device does not have, or a string of
                another width.
        """
        refuse(0, 1, _too_wide(device, circuit))
        for pauli in paulis:
            if len(pauli) != len(circuit.places) or set(pauli) - set("IXYZ"):
                raise EngineRefusedError(f"{pauli!r} is no string of {len(circuit.places)} letters I, X, Y, Z, one per place")
        transfers = self._transfers.setdefault(device, Transfers(device))
        fused = fuse([circuit], transfers)
        return [self._pulled(fused.structures[0], fused.blocks, fused.after, pauli) for pauli in paulis]

    def _pulled(self, structure: Structure, blocks: Floats, after: Floats, pauli: str) -> Expectation:
        first = {qubit: index for index, pair in reversed([*enumerate(structure.pairs)]) for qubit in pair}
        terms = _Terms(np.array([_word(structure.places, pauli)], dtype=np.uint64), np.ones(1))
        for place, qubit in enumerate(structure.places):
            terms.pull(after[place], (qubit,), 0.0)
            if qubit not in first:
                terms.close(qubit)
        largest = len(terms.words)
        for index in reversed(range(len(structure.pairs))):
            terms.pull(blocks[index], structure.pairs[index], self._smallest)
            for qubit in structure.pairs[index]:
                if first[qubit] == index:
                    terms.close(qubit)
            terms.truncate(self._smallest, self._most)
            largest = max(largest, len(terms.words))
        return Expectation(float(terms.coefficients.sum()), terms.discarded, largest)


@dataclass(slots=True)
class _Terms:
    """A sum of Pauli strings; qubit k has the bits 2k and 2k + 1: I 0, X 1, Y 2, Z 3."""

    words: Words
    coefficients: Floats
    discarded: float = 0.0

    def pull(self, matrix: Floats, qubits: tuple[int, ...], smallest: float) -> None:
        """Through an operation; what arises below a fraction of `smallest` is dropped before it is merged."""
        shifts = [np.uint64(2 * qubit) for qubit in qubits]
        digits = [(self.words >> shift) & np.uint64(3) for shift in shifts]
        local = np.asarray(digits[0] if len(qubits) == 1 else 4 * digits[0] + digits[1], dtype=np.intp)
        some = np.flatnonzero(local)  # the identity stays what it is: the noise preserves the trace
        if not len(some):
            return
        arising = self.coefficients[some, None] * matrix.T[local[some]]
        kept = np.abs(arising) > smallest / arising.shape[1]
        self.discarded += float(np.abs(arising[~kept]).sum())
        rows, columns = np.nonzero(kept)
        mask = ~np.uint64(sum(3 << int(shift) for shift in shifts))
        letters = columns.astype(np.uint64)
        pieces = [letters] if len(qubits) == 1 else [letters >> np.uint64(2), letters & np.uint64(3)]
        changed = self.words[some][rows] & mask
        for piece, shift in zip(pieces, shifts, strict=True):
            changed |= piece << shift
        others = local == 0
        self._merge(np.concatenate([self.words[others], changed]), np.concatenate([self.coefficients[others], arising[kept]]))

    def close(self, qubit: int) -> None:
        """At the beginning of a qubit, which is |0> there: <X> = <Y> = 0 and <Z> = 1."""
        shift = np.uint64(2 * qubit)
        letter = (self.words >> shift) & np.uint64(3)
        kept = (letter == 0) | (letter == 3)
        self._merge(self.words[kept] & ~(np.uint64(3) << shift), self.coefficients[kept])

    def truncate(self, smallest: float, most: int) -> None:
        """Drops what is small, and the smallest beyond `most`."""
        sizes = np.abs(self.coefficients)
        kept = sizes > smallest
        if np.count_nonzero(kept) > most:
            kept = np.zeros(len(sizes), dtype=bool)
            kept[np.argpartition(sizes, -most)[-most:]] = True
        self.discarded += float(sizes[~kept].sum())
        self.words, self.coefficients = self.words[kept], self.coefficients[kept]

    def _merge(self, words: Words, coefficients: Floats) -> None:
        order = np.argsort(words)
        words = words[order]
        starts = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]]) if len(words) else [])
        self.words = words[starts]
        self.coefficients = np.add.reduceat(coefficients[order], starts) if len(words) else coefficients


def _word(places: Sequence[int], pauli: str) -> int:
    return sum("IXYZ".index(letter) << 2 * qubit for qubit, letter in zip(places, reversed(pauli), strict=True))


def _too_wide(device: Device, circuit: NoisyCircuit) -> str:
    return too_wide(circuit, MAX_QUBITS, "Pauli propagation holds", "read fewer") or uncalibrated(device, circuit)
