"""Work on a device, simulated: exact density matrices for few qubits, noisy trajectories for more; all draws seeded.

A distribution of outcomes belongs to a prepared run (`backends.preparation`); shots, flips and readout errors are drawn from
it afterwards, so that a hundred readout twirls of one circuit cost one simulation. A flip fails with the reported error of its
x gate.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit_aer import AerSimulator

from backends.adapter import Run, Work
from backends.device import Compiled, Device, Operation, gate
from backends.errors import BackendError, WorkRefusedError
from backends.forecast import Forecast
from backends.preparation import Prepared, prepare
from backends.sampling import Floats, misread, misread_shots, reading, spelled, unpacked

EXACT_QUBITS = 12
"""Up to here a density matrix (4^n numbers, 268 MB) is faster than the trajectories of a few thousand shots, and exact."""

TRAJECTORY_QUBITS = 24
"""A statevector of 2^24 amplitudes takes 268 MB per process."""

MAX_AMPLITUDE_STEPS = 2e11
"""shots x gates x 2^qubits of one trajectory run: about an hour of one core; more would keep a worker from all others."""

_KEPT = 1024  # prepared circuits; their distributions have at most 2^12 probabilities: 32 MB
_CHUNK = 1 << 16  # shots whose readout is drawn at once


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts per run, the time that the device would have taken, weights and forecasts as in `backends.adapter.Result`."""

    counts: tuple[dict[str, int], ...]
    execution_seconds: float
    weights: tuple[float, ...]
    forecasts: tuple[Forecast | None, ...]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A prepared run and what its qubits are afterwards, the first of `read` the lowest bit; None where trajectories are needed."""

    prepared: Prepared
    probabilities: Floats | None


class Simulator:
    """Simulates one device. Not thread-safe: one per process."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._ready: OrderedDict[tuple[Compiled, Run], _Ready] = OrderedDict()

    def run(self, work: Work) -> Outcome:
        """Executes a work.

        Raises:
            WorkRefusedError: a circuit that does not parse, does not fit the device, or is too large to simulate.
            BackendError: the simulation failed.
        """
        counts, weights, forecasts, seconds = [], [], [], 0.0
        for index, run in enumerate(work.runs):
            ready = self._prepare(work, run)
            counts.append(self._counts(ready, run, np.random.default_rng([work.seed, index])))
            weights.append(ready.prepared.weight)
            forecasts.append(ready.prepared.forecast)
            seconds += run.shots * ready.prepared.shot_seconds
        return Outcome(tuple(counts), seconds, tuple(weights), tuple(forecasts))

    def _prepare(self, work: Work, run: Run) -> _Ready:
        compiled = self.device.compile(work.bodies[run.body], work.transpiler_seed, work.optimization_level)
        key = (compiled, replace(run, body=0, shots=1, flips=()))
        if key not in self._ready:
            prepared = prepare(self.device, work, run)
            exact = len({*_active(prepared.operations), *prepared.places}) <= EXACT_QUBITS
            self._ready[key] = _Ready(prepared, self._exact(prepared.operations, prepared.places) if exact else None)
            if len(self._ready) > _KEPT:
                self._ready.popitem(last=False)
        self._ready.move_to_end(key)
        return self._ready[key]

    def _counts(self, ready: _Ready, run: Run, draw: np.random.Generator) -> dict[str, int]:
        prepared = ready.prepared
        readings = [
            reading(self.device.calibration.qubits[place], qubit in run.flips, self.device.gates["x", (place,)].error)
            for qubit, place in zip(prepared.read, prepared.places, strict=True)
        ]
        if ready.probabilities is None:
            return self._sampled(prepared, run.shots, readings, draw)
        times = draw.multinomial(run.shots, misread(ready.probabilities, readings))
        seen = np.nonzero(times)[0]
        return dict(zip(spelled(unpacked(seen, len(readings)), prepared.columns), times[seen].tolist(), strict=True))

    def _exact(self, operations: Sequence[Operation], places: Sequence[int]) -> Floats:
        """(2^len(places),): the probability of each outcome, the first place the lowest bit."""
        qubits = sorted({*_active(operations), *places})
        if not operations:
            return np.asarray(np.eye(1, 2 ** len(places))[0])
        circuit = self._noisy(operations, qubits, exact=True)
        circuit.save_probabilities([qubits.index(place) for place in places])
        data = self._simulate(circuit, "density_matrix", shots=1, seed=0).data()
        probabilities = np.clip(np.asarray(data["probabilities"], dtype=np.float64), 0.0, None)
        return np.asarray(probabilities / probabilities.sum(), dtype=np.float64)

    def _sampled(self, prepared: Prepared, shots: int, readings: Sequence[Floats], draw: np.random.Generator) -> dict[str, int]:
        """Counts from trajectories, read shot by shot, a chunk at a time."""
        active = _active(prepared.operations)
        touched = [column for column, place in enumerate(prepared.places) if place in active]
        values = self._trajectories(prepared, active, touched, shots, int(draw.integers(2**31)))
        counts: dict[str, int] = {}
        for start, stop in pairwise([*range(0, shots, _CHUNK), shots]):
            bits = np.zeros((stop - start, len(readings)), dtype=bool)
            bits[:, touched] = unpacked(values[start:stop], len(touched))
            rows, times = np.unique(misread_shots(bits, readings, draw), axis=0, return_counts=True)
            for text, count in zip(spelled(rows, prepared.columns), times.tolist(), strict=True):
                counts[text] = counts.get(text, 0) + count
        return counts

    def _trajectories(
        self, prepared: Prepared, active: Sequence[int], touched: Sequence[int], shots: int, seed: int
    ) -> NDArray[np.int64]:
        """(shots,): what the touched columns are, the first the lowest bit."""
        if not touched:
            return np.zeros(shots, dtype=np.int64)
        self._refuse_the_endless(len(active), shots * len(prepared.operations))
        circuit = self._noisy(prepared.operations, active, exact=False)
        circuit.add_register(ClassicalRegister(len(touched)))
        circuit.measure([active.index(prepared.places[column]) for column in touched], range(len(touched)))
        seen = self._simulate(circuit, "statevector", shots, seed).get_counts()
        return np.repeat(np.array([int(text, 2) for text in seen], dtype=np.int64), list(seen.values()))

    def _noisy(self, operations: Sequence[Operation], qubits: Sequence[int], exact: bool) -> QuantumCircuit:
        """The operations, each followed by its noise, on qubits 0, 1, ... in place of the device's `qubits`."""
        circuit = QuantumCircuit(len(qubits))
        place = {qubit: index for index, qubit in enumerate(qubits)}
        for operation in operations:
            where = [place[qubit] for qubit in operation.qubits]
            circuit.append(gate(operation.name, operation.parameters), where, copy=False)
            noise = self.device.after(operation, exact)
            if noise is not None:
                circuit.append(noise, where, copy=False)
        return circuit

    def _simulate(self, circuit: QuantumCircuit, method: str, shots: int, seed: int) -> Any:
        result = AerSimulator(method=method, max_parallel_threads=1).run(circuit, shots=shots, seed_simulator=seed).result()
        if not result.success:
            raise BackendError(f"the simulation of {self.device.calibration.backend} failed: {result.status}")
        return result

    def _refuse_the_endless(self, qubits: int, steps: int) -> None:
        name = self.device.calibration.backend
        if qubits > TRAJECTORY_QUBITS:
            raise WorkRefusedError(
                f"the circuit uses {qubits} qubits of {name}, its simulation can hold {TRAJECTORY_QUBITS}; use fewer"
            )
        if steps * 2.0**qubits > MAX_AMPLITUDE_STEPS:
            raise WorkRefusedError(
                f"{steps} gates x shots on {qubits} qubits would take hours to simulate; use fewer shots or qubits"
            )


def _active(operations: Sequence[Operation]) -> list[int]:
    return sorted({qubit for operation in operations for qubit in operation.qubits})
