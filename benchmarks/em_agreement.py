"""Native methods against mitiq's on the same counts: how far apart, beside our own standard errors.

Run: python -m benchmarks.em_agreement [--circuits 40] [--shots 4000]
"""

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from backends import aer
from backends.adapter import Run
from backends.device import Device
from backends.simulation import Simulator
from benchmarks.mitiq_reference import Floats, extrapolated, quasi_probabilities, regressed, unconfused
from em.methods import METHODS, Estimate, Workload
from em.methods.zne import EXTRAPOLATIONS
from em.near_clifford import training
from em.observables import grouped
from em.planning import Plan, planned
from schemas.jobs import Observable, PauliTerm

QUBITS = 3
OBSERVABLE = Observable(name="zz", terms=(PauliTerm(pauli="IZZ", coefficient=1.0),))


def circuit(index: int) -> str:
    """A Trotterised Ising chain whose fields depend on the index, OpenQASM 3."""
    draw = np.random.default_rng(index)
    steps = []
    for _ in range(3):
        steps += [f"rx({draw.uniform(0.1, 0.6):.6f}) q[{qubit}];" for qubit in range(QUBITS)]
        for qubit in range(QUBITS - 1):
            angle = draw.uniform(0.1, 0.6)
            steps += [f"cx q[{qubit}], q[{qubit + 1}];", f"rz({angle:.6f}) q[{qubit + 1}];", f"cx q[{qubit}], q[{qubit + 1}];"]
    return f'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[{QUBITS}] q;\n' + "\n".join(steps) + "\n"


class Comparison:
    """One circuit on one device, under any method: our estimate, and mitiq's from the same counts."""

    def __init__(self, simulator: Simulator, source: str, shots: int, seed: int) -> None:
        self._simulator = simulator
        self._workload = Workload(1, (OBSERVABLE,), grouped((OBSERVABLE,)), shots, (source,))
        self._seed = seed

    def pair(self, name: str) -> tuple[Estimate, float]:
        """Ours and theirs.

        Raises:
            KeyError: mitiq has no such method.
        """
        plan = planned(METHODS[name], self._workload, {}, self._seed)
        outcome = self._simulator.run(plan.work)
        [[ours]] = METHODS[name].combine(plan.workload, plan.parameters, plan.seeds["twirling"], outcome.counts, outcome.weights)
        return ours, self._theirs(name, plan, outcome.counts)

    def _theirs(self, name: str, plan: Plan, counts: Sequence[Mapping[str, int]]) -> float:
        values = np.array([_parity(seen) for seen in counts])
        runs = plan.work.runs
        if name == "readout":
            return unconfused(_frequencies(counts[-1]), _confusions(runs, counts), np.array([1.0, -1.0, -1.0, 1.0]))
        if METHODS[name].gates == "learned":
            scales = len({run.scale for run in runs})
            table = values.reshape(-1, scales)
            sizes = (int(plan.parameters["training_circuits"]), int(plan.parameters["non_clifford"]))  # type: ignore[arg-type]
            exact = training(plan.workload.sources[0], plan.workload.observables, *sizes, plan.seeds["twirling"]).exact[:, 0]
            return regressed(table[1:], exact, table[0])
        return extrapolated(name.removeprefix("zne-"), [run.scale for run in runs], values.tolist())


def differences(circuits: int, shots: int) -> dict[str, Floats]:
    """Method -> (circuits, 2): difference to mitiq's value, and our standard error; where we did what was asked for."""
    simulator = Simulator(Device(aer.snapshot("aer_noisy")))
    names = ["readout", *(f"zne-{name}" for name in EXTRAPOLATIONS if name != "adaptive"), "cdr", "vncdr"]
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for index in range(circuits):
        for name in names:
            ours, theirs = Comparison(simulator, circuit(index), shots, index).pair(name)
            if not ours.note:
                rows[name].append((ours.value - theirs, ours.standard_error))
    return {name: np.array(found) for name, found in rows.items()}


def cancellation() -> dict[str, float]:
    """Gate -> the largest difference between our quasi-probabilities and mitiq's, for the depolarising part of its noise."""
    snapshot = aer.snapshot("aer_noisy")
    still = tuple(qubit.model_copy(update={"t1_seconds": None, "t2_seconds": None}) for qubit in snapshot.qubits)
    device = Device(snapshot.model_copy(update={"qubits": still}))
    found = {}
    for name, qubits in (("sx", (0,)), ("cx", (0, 1))):
        ours = device.inverse(name, qubits)
        size = 2 ** len(qubits)
        theirs = quasi_probabilities(len(qubits), device.gates[name, qubits].error * (size + 1) / size)
        found[name] = 0.0 if ours is None else float(np.abs(np.sort(ours) - np.sort(theirs)).max())
    return found


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuits", type=int, default=40)
    parser.add_argument("--shots", type=int, default=4000)
    given = parser.parse_args()
    print(f"{given.circuits} Ising chains of {QUBITS} qubits on aer_noisy, {given.shots} shots, <ZZ>, the same counts for both\n")
    print(f"{'method':24}{'compared':>10}{'mean |ours - mitiq|':>22}{'largest':>12}{'our mean error':>16}{'largest / error':>17}")
    for name, rows in differences(given.circuits, given.shots).items():
        size, error = np.abs(rows[:, 0]), rows[:, 1]
        print(f"{name:24}{len(rows):>10}{size.mean():>22.2e}{size.max():>12.2e}{error.mean():>16.4f}{(size / error).max():>17.3f}")
    print("\nquasi-probabilities of a depolarised gate: largest difference to mitiq's")
    for gate, difference in cancellation().items():
        print(f"{gate:24}{difference:.1e}")


def _parity(counts: Mapping[str, int]) -> float:
    return float(sum((-1) ** text.count("1") * times for text, times in counts.items())) / sum(counts.values())


def _frequencies(counts: Mapping[str, int]) -> Floats:
    width = len(next(iter(counts)))
    return np.array([counts.get(format(value, f"0{width}b"), 0) for value in range(2**width)]) / sum(counts.values())


def _confusions(runs: Sequence[Run], counts: Sequence[Mapping[str, int]]) -> list[Floats]:
    """(read, prepared) of each qubit, lowest first, from the two calibration runs."""
    columns = []
    for run, seen in zip(runs[:2], counts[:2], strict=True):
        ones = np.array(
            [sum(times for text, times in seen.items() if text[-1 - place] == "1") for place in range(len(next(iter(seen))))]
        )
        columns.append(ones / run.shots)
    return [np.array([[1 - low, 1 - high], [low, high]]) for low, high in zip(*columns, strict=True)]


if __name__ == "__main__":
    main()
