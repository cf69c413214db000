"""Calibration snapshots: from a vendor's properties to the record that everyone reads, under the hash of its content."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import rfc8785
from pydantic import ValidationError

from backends.errors import BackendError
from backends.terms import Terms
from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration
from schemas.codec import explain

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_UNUSED = ("id", "reset", "delay", "measure")  # circuits here never contain them; readout stands with the qubits
FAULTY = 1.0
"""The error of a gate that must not be used."""
_GUESSED = 0.5  # what a readout that nobody measured says of the qubit: nothing


def from_properties(
    name: str, provider: str, properties: Mapping[str, Any], configuration: Mapping[str, Any], terms: Terms
) -> CalibrationUpdated:
    """The snapshot in IBM's properties and configuration, as their JSON has them (`backend.properties().to_dict()`).

    A gate without a reported error is marked as faulty, and a qubit without a readout error as out of operation: nobody
    measured them.

    Raises:
        BackendError: a value is impossible, or one that no device can do without is missing; which, in one sentence.
    """
    what = "the snapshot"
    try:
        basis = tuple(gate for gate in configuration["basis_gates"] if gate not in _UNUSED)
        qubits, gates = [], []
        for index, values in enumerate(properties["qubits"]):
            what = f"qubit {index}"
            qubits.append(_qubit(values))
        for values in properties["gates"]:
            what = f"the gate {values['gate']} on {values['qubits']}"
            if values["gate"] in basis:
                gates.append(_gate(values))
        what = "the snapshot"
        taken_at = datetime.fromisoformat(str(properties["last_update_date"])).astimezone(UTC)
        max_shots = int(configuration["max_shots"])
    except ValidationError as error:
        raise BackendError(f"the calibration of {name} cannot be used: {what}: {explain(error)}") from error
    except KeyError as error:
        raise BackendError(f"the calibration of {name} cannot be used: {what} has no {error.args[0]}") from error
    except (ValueError, TypeError) as error:
        raise BackendError(f"the calibration of {name} cannot be used: {what}: {error}") from error
    return CalibrationUpdated(
        backend=name,
        provider=provider,
        calibration_id=content_hash(qubits, gates, taken_at),
        taken_at=taken_at,
        qubits=tuple(qubits),
        gates=tuple(gates),
        basis_gates=basis,
        max_shots=max_shots,
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
    error = named.get("readout_error", {"value": None})["value"]
    measured = error is not None
    error = error if measured else _GUESSED
    return QubitCalibration(
        t1_seconds=_seconds(named.get("T1")),
        t2_seconds=_seconds(named.get("T2")),
        prob_meas1_prep0=named.get("prob_meas1_prep0", {"value": error})["value"],
        prob_meas0_prep1=named.get("prob_meas0_prep1", {"value": error})["value"],
        readout_seconds=_seconds(named.get("readout_length")) or 0.0,
        operational=measured and bool(named.get("operational", {"value": 1})["value"]),
    )


def _gate(values: Mapping[str, Any]) -> GateCalibration:
    named = {value["name"]: value for value in values["parameters"]}
    return GateCalibration(
        name=values["gate"],
        qubits=tuple(values["qubits"]),
        error=_infidelity(named.get("gate_error", {"value": None})["value"]),
        duration_seconds=_seconds(named.get("gate_length")) or 0.0,
    )


def _infidelity(error: float | None) -> float:
    """Faulty where it was not measured, or is more than a gate can get wrong."""
    return FAULTY if error is None or error > FAULTY else error


def _seconds(value: Mapping[str, Any] | None) -> float | None:
    if value is None or value["value"] is None:
        return None
    seconds: float = value["value"] * _SECONDS[value["unit"]]
    return seconds
