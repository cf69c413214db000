"""Engines that draw outcomes one by one: what they have in common."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backends.device import Device
from em.engines.engine import Engine, Floats, NoisyCircuit, refuse

SAMPLES = 1 << 12
"""Outcomes behind a sampled distribution: each probability is known to 0.008 or better."""

MAX_PLACES = 16
"""2^16 probabilities from 2^12 samples; wider ones are asked for as samples."""


class SamplingEngine(Engine, Protocol):
    """An engine whose distributions are frequencies; asked again, it gives the same.

    It refuses what it cannot sample; `distributions` refuses more than `MAX_PLACES` places as well.
    """

    def samples(self, device: Device, circuit: NoisyCircuit, shots: int, seed: int) -> NDArray[np.bool_]:
        """(shots, len(places)): what the places are, before readout errors.

        Raises:
            EngineRefusedError: a circuit that it cannot simulate.
        """


def frequencies(engine: SamplingEngine, device: Device, circuits: Sequence[NoisyCircuit]) -> list[Floats]:
    """Per circuit (2**len(places),): how often `SAMPLES` draws gave each outcome, the seed being the circuit's number.

    Raises:
        EngineRefusedError: a circuit that it cannot simulate, or too many places.
    """
    found = []
    for index, circuit in enumerate(circuits):
        refuse(index, len(circuits), _too_many_places(circuit) or engine.refusal(device, circuit))
        bits = engine.samples(device, circuit, SAMPLES, index)
        outcomes = bits @ (1 << np.arange(bits.shape[1]))
        found.append(np.bincount(outcomes, minlength=2 ** bits.shape[1]) / SAMPLES)
    return found


def _too_many_places(circuit: NoisyCircuit) -> str:
    """A sentence if a distribution would have more outcomes than samples can tell apart; empty otherwise."""
    if len(circuit.places) <= MAX_PLACES:
        return ""
    return (
        f"a distribution over {len(circuit.places)} places has too many outcomes, at most {MAX_PLACES} can be sampled; read fewer"
    )
