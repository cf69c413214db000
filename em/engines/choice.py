"""Every engine, and which one simulates a circuit: the first in the table that can."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from backends.device import Device
from em.engines.aer import AerDensityMatrix, AerTrajectories
from em.engines.clifford import CliffordFrames
from em.engines.engine import Engine, EngineRefusedError, NoisyCircuit
from em.engines.pauli_transfer import PauliTransfer
from em.engines.propagation import PauliPropagation

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        engine.name: engine
        for engine in (PauliTransfer(), AerDensityMatrix(), CliffordFrames(), AerTrajectories(), PauliPropagation())
    }
)
"""The exact ones first, then what is sampled or approximate, the faster first."""


def choose(device: Device, circuit: NoisyCircuit) -> Engine:
    """The engine for a circuit's distribution.

    Raises:
        EngineRefusedError: none can; the sentence gives each one's limit.
    """
    reasons = []
    for engine in ENGINES.values():
        reason = engine.refusal(device, circuit)
        if not reason:
            return engine
        reasons.append(f"{engine.name}: {reason}")
    raise EngineRefusedError(f"no engine can simulate the circuit. {'. '.join(reasons)}.")


def difference(device: Device, circuit: NoisyCircuit, engine: Engine) -> float | None:
    """The largest |probability - exact| of an engine's distribution; None where no exact engine can simulate the circuit.

    Raises:
        EngineRefusedError: the engine cannot simulate it.
    """
    exact = ENGINES[PauliTransfer.name]
    (ours,) = engine.distributions(device, [circuit])
    if exact.refusal(device, circuit):
        return None
    return float(np.abs(ours - exact.distributions(device, [circuit])[0]).max())
