"""A calibration, prepared once: its working couplings, and the best connected region of each size."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from policy.errors import RegionError
from schemas.calibration import CalibrationUpdated, QubitCalibration

FAULTY = 1.0
"""A gate error of 1.0 marks a faulty gate (IBM's convention): it must not be used."""

_UNKNOWN_ONE_QUBIT_ERROR = 1e-3
_STARTS = 12  # greedy regions grown from so many good qubits; more changes the estimate by less than calibrations drift in a day


@dataclass(frozen=True, slots=True)
class Region:
    """A connected set of working qubits, in averages.

    Attributes:
        qubits: in the order in which the search took them.
        two_qubit_error: mean average-gate infidelity of the best two-qubit gate of each coupling inside.
        one_qubit_error: the same of one-qubit gates.
        readout_error: mean over qubits of (P(1|0) + P(0|1)) / 2.
        readout_asymmetry: root mean square over qubits of P(0|1) - P(1|0).
        two_qubit_seconds, one_qubit_seconds, readout_seconds: mean durations.
        couplings: how many pairs inside are coupled.
        degree: couplings of the best-connected qubit inside.
        distance: mean number of couplings between two qubits of it; 1 where all are neighbours.
    """

    qubits: tuple[int, ...]
    two_qubit_error: float
    one_qubit_error: float
    readout_error: float
    readout_asymmetry: float
    two_qubit_seconds: float
    one_qubit_seconds: float
    readout_seconds: float
    couplings: int
    degree: int
    distance: float


@dataclass(frozen=True)
class Device:
    """A backend as the policy sees it.

    Attributes:
        name: the backend.
        calibration: the snapshot that all of this was read from.
    """

    name: str
    calibration: CalibrationUpdated
    _regions: dict[int, Region] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def working(self) -> tuple[int, ...]:
        """Qubits that are operational and have no faulty one-qubit gate."""
        broken = {gate.qubits[0] for gate in self.calibration.gates if len(gate.qubits) == 1 and gate.error >= FAULTY}
        return tuple(number for number, qubit in enumerate(self.calibration.qubits) if qubit.operational and number not in broken)

    def region(self, size: int) -> Region:
        """The best connected region of `size` working qubits that a greedy search finds; remembered.

        Raises:
            RegionError: there is none; a sentence for the user.
        """
        if size not in self._regions:
            self._regions[size] = self._search(size)
        return self._regions[size]

    @cached_property
    def _couplings(self) -> Mapping[int, dict[int, tuple[float, float]]]:
        """Qubit -> neighbour -> (error, seconds) of the best working two-qubit gate, whatever its direction."""
        couplings: dict[int, dict[int, tuple[float, float]]] = {qubit: {} for qubit in self.working}
        for gate in self.calibration.gates:
            if len(gate.qubits) == 2 and gate.error < FAULTY and set(gate.qubits) <= couplings.keys():
                one, other = gate.qubits
                best = min(couplings[one].get(other, (FAULTY, 0.0)), (gate.error, gate.duration_seconds))
                couplings[one][other] = couplings[other][one] = best
        return couplings

    @cached_property
    def _one_qubit(self) -> Mapping[int, tuple[float, float]]:
        """Qubit -> (mean error, mean seconds) of its one-qubit gates that take time."""
        gates: dict[int, list[tuple[float, float]]] = {}
        for gate in self.calibration.gates:
            if len(gate.qubits) == 1 and gate.duration_seconds > 0 and gate.name in {"sx", "x", "u2", "u3", "u", "r", "rx"}:
                gates.setdefault(gate.qubits[0], []).append((gate.error, gate.duration_seconds))
        return {qubit: (_mean(error for error, _ in each), _mean(time for _, time in each)) for qubit, each in gates.items()}

    def _search(self, size: int) -> Region:
        if len(self.working) < size:
            broken = len(self.calibration.qubits) - len(self.working)
            faulty = f", {broken} of them out of order" if broken else ""
            raise RegionError(f"the circuit needs {size} qubits, {self.name} has {len(self.calibration.qubits)}{faulty}")
        starts = sorted(self.working, key=lambda qubit: (self._quality(qubit), qubit))[:_STARTS]
        grown = [region for start in starts if len(region := self._grow(start, size)) == size]
        if not grown:  # the good starts lie on islands that are too small
            grown = [region for start in self.working if len(region := self._grow(start, size)) == size][:1]
        if not grown:
            raise RegionError(f"the circuit needs {size} connected qubits, no working part of {self.name} is that large")
        return min(
            (self._describe(qubits) for qubits in grown), key=lambda region: 3 * region.two_qubit_error + region.readout_error
        )

    def _quality(self, qubit: int) -> float:
        best_coupling = min((error for error, _ in self._couplings[qubit].values()), default=FAULTY)
        return best_coupling + _readout_error(self.calibration.qubits[qubit])

    def _grow(self, start: int, size: int) -> tuple[int, ...]:
        """Takes the best reachable coupling again and again (Prim's algorithm with readout errors at the nodes)."""
        taken: dict[int, None] = {}
        frontier = [(0.0, start)]
        while frontier and len(taken) < size:
            _, qubit = heapq.heappop(frontier)
            if qubit not in taken:
                taken[qubit] = None
                for neighbour, (error, _) in self._couplings[qubit].items():
                    if neighbour not in taken:
                        heapq.heappush(frontier, (error + _readout_error(self.calibration.qubits[neighbour]), neighbour))
        return tuple(taken)

    def _describe(self, qubits: tuple[int, ...]) -> Region:
        inside = set(qubits)
        neighbours = {qubit: [other for other in self._couplings[qubit] if other in inside] for qubit in qubits}
        pairs = [self._couplings[one][other] for one in qubits for other in neighbours[one] if one < other]
        ones = [self._one_qubit.get(qubit, (_UNKNOWN_ONE_QUBIT_ERROR, 0.0)) for qubit in qubits]
        records = [self.calibration.qubits[qubit] for qubit in qubits]
        return Region(
            qubits=qubits,
            two_qubit_error=_mean(error for error, _ in pairs),
            one_qubit_error=_mean(error for error, _ in ones),
            readout_error=_mean(_readout_error(record) for record in records),
            readout_asymmetry=_mean((record.prob_meas0_prep1 - record.prob_meas1_prep0) ** 2 for record in records) ** 0.5,
            two_qubit_seconds=_mean(seconds for _, seconds in pairs),
            one_qubit_seconds=_mean(seconds for _, seconds in ones),
            readout_seconds=_mean(record.readout_seconds for record in records),
            couplings=len(pairs),
            degree=max(len(each) for each in neighbours.values()),
            distance=_mean_distance(neighbours),
        )


def _readout_error(qubit: QubitCalibration) -> float:
    return (qubit.prob_meas1_prep0 + qubit.prob_meas0_prep1) / 2


def _mean_distance(neighbours: Mapping[int, list[int]]) -> float:
    """Mean over ordered pairs, by breadth-first search."""
    total = 0
    for start in neighbours:
        seen, layer, steps = {start}, [start], 0
        while layer:
            total += steps * len(layer)
            steps += 1
            layer = [other for qubit in layer for other in neighbours[qubit] if not (other in seen or seen.add(other))]  # type: ignore[func-returns-value]
    pairs = len(neighbours) * (len(neighbours) - 1)
    return total / pairs if pairs else 1.0


def _mean(values: object) -> float:
    items = [*values]  # type: ignore[misc]
    return sum(items) / len(items) if items else 0.0
