"""From a run to the operations that a device executes: pure, so that hardware and every simulation do the same."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import pi

import numpy as np

from backends.adapter import Fold, Run, Work
from backends.cancellation import Cancellation
from backends.decoupling import decoupled
from backends.device import WAIT, Compiled, Device, Operation
from backends.errors import WorkRefusedError
from backends.folding import folded
from backends.forecast import Forecast, forecast
from backends.frames import Frames
from backends.timing import critical_path, execution_seconds
from backends.waits import filled

_KEPT = 32  # circuits with all their frames, some 500 kB each: the random runs of one follow each other
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
    plain = _plain(device, compiled, run.basis, run.scale, run.fold)
    operations, weight = _randomised(plain, run)
    read, places = plain.read, plain.places
    if run.decoupling:
        operations = decoupled(device, operations, run.decoupling)
    if device.idles:
        operations = filled(device, operations)
    readout = max(device.calibration.qubits[place].readout_seconds for place in places)
    gates = critical_path(operations, device.durations)
    seconds = execution_seconds(1, gates, readout)
    acting = [[pauli[-1 - qubit] != "I" for qubit in read] for pauli in run.paulis]
    gates_alone = [operation for operation in operations if operation.name != WAIT]
    expected = forecast(device, gates_alone, places, acting) if acting else None
    return Prepared(operations, read, places, plain.columns, seconds, weight, expected)


@dataclass(frozen=True)
class _Plain:
    """What runs that differ in their random parts alone have in common: the folded operations with their turns."""

    device: Device
    operations: tuple[Operation, ...]
    read: tuple[int, ...]
    places: tuple[int, ...]
    columns: tuple[int, ...]

    @cached_property
    def frames(self) -> Frames:
        return Frames(self.operations)

    @cached_property
    def cancellation(self) -> Cancellation:
        return Cancellation(self.device, self.operations, self.places, self.frames)


@lru_cache(maxsize=_KEPT)
def _plain(device: Device, compiled: Compiled, basis: str, scale: float, fold: Fold) -> _Plain:
    read, columns = _what_is_read(compiled, basis)
    places = tuple(compiled.places[qubit] for qubit in read)
    turns = [
        Operation(name, parameters, (place,))
        for qubit, place in zip(read, places, strict=True)
        for name, parameters in _TURNS[basis[-1 - qubit] if basis else "Z"]
    ]
    operations = (*folded(compiled.operations, scale, fold), *(turns if scale else ()))
    return _Plain(device, operations, read, places, columns)


def _randomised(plain: _Plain, run: Run) -> tuple[tuple[Operation, ...], float]:
    """Twirled and with cancelled errors, as the run has it; and its weight."""
    twirl = None if run.twirl is None else np.random.default_rng(run.twirl)
    if run.pec is not None:
        return plain.cancellation.sampled(run.pec, twirl)
    return (plain.operations if twirl is None else plain.frames.drawn(twirl)), 1.0


def _what_is_read(compiled: Compiled, basis: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The body's qubits that a run reads, ascending; and for each character from the right, which of them it shows."""
    width = len(compiled.places)
    if basis:
        if len(basis) != width:
            raise WorkRefusedError(f"a basis of {len(basis)} letters for a circuit of {width} qubits")
        read = tuple(qubit for qubit, letter in enumerate(reversed(basis)) if letter != "I")
        return read, tuple(range(len(read)))
    bits = compiled.measured if any(qubit >= 0 for qubit in compiled.measured) else tuple(range(width))
    read = tuple(sorted({qubit for qubit in bits if qubit >= 0}))
    return read, tuple(read.index(qubit) if qubit >= 0 else -1 for qubit in bits)
