"""Simulation engines behind one interface: exact where a circuit is small, approximate and labelled where it is not."""

from em.engines.choice import ENGINES, choose, difference
from em.engines.engine import Engine, EngineRefusedError, NoisyCircuit

__all__ = ["ENGINES", "Engine", "EngineRefusedError", "NoisyCircuit", "choose", "difference"]
