"""Devices to learn from and to be measured on: snapshots of real ones, drifted, without readout errors or with hidden rotations."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
from qiskit.circuit import Instruction
from qiskit.circuit.library import CRXGate, RZXGate, RZZGate
from qiskit.quantum_info import PTM, Operator, SuperOp

from backends import ibm_fake
from backends.calibration import FAULTY, content_hash
from backends.device import Device
from backends.terms import terms_of
from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration

Noise = Literal["gates", "readout", "coherent"]
"""Gate errors alone; readout errors, too; over-rotations as well, of which no calibration tells."""

FITTED = ("lima", "quito", "belem", "bogota", "santiago", "athens", "oslo", "lagos", "casablanca", "montreal", "mumbai", "toronto")
CONFORMAL = ("nairobi", "vigo", "sydney", "auckland", "geneva", "rome")
UNSEEN = ("jakarta", "manila", "guadalupe", "kolkata", "perth", "hanoi")
"""Names of IBM's devices: what forests are fitted to, what intervals are calibrated on, what neither has seen."""

DRIFT, FREEDOM = 0.1, 1.8
"""Scale and degrees of freedom of a Student t, the logarithm of a factor: its median change is 8 %, the 95th percentile 48 %, as
the CX errors of real devices change in a day."""

MAX_ROTATION = 0.12
"""Largest hidden over-rotation, in radians; each pair has its own, uniform from 0."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A device of the kind `noise`: the snapshot `name` with errors changed by `seed`, 0 for none."""

    name: str
    noise: Noise
    seed: int

    @lru_cache(maxsize=128)  # noqa: B019 - few, and equal ones are the same device
    def device(self) -> Device:
        """The device; kept, with what it has compiled."""
        calibration = snapshot(self.name)
        calibration = drifted(calibration, self.seed) if self.seed else calibration
        return as_noisy(calibration, self.noise, self.seed)

    @lru_cache(maxsize=128)  # noqa: B019 - as above
    def twirled(self) -> Device:
        """The device as it is on average over twirls."""
        return Twirled(self.device())


@cache
def snapshot(name: str) -> CalibrationUpdated:
    """The snapshot of IBM's device `name` that ships with qiskit-ibm-runtime."""
    return ibm_fake.snapshot(f"fake_{name}", terms_of("fake_manila"))


def as_noisy(calibration: CalibrationUpdated, noise: Noise, seed: int) -> Device:
    """The device of a calibration with that kind of noise."""
    if noise == "gates":
        qubits = [row.model_copy(update={"prob_meas1_prep0": 0.0, "prob_meas0_prep1": 0.0}) for row in calibration.qubits]
        calibration = _changed(calibration, qubits, calibration.gates)
    return OverRotating(calibration, seed) if noise == "coherent" else Device(calibration)


def drifted(calibration: CalibrationUpdated, seed: int) -> CalibrationUpdated:
    """Every gate error, readout error and relaxation time multiplied by a random factor (`DRIFT`); faulty gates stay faulty."""
    draw = np.random.default_rng(seed)
    factors = np.exp(DRIFT * np.clip(draw.standard_t(FREEDOM, (len(calibration.qubits), 4)), -8, 8))
    qubits = [_drifted_qubit(row, *factor) for row, factor in zip(calibration.qubits, factors.tolist(), strict=True)]
    common = np.exp(DRIFT * np.clip(draw.standard_t(FREEDOM, len(calibration.gates)), -8, 8))
    pairs: dict[tuple[int, ...], float] = {}
    gates = []
    for row, factor in zip(calibration.gates, common.tolist(), strict=True):
        same = pairs.setdefault(tuple(sorted(row.qubits)), factor)  # both directions of a pair are one gate, turned
        gates.append(row if row.error >= FAULTY else row.model_copy(update={"error": min(row.error * same, 0.5)}))
    return _changed(calibration, qubits, gates)


class OverRotating(Device):
    """Turns too far in each two-qubit gate; what it reports does not tell."""

    def __init__(self, calibration: CalibrationUpdated, seed: int) -> None:
        super().__init__(calibration)
        self._draw = seed
        self._rotated: dict[tuple[str, tuple[int, ...], bool], Instruction | None] = {}

    def noise(self, name: str, qubits: tuple[int, ...], exact: bool) -> Instruction | None:
        """See `Device.noise`; a unitary error comes before it."""
        plain = super().noise(name, qubits, exact)
        if len(qubits) != 2:
            return plain
        key = (name, qubits, exact)
        if key not in self._rotated:
            low, high = sorted(qubits)
            angle = float(np.random.default_rng([self._draw, low, high]).uniform(0, MAX_ROTATION))
            error = SuperOp(Operator(_GENERATORS[name](angle)))
            self._rotated[key] = (error if plain is None else error.compose(SuperOp(plain))).to_instruction()
        return self._rotated[key]


class Twirled(Device):
    """A device as it is on average over Pauli twirls: of its noise only what keeps a Pauli string is left.

    It does in one simulation what the device does in very many twirls. What few of them differ by is not in it.
    """

    def __init__(self, of: Device) -> None:
        super().__init__(of.calibration)
        self._of = of
        self._averages: dict[tuple[str, tuple[int, ...]], Instruction | None] = {}

    def noise(self, name: str, qubits: tuple[int, ...], exact: bool) -> Instruction | None:
        """See `Device.noise`."""
        key = name, qubits
        if key not in self._averages:
            found = self._of.noise(name, qubits, exact=True)
            average = None if found is None else PTM(np.diag(np.diag(PTM(SuperOp(found)).data)))
            self._averages[key] = None if average is None else SuperOp(average).to_instruction()
        return self._averages[key]


_GENERATORS = {"cx": CRXGate, "ecr": RZXGate, "cz": RZZGate}


def _drifted_qubit(row: QubitCalibration, t1: float, t2: float, zero: float, one: float) -> QubitCalibration:
    update = {
        "t1_seconds": row.t1_seconds and row.t1_seconds * t1,
        "t2_seconds": row.t2_seconds and row.t2_seconds * t2,
        "prob_meas1_prep0": min(row.prob_meas1_prep0 * zero, 0.45),
        "prob_meas0_prep1": min(row.prob_meas0_prep1 * one, 0.45),
    }
    return row.model_copy(update=update)


def _changed(
    calibration: CalibrationUpdated, qubits: list[QubitCalibration], gates: "list[GateCalibration] | tuple[GateCalibration, ...]"
) -> CalibrationUpdated:
    known = content_hash(qubits, gates, calibration.taken_at)
    return calibration.model_copy(update={"qubits": tuple(qubits), "gates": tuple(gates), "calibration_id": known})
