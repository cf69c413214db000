"""Devices that never existed: all qubits coupled, every qubit and gate alike, with or without noise."""

import json
from datetime import datetime
from itertools import permutations
from pathlib import Path
from typing import Any

from backends.calibration import content_hash
from backends.errors import BackendError
from backends.local import LocalBackend
from backends.pool import SimulationPool
from backends.terms import terms_of
from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration

PROVIDER = "aer"


def snapshot(name: str) -> CalibrationUpdated:
    """The calibration of a device in `backends/data/aer.json`.

    Raises:
        BackendError: no such device there.
    """
    devices: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "aer.json").read_text())
    if name not in devices:
        raise BackendError(f"backends/data/aer.json has no device {name!r}; it has {sorted(devices)}")
    device = devices[name]
    qubits = tuple(QubitCalibration(**device["qubit"]) for _ in range(device["qubits"]))
    gates = tuple(
        GateCalibration(name=gate, qubits=places, **values)
        for gate, values in device["gates"].items()
        for places in permutations(range(device["qubits"]), 2 if gate == "cx" else 1)
    )
    taken_at = datetime.fromisoformat(device["taken_at"])
    return CalibrationUpdated(
        backend=name,
        provider=PROVIDER,
        calibration_id=content_hash(qubits, gates, taken_at),
        taken_at=taken_at,
        qubits=qubits,
        gates=gates,
        basis_gates=tuple(device["gates"]),
        **dict(terms_of(name)),
    )


def connect(name: str, pool: SimulationPool) -> LocalBackend:
    """The device."""
    return LocalBackend(snapshot(name), pool)
