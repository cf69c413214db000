"""Prepared runs as circuits for IBM, and IBM's answers as counts: all that is needed to read a result travels with its circuit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit

from backends.adapter import Work
from backends.device import Device, gate
from backends.forecast import Forecast
from backends.preparation import Prepared, prepare

_REGISTER = "read"


@dataclass(frozen=True, slots=True)
class Part:
    """What goes out as one job: IBM's sampler takes one number of shots for all circuits of a job.

    Attributes:
        shots: of each circuit.
        label: which part of how many, e.g. `1of2`.
    """

    shots: int
    circuits: tuple[QuantumCircuit, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Read:
    """What came back of all circuits.

    Attributes:
        counts, weights, forecasts: see `backends.adapter.Result`.
        shots: of all runs together.
        seconds: what the device should have taken, for who does not measure it.
        calibration_id: that the circuits were compiled under.
    """

    counts: tuple[dict[str, int], ...]
    weights: tuple[float, ...]
    forecasts: tuple[Forecast | None, ...]
    shots: int
    seconds: float
    calibration_id: str


def parts(device: Device, work: Work) -> list[Part]:
    """The work's runs by number of shots; a run of more shots than the device takes comes several times.

    Raises:
        WorkRefusedError: a run that the device cannot do.
    """
    by_shots: dict[int, list[QuantumCircuit]] = {}
    for index, run in enumerate(work.runs):
        prepared = prepare(device, work, run)
        for shots in _split(run.shots, device.calibration.max_shots):
            by_shots.setdefault(shots, []).append(_circuit(device, work, index, prepared, shots))
    return [
        Part(shots, tuple(circuits), f"{number}of{len(by_shots)}") for number, (shots, circuits) in enumerate(by_shots.items(), 1)
    ]


def read(results: Sequence[Any]) -> Read:
    """What the primitive results of all parts say together."""
    answers = [(answer.metadata["circuit_metadata"], answer.data[_REGISTER].get_counts()) for part in results for answer in part]
    runs = answers[0][0]["runs"]
    counts: list[dict[str, int]] = [{} for _ in range(runs)]
    weights = [1.0] * runs
    forecasts: list[Forecast | None] = [None] * runs
    for said, seen in answers:
        weights[said["run"]] = said["weight"]
        forecasts[said["run"]] = Forecast.of(said["forecast"]) if said.get("forecast") else None
        for text, times in seen.items():
            spelled = _spelled(text, said["columns"])
            counts[said["run"]][spelled] = counts[said["run"]].get(spelled, 0) + times
    shots = sum(sum(each.values()) for each in counts)
    seconds = sum(said["seconds"] for said, _ in answers)
    return Read(tuple(counts), tuple(weights), tuple(forecasts), shots, seconds, answers[0][0]["calibration_id"])


def _split(shots: int, most: int) -> list[int]:
    pieces = -(-shots // most)
    return [shots // pieces + (piece < shots % pieces) for piece in range(pieces)]


def _circuit(device: Device, work: Work, index: int, prepared: Prepared, shots: int) -> QuantumCircuit:
    """One run of a work, with what `read` needs as its metadata: IBM sends that back with the result."""
    said = {
        "run": index,
        "runs": len(work.runs),
        "columns": list(prepared.columns),
        "weight": prepared.weight,
        "forecast": prepared.forecast and asdict(prepared.forecast),
        "seconds": shots * prepared.shot_seconds,
        "calibration_id": device.calibration.calibration_id,
    }
    circuit = QuantumCircuit(len(device.calibration.qubits), metadata=said)
    circuit.add_register(ClassicalRegister(len(prepared.read), _REGISTER))
    for operation in prepared.operations:
        circuit.append(gate(operation.name, operation.parameters), operation.qubits, copy=False)
    for qubit, place in zip(prepared.read, prepared.places, strict=True):
        if qubit in work.runs[index].flips:
            circuit.x(place)
    circuit.measure(prepared.places, range(len(prepared.places)))
    return circuit


def _spelled(text: str, columns: Sequence[int]) -> str:
    """The bit string of a run, from the bits of the qubits that were read."""
    return "".join("0" if column < 0 else text[-1 - column] for column in reversed(columns))
