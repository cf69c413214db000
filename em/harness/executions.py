"""All executions of one device: distributions computed together, each once; shots drawn from them as `backends.simulation` does."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

import numpy as np

from backends.adapter import Result, Run, Work
from backends.device import Device
from backends.forecast import Forecast
from backends.preparation import Prepared, prepare
from backends.sampling import Bits, Floats, misread_shots, reading, spelled, unpacked
from backends.terms import cost
from em.engines import Engine, NoisyCircuit, choose
from em.engines.sampling import SamplingEngine
from em.engines.shots import misread

Key = tuple[Any, ...]
"""A body's source and the fields of a run that change the state: all but shots and flips."""

_STATE = attrgetter(*(each.name for each in fields(Run) if each.name not in ("body", "shots", "flips")))


@dataclass(frozen=True)
class Executed:
    """A work's result, and the engines that had a part in it."""

    result: Result
    engine: str
    approximate: bool


@dataclass
class _Simulated:
    """An execution as far as all its runs share it.

    Attributes:
        prepared: its operations, and what is read.
        engine: that simulates it.
        distribution: (2^k,) of what the qubits are; None where the engine draws shot by shot.
        read: flips -> the distribution of what is read.
    """

    prepared: Prepared
    engine: Engine
    distribution: Floats | None = None
    read: dict[tuple[int, ...], Floats] = field(default_factory=dict)


class Executions:
    """What one device is asked for. Keep it as long as its distributions are wanted: a batch."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._simulated: dict[Key, _Simulated | Exception] = {}

    def prepare(self, works: Iterable[Work]) -> None:
        """Simulates what these works need, each distinct execution once, in one batch per engine.

        What cannot be simulated raises when a work that needs it is run.
        """
        waiting: dict[str, list[Key]] = defaultdict(list)
        flips: dict[Key, set[tuple[int, ...]]] = defaultdict(set)
        for work in works:
            for run in work.runs:
                key = _key(work, run)
                flips[key].add(run.flips)
                if key not in self._simulated:
                    self._simulated[key] = found = self._new(work, run)
                    if isinstance(found, _Simulated) and not hasattr(found.engine, "samples"):
                        waiting[found.engine.name].append(key)
        for keys in waiting.values():
            self._distributions(keys)
        for key, patterns in flips.items():
            self._readings(key, sorted(patterns))

    def run(self, work: Work) -> Executed:
        """A prepared work's counts, drawn with its own seed.

        Raises:
            Exception: what kept one of its executions from being simulated.
        """
        counts, weights, seconds, engines = list[dict[str, int]](), list[float](), 0.0, dict[str, bool]()
        forecasts = list[Forecast | None]()
        for index, run in enumerate(work.runs):
            found = self._simulated[_key(work, run)]
            if isinstance(found, Exception):
                raise found
            engines[found.engine.name] = found.engine.approximate
            draw = np.random.default_rng([work.seed, index])
            counts.append(self._counts(found, run, draw))
            weights.append(found.prepared.weight)
            forecasts.append(found.prepared.forecast)
            seconds += run.shots * found.prepared.shot_seconds
        calibration = self.device.calibration
        paid = cost(calibration.price, sum(run.shots for run in work.runs), seconds)
        result = Result(tuple(counts), seconds, paid, calibration.calibration_id, tuple(weights), tuple(forecasts))
        return Executed(result, "+".join(sorted(engines)), any(engines.values()))

    def _new(self, work: Work, run: Run) -> "_Simulated | Exception":
        try:
            prepared = prepare(self.device, work, run)
            engine = choose(self.device, NoisyCircuit(prepared.operations, prepared.places))
        except Exception as error:  # raised again by `run`, for the tasks that need it
            return error
        return _Simulated(prepared, engine)

    def _distributions(self, keys: Sequence[Key]) -> None:
        found = [self._simulated[key] for key in keys]
        entries = [entry for entry in found if isinstance(entry, _Simulated)]
        circuits = [NoisyCircuit(entry.prepared.operations, entry.prepared.places) for entry in entries]
        try:
            distributions = entries[0].engine.distributions(self.device, circuits)
        except Exception as error:  # as above
            self._simulated.update(dict.fromkeys(keys, error))
            return
        for entry, distribution in zip(entries, distributions, strict=True):
            entry.distribution = distribution

    def _readings(self, key: Key, patterns: Sequence[tuple[int, ...]]) -> None:
        entry = self._simulated[key]
        if isinstance(entry, Exception) or entry.distribution is None:
            return
        readings = np.array([self._confusions(entry.prepared, flips) for flips in patterns])
        entry.read.update(zip(patterns, misread(entry.distribution, readings), strict=True))

    def _confusions(self, prepared: Prepared, flips: tuple[int, ...]) -> list[Floats]:
        qubits, gates = self.device.calibration.qubits, self.device.gates
        return [
            reading(qubits[place], qubit in flips, gates["x", (place,)].error)
            for qubit, place in zip(prepared.read, prepared.places, strict=True)
        ]

    def _counts(self, entry: _Simulated, run: Run, draw: np.random.Generator) -> dict[str, int]:
        prepared = entry.prepared
        if entry.distribution is None:
            engine: SamplingEngine = entry.engine  # type: ignore[assignment]
            circuit = NoisyCircuit(prepared.operations, prepared.places)
            bits = engine.samples(self.device, circuit, run.shots, int(draw.integers(2**31)))
            return _counted(misread_shots(bits, self._confusions(prepared, run.flips), draw), prepared.columns)
        times = draw.multinomial(run.shots, entry.read[run.flips])
        seen = np.nonzero(times)[0]
        texts = _spellings(len(prepared.read), prepared.columns)
        return {texts[outcome]: count for outcome, count in zip(seen.tolist(), times[seen].tolist(), strict=True)}


def _key(work: Work, run: Run) -> Key:
    return work.bodies[run.body], _STATE(run)


def _counted(bits: Bits, columns: tuple[int, ...]) -> dict[str, int]:
    rows, times = np.unique(bits, axis=0, return_counts=True)
    return dict(zip(spelled(rows, columns), times.tolist(), strict=True))


@lru_cache(maxsize=256)
def _spellings(width: int, columns: tuple[int, ...]) -> list[str]:
    """The bit string of each outcome."""
    return spelled(unpacked(np.arange(2**width), width), columns)
