"""A calibrated device as a compilation target: circuits become its own gates on the qubits it really uses."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Delay, Gate, Instruction, Measure, Parameter
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.quantum_info import PTM, Kraus
from qiskit.transpiler import InstructionProperties, StagedPassManager, Target, generate_preset_pass_manager
from qiskit.transpiler.exceptions import TranspilerError

from backends import qasm
from backends.calibration import FAULTY
from backends.errors import BackendError, WorkRefusedError
from backends.noise import channel, pauli_inverse
from schemas.calibration import CalibrationUpdated

_CACHED = 1024  # compiled bodies kept; a body of a thousand gates takes about 100 kB
_GATES = get_standard_gate_name_mapping()

WAIT = "delay"
"""The operation that does nothing for as many seconds as its parameter says; no gate, and in no calibration."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the device's own gates on physical qubits."""

    name: str
    parameters: tuple[float, ...]
    qubits: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Compiled:
    """A body in the device's own gates; compared by identity, since `Device` keeps one of each.

    Attributes:
        operations: on physical qubits, in order.
        places: the physical qubit where each qubit of the body ends.
        measured: the body's qubit behind each classical bit, -1 for none.
    """

    operations: tuple[Operation, ...]
    places: tuple[int, ...]
    measured: tuple[int, ...]


class Device:
    """One snapshot, with everything that is derived from it, each part when it is first needed.

    Attributes:
        idles: whether qubits are noisy while they wait, so that every wait has to be written down (`backends.idling`).
    """

    idles = False

    def __init__(self, calibration: CalibrationUpdated) -> None:
        self.calibration = calibration
        self.gates = {(row.name, row.qubits): row for row in calibration.gates}
        self.durations = {place: row.duration_seconds for place, row in self.gates.items()}
        self._noise: dict[tuple[str, tuple[int, ...], bool], Instruction | None] = {}
        self._inverses: dict[tuple[str, tuple[int, ...]], NDArray[np.float64] | None] = {}
        self._reported: dict[tuple[str, tuple[int, ...]], NDArray[np.float64]] = {}
        self._compiled: OrderedDict[tuple[str, int, int], Compiled] = OrderedDict()
        self._kept_passes: dict[tuple[int, int, tuple[int, ...] | None], StagedPassManager] = {}

    @cached_property
    def working(self) -> frozenset[int]:
        """The qubits that circuits may use: in operation, and no gate of their own is faulty."""
        faulty = {row.qubits[0] for row in self.calibration.gates if len(row.qubits) == 1 and row.error >= FAULTY}
        return frozenset(index for index, qubit in enumerate(self.calibration.qubits) if qubit.operational) - faulty

    @cached_property
    def target(self) -> Target:
        """Qiskit's view of the device, without faulty gates and without qubits that do not work."""
        qubits = self.calibration.qubits
        target = Target(num_qubits=len(qubits))
        for name in self.calibration.basis_gates:
            places = {
                row.qubits: InstructionProperties(duration=row.duration_seconds, error=row.error)
                for row in self.calibration.gates
                if row.name == name and row.error < FAULTY and self.working.issuperset(row.qubits)
            }
            angles = [Parameter(f"angle{index}") for index in range(len(_GATES[name].params))]
            if places:  # to Qiskit, a gate without places is one that works everywhere
                target.add_instruction(gate(name, angles), places, name=name)
        readout = {
            (index,): InstructionProperties(
                duration=qubit.readout_seconds, error=(qubit.prob_meas0_prep1 + qubit.prob_meas1_prep0) / 2
            )
            for index, qubit in enumerate(qubits)
            if index in self.working
        }
        target.add_instruction(Measure(), readout)
        return target

    def noise(self, name: str, qubits: tuple[int, ...], exact: bool) -> Instruction | None:
        """What follows a gate: a superoperator for density matrices, Kraus operators for trajectories; None if nothing."""
        key = (name, qubits, exact)
        if key not in self._noise:
            found = channel(self.gates[name, qubits], [self.calibration.qubits[qubit] for qubit in qubits])
            self._noise[key] = None if found is None else (found if exact else Kraus(found)).to_instruction()
        return self._noise[key]

    def after(self, operation: Operation, exact: bool) -> Instruction | None:
        """What follows an operation, a wait or a gate; see `noise`."""
        if operation.name == WAIT:
            return self.wait(operation.qubits[0], operation.parameters[0], exact)
        return self.noise(operation.name, operation.qubits, exact)

    def wait(self, qubit: int, seconds: float, exact: bool) -> Instruction | None:
        """What a wait does to a qubit; see `noise`. Nothing, where the snapshot's noise acts with gates alone."""
        return None

    def seconds(self, operation: Operation) -> float:
        """How long an operation takes."""
        return operation.parameters[0] if operation.name == WAIT else self.durations[operation.name, operation.qubits]

    def inverse(self, name: str, qubits: tuple[int, ...]) -> NDArray[np.float64] | None:
        """The inverse of a gate's Pauli-twirled noise, see `backends.noise.pauli_inverse`; None where there is no noise."""
        if (name, qubits) not in self._inverses:
            found = channel(self.gates[name, qubits], [self.calibration.qubits[qubit] for qubit in qubits])
            self._inverses[name, qubits] = None if found is None else pauli_inverse(found)
        return self._inverses[name, qubits]

    def reported(self, name: str, qubits: tuple[int, ...]) -> NDArray[np.float64]:
        """(4^w, 4^w): the Pauli transfer matrix of a gate's noise as the calibration reports it, the first qubit lowest."""
        if (name, qubits) not in self._reported:
            found = channel(self.gates[name, qubits], [self.calibration.qubits[qubit] for qubit in qubits])
            self._reported[name, qubits] = np.eye(4 ** len(qubits)) if found is None else PTM(found).data.real
        return self._reported[name, qubits]

    def compile(self, source: str, seed: int, level: int) -> Compiled:
        """An OpenQASM 3 source in the device's gates; kept for the next run of the same source.

        Raises:
            WorkRefusedError: it does not parse, or the device has too few working qubits.
        """
        key = (hashlib.sha256(source.encode()).hexdigest(), seed, level)
        if key not in self._compiled:
            self._compiled[key] = self._compile(source, seed, level)
            if len(self._compiled) > _CACHED:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        return self._compiled[key]

    def _compile(self, source: str, seed: int, level: int) -> Compiled:
        program = qasm.program(source)
        width = program.body.num_qubits
        if width > len(self.working):
            sizes = f"{self.calibration.backend} has {len(self.working)}"
            raise WorkRefusedError(f"the circuit has {width} qubits, {sizes} that work; choose a larger backend")
        physical = self._transpiled(program.body, seed, level)
        if physical.layout is None:
            raise BackendError(f"the transpiler gave no layout for {self.calibration.backend}")
        operations = tuple(
            Operation(
                item.operation.name,
                tuple(float(value) for value in item.operation.params),
                tuple(physical.find_bit(qubit).index for qubit in item.qubits),
            )
            for item in physical.data
            if item.operation.name != "barrier"
        )
        return Compiled(operations, self._on_working_qubits(physical.layout.final_index_layout()), program.measured)

    def _transpiled(self, body: QuantumCircuit, seed: int, level: int) -> QuantumCircuit:
        """In the device's gates."""
        start = None if level else self._first_qubits(body.num_qubits)
        try:
            return self._passes(seed, level, start).run(body)
        except (TranspilerError, TypeError) as error:  # TypeError: Qiskit trips over couplings that are missing
            raise WorkRefusedError(f"the circuit does not fit {self.calibration.backend}: {error}") from error

    def _passes(self, seed: int, level: int, start: tuple[int, ...] | None) -> StagedPassManager:
        """Qiskit's passes for this device; kept, since to put them together takes longer than to run them on a small circuit."""
        key = seed, level, start
        if key not in self._kept_passes:
            self._kept_passes[key] = generate_preset_pass_manager(
                level, target=self.target, seed_transpiler=seed, initial_layout=None if start is None else list(start)
            )
        return self._kept_passes[key]

    def _first_qubits(self, width: int) -> tuple[int, ...] | None:
        """Where level 0 begins, which does not look for a place: at qubit 0, or at other qubits that hang together."""
        if any(region.keys() >= set(range(width)) for region in self._regions):
            return None
        return tuple(qubit for region in self._regions for qubit in region)[:width]

    @cached_property
    def _regions(self) -> list[dict[int, None]]:
        """The working qubits that working gates join, largest first; each by its distance from its lowest qubit."""
        near: dict[int, set[int]] = {qubit: set() for qubit in self.working}
        for pair in self.target.build_coupling_map() or ():
            near[pair[0]].add(pair[1])
            near[pair[1]].add(pair[0])
        regions: list[dict[int, None]] = []
        for first in sorted(near):
            if not any(first in region for region in regions):
                found = [first]
                for qubit in found:  # grows while it is read
                    found += sorted(near[qubit] - set(found))
                regions.append(dict.fromkeys(found))
        return sorted(regions, key=len, reverse=True)

    def _on_working_qubits(self, places: Sequence[int]) -> tuple[int, ...]:
        """The places, with idle qubits moved from where nothing works: no gate tells the transpiler to avoid that."""
        free = iter(sorted(self.working - set(places)))
        return tuple(place if place in self.working else next(free) for place in places)


def gate(name: str, parameters: Sequence[float | Parameter]) -> Gate | Delay:
    """Qiskit's gate of a name; an instruction where it is a wait."""
    if name == WAIT:
        return Delay(parameters[0], "s")
    return type(_GATES[name])(*parameters)
