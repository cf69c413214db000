"""No circuit touches what a real calibration marks as faulty: snapshots that ship with IBM's client and have such gates."""

from functools import cache

import pytest
from qasm_sources import ghz, ising

from backends import ibm_fake
from backends.calibration import FAULTY, from_properties
from backends.device import Device
from backends.errors import WorkRefusedError
from backends.terms import terms_of
from schemas.calibration import CalibrationUpdated

SNAPSHOTS = ("algiers", "cambridge", "hanoi", "rochester", "manhattan", "torino", "kingston")
"""2 to 44 faulty gates, single-qubit ones and couplings, of five generations of processors."""


@cache
def _device(name: str) -> Device:
    properties, configuration = ibm_fake.shipped(name, "props"), ibm_fake.shipped(name, "conf")
    return Device(from_properties(f"fake_{name}", "ibm_fake", properties, configuration, terms_of("fake_manila")))


def _assert_avoids_what_is_faulty(device: Device, source: str, level: int) -> None:
    compiled = device.compile(source, seed=1, level=level)
    for operation in compiled.operations:
        assert device.gates[operation.name, operation.qubits].error < FAULTY
    for place in compiled.places:
        assert device.calibration.qubits[place].operational
        assert all(row.error < FAULTY for row in device.calibration.gates if row.qubits == (place,))
    assert len(set(compiled.places)) == len(compiled.places)


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_real_snapshots_with_faulty_gates_are_routed_around_them(name: str, level: int) -> None:
    device = _device(name)
    assert any(row.error >= FAULTY for row in device.calibration.gates)
    for source in (ghz(9), ising(5, 2)):
        _assert_avoids_what_is_faulty(device, source, level)


@pytest.mark.parametrize("level", range(4))
def test_a_device_without_a_working_coupling_runs_what_needs_none_and_refuses_the_rest(level: int) -> None:
    device = _device("kyoto")
    assert all(row.error >= FAULTY for row in device.calibration.gates if row.name == "ecr")
    with pytest.raises(WorkRefusedError, match="does not fit fake_kyoto"):
        device.compile(ghz(2), seed=1, level=level)
    _assert_avoids_what_is_faulty(device, 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; h q[1];', level)


def _broken(calibration: CalibrationUpdated, qubits: set[int], gates: set[tuple[str, tuple[int, ...]]]) -> Device:
    """Qubits out of operation, and gates that are faulty."""
    rows = tuple(row.model_copy(update={"error": FAULTY}) if (row.name, row.qubits) in gates else row for row in calibration.gates)
    states = tuple(qubit.model_copy(update={"operational": index not in qubits}) for index, qubit in enumerate(calibration.qubits))
    return Device(calibration.model_copy(update={"gates": rows, "qubits": states}))


@pytest.mark.parametrize("level", range(4))
def test_idle_qubits_are_not_read_where_nothing_works(level: int) -> None:
    idle = 'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; x q[2];'
    device = _broken(ibm_fake.snapshot("fake_jakarta"), {0, 3}, {("sx", (1,)), ("x", (6,))})
    assert device.working == {2, 4, 5}
    _assert_avoids_what_is_faulty(device, idle, level)
    _assert_avoids_what_is_faulty(device, idle.replace("x q[2];", ""), level)
    with pytest.raises(WorkRefusedError, match="4 qubits, fake_jakarta has 3 that work"):
        device.compile(ghz(4), seed=0, level=level)
