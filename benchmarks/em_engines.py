"""Noisy execution of many circuits: one by one on Aer, the best batched Aer run, and Pauli transfer matrices, in one run.

    python -m benchmarks.em_engines --circuits 200 --qubits 6 --depth 20

Random circuits (em.families) on a device with depolarising noise, relaxation and readout errors, compiled beforehand. "One by
one" is what an executor function for mitiq does: each circuit and each budget a run of its own on a new simulator, sampling
its shots; it is timed on some of the circuits and scaled. Everything else computes exact distributions once and draws the
shots of each budget from them. Rounds are interleaved; the smallest time of each counts.
"""

import argparse
import resource
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from rich.console import Console
from rich.progress import track
from rich.table import Table

from backends import aer
from backends.device import Device, Operation, gate
from backends.noise import noise_model
from backends.sampling import reading
from em.engines.aer import noisy
from em.engines.clifford import CliffordFrames
from em.engines.engine import NoisyCircuit
from em.engines.pauli_transfer import PauliTransfer
from em.engines.propagation import PauliPropagation
from em.engines.shots import counts, misread
from em.families.random_circuits import FAMILY

BUDGETS = (500, 1000, 2000, 4000, 8000)
ONE_BUDGET = (4000,)
ROUNDS = 3
APPROXIMATED, STIM_SHOTS = 5, 1 << 18
BATCHED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "noise model, default": ("bare", {}),
    "noise model, side by side, fusion 1": ("bare", {"max_parallel_experiments": 0, "fusion_threshold": 2, "fusion_max_qubit": 1}),
    "noise model, side by side, fusion 2": ("bare", {"max_parallel_experiments": 0, "fusion_threshold": 2, "fusion_max_qubit": 2}),
    "noise model, side by side, no fusion": ("bare", {"max_parallel_experiments": 0, "fusion_enable": False}),
    "superoperators, side by side, fusion 1": (
        "noisy",
        {"max_parallel_experiments": 0, "fusion_threshold": 2, "fusion_max_qubit": 1},
    ),
    "superoperators, side by side, fusion 2": (
        "noisy",
        {"max_parallel_experiments": 0, "fusion_threshold": 2, "fusion_max_qubit": 2},
    ),
}
"""Aer's ways to run a batch of density matrices: how the noise is given, and the simulator's options."""


@dataclass(frozen=True)
class Circuits:
    """The same circuits as each contender takes them; `readings` are the readout errors of each qubit."""

    device: Device
    ours: list[NoisyCircuit]
    logical: list[QuantumCircuit]
    aer: dict[str, list[QuantumCircuit]]
    model: NoiseModel
    readings: NDArray[np.float64]


def prepared(number: int, qubits: int, depth: int, seed: int) -> Circuits:
    """Draws and compiles."""
    whole = aer.snapshot("aer_noisy")
    kept = tuple(row for row in whole.gates if max(row.qubits) < qubits)
    device = Device(whole.model_copy(update={"qubits": whole.qubits[:qubits], "gates": kept}))
    logical = [FAMILY.draw(qubits, depth, np.random.default_rng([seed, index]))[0] for index in range(number)]
    compiled = transpile(logical, basis_gates=list(whole.basis_gates), optimization_level=1, seed_transpiler=0)
    ours = [NoisyCircuit(_operations(circuit), tuple(range(qubits))) for circuit in compiled]
    with_noise, bare = [noisy(device, circuit.operations, range(qubits), exact=True) for circuit in ours], []
    for circuit, saving in zip(ours, with_noise, strict=True):
        plain = QuantumCircuit(qubits)
        for operation in circuit.operations:
            plain.append(gate(operation.name, operation.parameters), list(operation.qubits))
        plain.save_probabilities(list(circuit.places))
        saving.save_probabilities(list(circuit.places))
        bare.append(plain)
    readings = np.array([reading(device.calibration.qubits[qubit], False, 0.0) for qubit in range(qubits)])
    return Circuits(device, ours, logical, {"bare": bare, "noisy": with_noise}, noise_model(device.calibration), readings)


def _operations(circuit: QuantumCircuit) -> tuple[Operation, ...]:
    return tuple(
        Operation(
            item.operation.name, tuple(map(float, item.operation.params)), tuple(circuit.find_bit(q).index for q in item.qubits)
        )
        for item in circuit.data
    )


def one_by_one(circuits: Circuits, sample: int, anew: bool) -> None:
    """The first circuits at all of `BUDGETS`, a run each; transpiled `anew` for each run, or not at all."""
    for index in range(sample):
        ready = circuits.logical[index].copy() if anew else circuits.aer["bare"][index].copy()
        if not anew:
            ready.data.pop()  # what saves the probabilities
        ready.measure_all()
        for shots in BUDGETS:
            simulator = AerSimulator(method="density_matrix", noise_model=circuits.model)
            asked = transpile(ready, simulator) if anew else ready
            simulator.run(asked, shots=shots, seed_simulator=0).result().get_counts()


def batched(circuits: Circuits, way: str, first: int | None = None) -> list[NDArray[np.float64]]:
    """The exact distributions by Aer, of the first circuits only where a number is given."""
    form, options = BATCHED[way]
    model = {"noise_model": circuits.model} if form == "bare" else {}
    chosen = circuits.aer[form][:first]
    result = AerSimulator(method="density_matrix", **options, **model).run(chosen, shots=1).result()
    assert result.success, result.status
    return [np.asarray(result.data(index)["probabilities"]) for index in range(len(chosen))]


def best_way(circuits: Circuits) -> tuple[str, dict[str, float]]:
    """Aer's fastest way for these circuits, and the seconds of each way for some of them."""
    some, seconds = max(1, len(circuits.ours) // 8), {}
    for _ in range(2):
        for way in BATCHED:
            seconds[way] = min(timed(lambda way=way: batched(circuits, way, some))[0].wall, seconds.get(way, np.inf))
    return min(seconds, key=seconds.__getitem__), seconds


class Time(NamedTuple):
    """Seconds by the clock, and of all cores together."""

    wall: float
    cpu: float

    def __add__(self, other: "Time") -> "Time":  # type: ignore[override]
        return Time(self.wall + other.wall, self.cpu + other.cpu)

    def times(self, factor: float) -> "Time":
        """As if there had been more."""
        return Time(self.wall * factor, self.cpu * factor)


def timed(call: Callable[[], Any]) -> tuple[Time, Any]:
    """How long it took, and what came out."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = call()
    return Time(time.perf_counter() - wall, time.process_time() - cpu), value


def drawn(distributions: Sequence[NDArray[np.float64]], readings: NDArray[np.float64], budgets: Sequence[int]) -> None:
    """The counts of every circuit at every budget."""
    for index, distribution in enumerate(misread(np.array(distributions), readings)):
        counts(distribution, budgets, [[0, index]])


def measured(circuits: Circuits, sample: int, way: str) -> tuple[dict[str, Time], float]:
    """The best time of each contender by the clock, and the largest difference between probabilities."""
    engine, best, difference = PauliTransfer(), dict[str, Time](), 0.0

    def contend(name: str, call: Callable[[], Any]) -> Any:
        took, value = timed(call)
        best[name] = min(took, best.get(name, took))
        return value

    for _ in track(range(ROUNDS), "rounds"):
        contend("anew", lambda: one_by_one(circuits, sample, anew=True))
        contend("ready", lambda: one_by_one(circuits, sample, anew=False))
        theirs = contend("aer", lambda: batched(circuits, way))
        ours = contend("ours", lambda: engine.distributions(circuits.device, circuits.ours))
        contend("draw 1", lambda found=ours: drawn(found, circuits.readings, ONE_BUDGET))
        contend("draw 5", lambda found=ours: drawn(found, circuits.readings, BUDGETS))
        difference = max(difference, *(float(np.abs(one - other).max()) for one, other in zip(ours, theirs, strict=True)))
    return best, difference


def peak(circuits: Circuits) -> float:
    """Bytes that the transfer matrices' arrays take at most."""
    tracemalloc.start()
    PauliTransfer().distributions(circuits.device, circuits.ours)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def approximations(circuits: Circuits) -> Table:
    """What the approximate engines differ from the exact one, on two qubits of some of the circuits (and on Clifford ones)."""
    some = [NoisyCircuit(circuit.operations, circuit.places[:2]) for circuit in circuits.ours[:APPROXIMATED]]
    cliffords = [NoisyCircuit(tuple(map(_quarter_turns, circuit.operations)), circuit.places) for circuit in some]
    exact, frames, propagation = PauliTransfer(), CliffordFrames(), PauliPropagation()
    took, sampled = timed(lambda: [frames.samples(circuits.device, circuit, STIM_SHOTS, 0) for circuit in cliffords])
    frequencies = [np.bincount(bits @ [1, 2], minlength=4) / STIM_SHOTS for bits in sampled]
    pulled, propagated = timed(lambda: propagation.distributions(circuits.device, some))
    table = Table("engine", "circuits", "seconds", "largest |probability - exact|", title="approximate engines")
    for name, kind, seconds, found, batch in (
        (frames.name, f"Clifford, {STIM_SHOTS} shots (sampling: 0.001)", took.wall, frequencies, cliffords),
        (propagation.name, "random", pulled.wall, propagated, some),
    ):
        values = exact.distributions(circuits.device, batch)
        worst = max(float(np.abs(one - other).max()) for one, other in zip(found, values, strict=True))
        table.add_row(name, f"{len(batch)}, {kind}", f"{seconds:.3f}", f"{worst:.1e}")
    return table


def _quarter_turns(operation: Operation) -> Operation:
    quarters = tuple(round(angle / (np.pi / 2)) * np.pi / 2 for angle in operation.parameters)
    return Operation(operation.name, quarters, operation.qubits)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuits", type=int, default=200)
    parser.add_argument("--qubits", type=int, default=6)
    parser.add_argument("--depth", type=int, default=20, help="layers of one-qubit rotations and of CX on all qubits")
    parser.add_argument("--one-by-one", type=int, default=5, help="circuits that the one-by-one runs are timed on")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    circuits = prepared(asked.circuits, asked.qubits, asked.depth, asked.seed)
    sample = min(asked.one_by_one, asked.circuits)
    way, ways = best_way(circuits)
    best, difference = measured(circuits, sample, way)
    console = Console(width=132)
    console.print(contenders(asked, best, way, sample))
    tried = Table("Aer's ways to run a batch", "seconds", title=f"tried on {max(1, asked.circuits // 8)} of the circuits")
    for name, value in sorted(ways.items(), key=lambda item: item[1]):
        tried.add_row(name, f"{value:.3f}")
    console.print(tried)
    console.print(approximations(circuits))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    console.print(f"largest |probability - Aer's exact probability|: {difference:.1e}")
    console.print(f"memory: our arrays at most {peak(circuits) / 1e6:.0f} MB; this process, Aer included, {memory:.0f} MB")


def contenders(asked: argparse.Namespace, best: Mapping[str, Time], way: str, sample: int) -> Table:
    """The table of times; ratios are of the clock."""
    whole = asked.circuits / sample
    rows = {
        f"one by one on Aer, transpiled each time (from {sample} circuits)": (5, best["anew"].times(whole)),
        f"one by one on Aer, transpiled beforehand (from {sample} circuits)": (5, best["ready"].times(whole)),
        f"Aer batched ({way})": (1, best["aer"] + best["draw 1"]),
        "transfer matrices, one core": (1, best["ours"] + best["draw 1"]),
        "Aer batched, shots drawn from it": (5, best["aer"] + best["draw 5"]),
        "transfer matrices, one core, shots drawn from it": (5, best["ours"] + best["draw 5"]),
    }
    title = f"{asked.circuits} random circuits of {asked.qubits} qubits, depth {asked.depth}, seed {asked.seed}"
    table = Table("execution", "budgets", "seconds", "CPU seconds", "x one by one", "x batched Aer", title=title)
    for name, (budgets, took) in rows.items():
        naive = best["ready"].wall * whole * budgets / len(BUDGETS)
        batch = (best["aer"] + best[f"draw {budgets}"]).wall
        table.add_row(
            name, str(budgets), f"{took.wall:.3f}", f"{took.cpu:.3f}", f"{naive / took.wall:.1f}", f"{batch / took.wall:.2f}"
        )
    return table


if __name__ == "__main__":
    main()
