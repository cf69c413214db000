"""One sample of probabilistic error cancellation: the inverse of the noise as a signed mixture of Paulis.

Temme, Bravyi, Gambetta 2017, arXiv:1612.02058. What is inverted is the Pauli twirl of the noise that the calibration stands for
(`backends.noise`), gate by gate. A mixture with negative parts costs: each sample weighs +gamma or -gamma, gamma being the
product of the one-norms of all gates whose noise can reach what is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.device import Device, Operation
from backends.frames import Bits, framed

_LETTERS: tuple[Bits, ...] = ((False, False), (True, False), (True, True), (False, True))  # I, X, Y, Z


def sampled(
    device: Device, operations: Sequence[Operation], places: Sequence[int], seed: int, frames: np.random.Generator | None
) -> tuple[tuple[Operation, ...], float]:
    """A random circuit and its weight: the average of weight x outcome over many is free of the noise.

    Args:
        device: whose calibration says what the noise is.
        operations: the plain ones.
        places: the qubits that are read; noise that cannot reach them is left alone.
        seed: of the sample.
        frames: of a twirl at the same time, without which only Pauli noise is cancelled.

    Raises:
        WorkRefusedError: noise that has no inverse, or a gate that Paulis cannot pass.
    """
    sampler = _Sampler(device, np.random.default_rng(seed))
    steps = framed(operations, frames, sampler.error, light_cone(operations, places), places)
    return steps, sampler.weight


def light_cone(operations: Sequence[Operation], places: Sequence[int]) -> list[bool]:
    """For each operation, whether it can reach what is read on the places."""
    reached, inside = set(places), []
    for operation in reversed(operations):
        inside.append(not reached.isdisjoint(operation.qubits))
        if inside[-1]:
            reached.update(operation.qubits)
    return inside[::-1]


@dataclass
class _Sampler:
    """Draws errors, and remembers what they weigh."""

    device: Device
    draw: np.random.Generator
    weight: float = field(default=1.0)

    def error(self, operation: Operation) -> Sequence[Bits]:
        """A Pauli out of the inverse of the noise of an operation."""
        inverse = self.device.inverse(operation.name, operation.qubits)
        if inverse is None:
            return [_LETTERS[0]] * len(operation.qubits)
        sizes = np.abs(inverse)
        cost = float(sizes.sum())
        index = int(self.draw.choice(len(inverse), p=sizes / cost))
        self.weight *= cost * float(np.sign(inverse[index]))
        return [_LETTERS[index >> 2 * place & 3] for place in range(len(operation.qubits))]
