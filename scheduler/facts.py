"""What decisions want of a calibration, worked out once for each: prices, waiting, age, and which qubits still work."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from schemas.calibration import CalibrationUpdated, GateCalibration

FAULTY = 1.0
"""The reported error of a gate that must not be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """A calibration, prepared.

    Attributes:
        calibration: as published.
        connected: qubits of the largest connected part that works.
        gate_error: median error of the working two-qubit gates, of one-qubit gates where there are none; 0 without any.
        known_at: seconds since the epoch: when a device that drifts was measured, when a simulator was last heard of.
        priced: whether any price is listed; what costs nothing in every respect has no price list.
    """

    calibration: CalibrationUpdated
    connected: int
    gate_error: float
    known_at: float
    priced: bool

    @classmethod
    def of(cls, calibration: CalibrationUpdated) -> "Facts":
        """The facts of a calibration."""
        usable = [gate for gate in calibration.gates if gate.error < FAULTY]
        pairs = [gate for gate in usable if len(gate.qubits) == 2]
        price = calibration.price
        return cls(
            calibration=calibration,
            connected=_largest_part(calibration, pairs),
            gate_error=median(gate.error for gate in pairs or usable) if pairs or usable else 0.0,
            known_at=(calibration.taken_at if calibration.drifts else calibration.published_at).timestamp(),
            priced=bool(price.per_job_usd or price.per_shot_usd or price.per_second_usd),
        )


def _largest_part(calibration: CalibrationUpdated, pairs: list[GateCalibration]) -> int:
    broken = {gate.qubits[0] for gate in calibration.gates if len(gate.qubits) == 1 and gate.error >= FAULTY}
    working = {index for index, qubit in enumerate(calibration.qubits) if qubit.operational and index not in broken}
    neighbours: dict[int, set[int]] = {qubit: set() for qubit in working}
    for gate in pairs:
        if working.issuperset(gate.qubits):
            one, other = gate.qubits
            neighbours[one].add(other)
            neighbours[other].add(one)
    return max((len(part) for part in _parts(neighbours)), default=0)


def _parts(neighbours: Mapping[int, set[int]]) -> list[set[int]]:
    left, found = set(neighbours), []
    while left:
        reached, waiting = set[int](), [left.pop()]
        while waiting:
            qubit = waiting.pop()
            reached.add(qubit)
            waiting += neighbours[qubit] & left
            left -= neighbours[qubit]
        found.append(reached)
    return found
