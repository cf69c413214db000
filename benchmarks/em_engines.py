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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qasm3, transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from rich.console import Console
from rich.progress import track
from rich.table import Table

from backends import aer
from backends.device import Device, gate
from backends.noise import noise_model
from backends.sampling import reading
from em.engines.aer import noisy
from em.engines.engine import NoisyCircuit
from em.engines.pauli_transfer import PauliTransfer
from em.engines.shots import counts, misread
from em.families.random_circuits import FAMILY

BUDGETS = (500, 1000, 2000, 4000, 8000)
ONE_BUDGET = (4000,)
ROUNDS = 3
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
    sources = [FAMILY.instance(index, seed, qubits, depth).source for index in range(number)]
    compiled = [device.compile(source, 0, 1) for source in track(sources, "compiling")]
    ours = [NoisyCircuit(body.operations, body.places) for body in compiled]
    with_noise, bare = [noisy(device, circuit.operations, range(qubits), exact=True) for circuit in ours], []
    for circuit, saving in zip(ours, with_noise, strict=True):
        plain = QuantumCircuit(qubits)
        for operation in circuit.operations:
            plain.append(gate(operation.name, operation.parameters), list(operation.qubits))
        plain.save_probabilities(list(circuit.places))
        saving.save_probabilities(list(circuit.places))
        bare.append(plain)
    readings = np.array([reading(device.calibration.qubits[qubit], False, 0.0) for qubit in range(qubits)])
    logical = [qasm3.loads(source) for source in sources]
    return Circuits(device, ours, logical, {"bare": bare, "noisy": with_noise}, noise_model(device.calibration), readings)


def one_by_one(circuits: Circuits, sample: int, anew: bool) -> float:
    """Seconds for all circuits at all of `BUDGETS`, from `sample` of them; transpiled `anew` for each run, or not at all."""
    ready = [circuit.copy() for circuit in circuits.aer["bare"][:sample]]
    for circuit in ready:
        circuit.data.pop()  # what saves the probabilities
    ready = circuits.logical[:sample] if anew else ready
    started = time.perf_counter()
    for circuit in ready:
        for shots in BUDGETS:
            simulator = AerSimulator(method="density_matrix", noise_model=circuits.model)
            measured = circuit.measure_all(inplace=False)
            simulator.run(transpile(measured, simulator) if anew else measured, shots=shots, seed_simulator=0).result().get_counts()
    return (time.perf_counter() - started) * len(circuits.ours) / sample


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
            seconds[way] = min(timed(lambda way=way: batched(circuits, way, some))[0], seconds.get(way, np.inf))
    return min(seconds, key=seconds.__getitem__), seconds


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    started = time.perf_counter()
    value = call()
    return time.perf_counter() - started, value


def drawn(distributions: Sequence[NDArray[np.float64]], readings: NDArray[np.float64], budgets: Sequence[int]) -> None:
    """The counts of every circuit at every budget."""
    for index, distribution in enumerate(misread(np.array(distributions), readings)):
        counts(distribution, budgets, [[0, index]])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuits", type=int, default=200)
    parser.add_argument("--qubits", type=int, default=6)
    parser.add_argument("--depth", type=int, default=20, help="layers of one-qubit rotations and of CX on all qubits")
    parser.add_argument("--one-by-one", type=int, default=5, help="circuits that the one-by-one runs are timed on")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    circuits = prepared(asked.circuits, asked.qubits, asked.depth, asked.seed)
    sample = min(asked.one_by_one, asked.circuits)
    engine = PauliTransfer()
    way, ways = best_way(circuits)
    seconds: dict[str, float] = {}

    def best(name: str, value: float) -> None:
        seconds[name] = min(value, seconds.get(name, np.inf))

    for _ in track(range(ROUNDS), "rounds"):
        best("anew", one_by_one(circuits, sample, anew=True))
        best("ready", one_by_one(circuits, sample, anew=False))
        aer_seconds, theirs = timed(lambda: batched(circuits, way))
        our_seconds, ours = timed(lambda: engine.distributions(circuits.device, circuits.ours))
        best("aer", aer_seconds)
        best("ours", our_seconds)
        best("draw 1", timed(lambda values=ours: drawn(values, circuits.readings, ONE_BUDGET))[0])
        best("draw 5", timed(lambda values=ours: drawn(values, circuits.readings, BUDGETS))[0])
    tracemalloc.start()
    engine.distributions(circuits.device, circuits.ours)
    peak = tracemalloc.get_traced_memory()[1]
    difference = max(float(np.abs(one - other).max()) for one, other in zip(ours, theirs, strict=True))
    report(asked, seconds, way, ways, sample)
    Console().print(
        f"largest |probability - Aer's exact probability|: {difference:.1e}; our arrays took {peak / 1e6:.0f} MB "
        f"at most, this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB"
    )


def report(asked: argparse.Namespace, seconds: Mapping[str, float], way: str, ways: Mapping[str, float], sample: int) -> None:
    """Prints the tables."""
    rows = {
        f"one by one on Aer, transpiled each time (from {sample} circuits)": (5, seconds["anew"]),
        f"one by one on Aer, transpiled beforehand (from {sample} circuits)": (5, seconds["ready"]),
        f"Aer batched ({way})": (1, seconds["aer"] + seconds["draw 1"]),
        "Pauli transfer matrices (one core)": (1, seconds["ours"] + seconds["draw 1"]),
        "Aer batched, shots of 5 budgets drawn from it": (5, seconds["aer"] + seconds["draw 5"]),
        "Pauli transfer matrices (one core), shots of 5 budgets drawn from it": (5, seconds["ours"] + seconds["draw 5"]),
    }
    title = f"{asked.circuits} random circuits of {asked.qubits} qubits, depth {asked.depth}, seed {asked.seed}"
    table = Table("execution", "budgets", "seconds", "times faster than one by one", "than batched Aer", title=title)
    for name, (budgets, value) in rows.items():
        naive = seconds["ready"] * budgets / len(BUDGETS)
        reference = seconds["aer"] + seconds[f"draw {budgets}"]
        table.add_row(name, str(budgets), f"{value:.3f}", f"{naive / value:.1f}", f"{reference / value:.1f}")
    Console(width=140).print(table)
    tried = Table("Aer's ways to run a batch", "seconds", title=f"tried on {max(1, asked.circuits // 8)} of the circuits")
    for name, value in sorted(ways.items(), key=lambda item: item[1]):
        tried.add_row(name, f"{value:.3f}")
    Console(width=140).print(tried)


if __name__ == "__main__":
    main()
