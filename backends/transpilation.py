"""What each transpile level makes of a circuit on a device, and how long it takes."""

import time
from dataclasses import dataclass

from backends.device import Compiled, Device
from backends.timing import critical_path

LEVELS = range(4)
_WARM_SOURCE = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'


@dataclass(frozen=True, slots=True)
class Figures:
    """A compiled circuit in numbers.

    Attributes:
        depth: gates one after another; rz is a change of frame, takes no time, and does not count.
        two_qubit_gates: how many.
        one_qubit_gates: how many, rz not counted.
        estimated_fidelity: the chance that no gate and no readout errs, by the calibration, if all erred independently:
            the product of 1 - error. Murali et al. 2019, arXiv:1901.11054 (there: estimated success probability).
        circuit_seconds: from the first gate to the end of the last.
        compile_seconds: what the transpiler took here.
    """

    level: int
    depth: int
    two_qubit_gates: int
    one_qubit_gates: int
    estimated_fidelity: float
    circuit_seconds: float
    compile_seconds: float


def figures(device: Device, source: str, seed: int = 0) -> list[Figures]:
    """The figures of an OpenQASM 3 source at every level; all its qubits are read.

    Raises:
        WorkRefusedError: it does not parse, or does not fit the device.
    """
    for level in LEVELS:
        device.compile(_WARM_SOURCE, seed, level)  # what is loaded once is no figure of the circuit's
    return [_at(device, source, seed, level) for level in LEVELS]


def _at(device: Device, source: str, seed: int, level: int) -> Figures:
    began = time.perf_counter()
    compiled = device.compile(source, seed, level)
    seconds = time.perf_counter() - began
    real = [operation for operation in compiled.operations if operation.name != "rz"]
    two = sum(len(operation.qubits) == 2 for operation in real)
    once = {(operation.name, operation.qubits): 1.0 for operation in real}
    return Figures(
        level=level,
        depth=round(critical_path(real, once)),
        two_qubit_gates=two,
        one_qubit_gates=len(real) - two,
        estimated_fidelity=_fidelity(device, compiled),
        circuit_seconds=critical_path(real, device.durations),
        compile_seconds=seconds,
    )


def _fidelity(device: Device, compiled: Compiled) -> float:
    fidelity = 1.0
    for operation in compiled.operations:
        fidelity *= 1 - device.gates[operation.name, operation.qubits].error
    for place in compiled.places:
        qubit = device.calibration.qubits[place]
        fidelity *= 1 - (qubit.prob_meas0_prep1 + qubit.prob_meas1_prep0) / 2
    return fidelity
