"""Devices whose qubits do not rest while they wait, `idle:DEVICE`: they relax, and their phase turns.

The noise of a snapshot (`backends.noise`) acts with gates alone. Here every wait of a qubit between its first gate and the end of
the circuit brings relaxation and dephasing by its T1 and T2, and a turn about Z by a detuning that stays the same for as long as
the calibration does. The first cannot be undone by pulses, the second can: it is what dynamical decoupling is for.
"""

import hashlib
import math

import numpy as np
from qiskit.circuit import Instruction
from qiskit.circuit.library import RZGate
from qiskit.quantum_info import Kraus, Operator, SuperOp

from backends.device import Device
from backends.noise import relaxation
from schemas.calibration import CalibrationUpdated

PROVIDER = "idle"

DETUNING_HERTZ = 20e3
"""Standard deviation of the detunings of a device's qubits. Neighbours that are always coupled shift a fixed-frequency transmon by
some tens of kHz, which is what decoupling was seen to remove on IBM's devices (Tripathi et al. 2022, arXiv:2108.04530). No
calibration reports it: the size is an assumption, and what a method gains here is worth no more than that."""


class IdlingDevice(Device):
    """A device with noise in its waits.

    Args:
        calibration: whose T1 and T2 act.
        detuning_hertz: standard deviation of the detunings, drawn for each qubit from a hash of the calibration.
    """

    idles = True

    def __init__(self, calibration: CalibrationUpdated, detuning_hertz: float = DETUNING_HERTZ) -> None:
        super().__init__(calibration)
        seed = int.from_bytes(hashlib.sha256(f"{calibration.calibration_id}/detuning".encode()).digest()[:8])
        self.detunings_hertz = detuning_hertz * np.random.default_rng(seed).standard_normal(len(calibration.qubits))
        self._waits: dict[tuple[int, float, bool], Instruction] = {}

    def wait(self, qubit: int, seconds: float, exact: bool) -> Instruction:
        """See `Device.wait`."""
        key = (qubit, seconds, exact)
        if key not in self._waits:
            turn = SuperOp(Operator(RZGate(2 * math.pi * self.detunings_hertz[qubit] * seconds)))
            found = turn.compose(relaxation(self.calibration.qubits[qubit], seconds))
            self._waits[key] = (found if exact else Kraus(found)).to_instruction()
        return self._waits[key]


def device_of(calibration: CalibrationUpdated) -> Device:
    """The device that simulations make of a calibration."""
    return IdlingDevice(calibration) if calibration.provider == PROVIDER else Device(calibration)
