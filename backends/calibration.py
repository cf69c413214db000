"""Calibration snapshots: from a vendor's properties to the record that everyone reads, under the hash of its content."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import rfc8785

from backends.errors import BackendError
from backends.terms import Terms
from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_UNUSED = ("id", "reset", "delay", "measure")  # circuits here never contain them; readout stands with the qubits
FAULTY = 1.0
"""The error of a gate that must not be used."""


def from_properties(
    name: str, provider: str, properties: Mapping[str, Any], configuration: Mapping[str, Any], terms: Terms
) -> CalibrationUpdated:
    """The snapshot in IBM's properties and configuration, as their JSON has them (`backend.properties().to_dict()`).

    A gate without a reported error is marked as faulty: nobody measured it.

    Raises:
        BackendError: a value is missing or impossible.
    """
    basis = tuple(gate for gate in configuration["basis_gates"] if gate not in _UNUSED)
    try:
        qubits = tuple(_qubit(values) for values in properties["qubits"])
        gates = tuple(_gate(values) for values in properties["gates"] if values["gate"] in basis)
        taken_at = datetime.fromisoformat(str(properties["last_update_date"])).astimezone(UTC)
    except (KeyError, ValueError, TypeError) as error:
        raise BackendError(f"the properties of {name} cannot be read: {type(error).__name__}: {error}") from error
    return CalibrationUpdated(
        backend=name,
        provider=provider,
        calibration_id=content_hash(qubits, gates, taken_at),
        taken_at=taken_at,
        qubits=qubits,
        gates=gates,
        basis_gates=basis,
        max_shots=configuration["max_shots"],
        **dict(terms),
    )


def content_hash(qubits: Sequence[QubitCalibration], gates: Sequence[GateCalibration], taken_at: datetime) -> str:
    """`calibration_id`: SHA-256 (hex) of the physical snapshot as canonical JSON (RFC 8785), time in UTC."""
    content: dict[str, Any] = {
        "qubits": [qubit.model_dump() for qubit in qubits],
        "gates": [gate.model_dump(mode="json") for gate in gates],
        "taken_at": taken_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def check(calibration: CalibrationUpdated) -> None:
    """Refuses a snapshot that its id does not stand for.

    Raises:
        BackendError: got and expected.
    """
    expected = content_hash(calibration.qubits, calibration.gates, calibration.taken_at)
    if calibration.calibration_id != expected:
        raise BackendError(
            f"the calibration of {calibration.backend} says it is {calibration.calibration_id}, its content hashes to {expected}"
        )


def _qubit(values: Sequence[Mapping[str, Any]]) -> QubitCalibration:
    named = {value["name"]: value for value in values}
    error = named["readout_error"]["value"]
    return QubitCalibration(
        t1_seconds=_seconds(named.get("T1")),
        t2_seconds=_seconds(named.get("T2")),
        prob_meas1_prep0=named.get("prob_meas1_prep0", {"value": error})["value"],
        prob_meas0_prep1=named.get("prob_meas0_prep1", {"value": error})["value"],
        readout_seconds=_seconds(named.get("readout_length")) or 0.0,
        operational=bool(named.get("operational", {"value": 1})["value"]),
    )


def _gate(values: Mapping[str, Any]) -> GateCalibration:
    named = {value["name"]: value for value in values["parameters"]}
    return GateCalibration(
        name=values["gate"],
        qubits=tuple(values["qubits"]),
        error=min(FAULTY, named.get("gate_error", {"value": FAULTY})["value"]),
        duration_seconds=_seconds(named.get("gate_length")) or 0.0,
    )


def _seconds(value: Mapping[str, Any] | None) -> float | None:
    if value is None:
        return None
    seconds: float = value["value"] * _SECONDS[value["unit"]]
    return seconds
