"""From a run to the operations that a device executes: pure, so that hardware and every simulation do the same."""

from dataclasses import dataclass
from math import pi

import numpy as np

from backends.adapter import Run, Work
from backends.cancellation import sampled
from backends.decoupling import decoupled
from backends.device import Compiled, Device, Operation
from backends.errors import WorkRefusedError
from backends.folding import folded
from backends.forecast import Forecast, forecast
from backends.frames import framed
from backends.timing import critical_path, execution_seconds

# X and Y are read by turning them to Z; the phases that H and H S-dagger would leave behind cannot be seen
_TURNS: dict[str, tuple[tuple[str, tuple[float, ...]], ...]] = {"X": (("rz", (pi / 2,)), ("sx", ())), "Y": (("sx", ()),), "Z": ()}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is executed for a run, and what is read.

    Attributes:
        operations: the device's own gates on physical qubits, in order, the turns into the basis that is read included;
            `Run.flips` are left to whoever reads.
        read: the body's qubits that are read, ascending.
        places: where they are on the device.
        columns: for each character of a bit string, from the right: which of `read` it shows, -1 for a bit never written.
        shot_seconds: what one shot takes on the device, readout and pause included.
        weight: see `backends.adapter.Result.weights`.
        forecast: of `Run.paulis`.
    """

    operations: tuple[Operation, ...]
    read: tuple[int, ...]
    places: tuple[int, ...]
    columns: tuple[int, ...]
    shot_seconds: float
    weight: float = 1.0
    forecast: Forecast | None = None


def prepare(device: Device, work: Work, run: Run) -> Prepared:
    """The run of a work on a device; the body is compiled once and kept by the device.

    Raises:
        WorkRefusedError: the body does not parse or does not fit the device, or the run does not fit the body.
    """
    compiled = device.compile(work.bodies[run.body], work.transpiler_seed, work.optimization_level)
    read, columns = _what_is_read(compiled, run)
    places = tuple(compiled.places[qubit] for qubit in read)
    turns = [
        Operation(name, parameters, (place,))
        for qubit, place in zip(read, places, strict=True)
        for name, parameters in _TURNS[run.basis[-1 - qubit] if run.basis else "Z"]
    ]
    plain = (*folded(compiled.operations, run.scale, run.fold), *(turns if run.scale else ()))
    operations, weight = _randomised(device, plain, places, run)
    if run.decoupling:
        operations = decoupled(device, operations, run.decoupling)
    readout = max(device.calibration.qubits[place].readout_seconds for place in places)
    gates = critical_path([(operation.name, operation.qubits) for operation in operations], device.durations)
    seconds = execution_seconds(1, gates, readout)
    acting = [[pauli[-1 - qubit] != "I" for qubit in read] for pauli in run.paulis]
    expected = forecast(device, operations, places, acting) if acting else None
    return Prepared(operations, read, places, columns, seconds, weight, expected)


def _randomised(
    device: Device, plain: tuple[Operation, ...], places: tuple[int, ...], run: Run
) -> tuple[tuple[Operation, ...], float]:
    """Twirled and with cancelled errors, as the run has it; and its weight."""
    frames = None if run.twirl is None else np.random.default_rng(run.twirl)
    if run.pec is not None:
        return sampled(device, plain, places, run.pec, frames)
    return (plain if frames is None else framed(plain, frames)), 1.0


def _what_is_read(compiled: Compiled, run: Run) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The body's qubits that a run reads, ascending; and for each character from the right, which of them it shows."""
    width = len(compiled.places)
    if run.basis:
        if len(run.basis) != width:
            raise WorkRefusedError(f"a basis of {len(run.basis)} letters for a circuit of {width} qubits")
        read = tuple(qubit for qubit, letter in enumerate(reversed(run.basis)) if letter != "I")
        return read, tuple(range(len(read)))
    bits = compiled.measured if any(qubit >= 0 for qubit in compiled.measured) else tuple(range(width))
    read = tuple(sorted({qubit for qubit in bits if qubit >= 0}))
    return read, tuple(read.index(qubit) if qubit >= 0 else -1 for qubit in bits)
