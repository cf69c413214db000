from datetime import UTC, datetime

import pytest
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeSherbrooke

from backends import aer, ibm_fake
from backends.calibration import check, from_properties
from backends.errors import BackendError
from backends.registry import BACKENDS, DEFAULT, load
from backends.terms import terms_of
from schemas.calibration import CalibrationUpdated
from schemas.codec import decode, encode
from schemas.topics import MAX_EVENT_BYTES

PQC, QKD = "X25519MLKEM768", "QKD-BB84"


def test_the_default_fleet_is_at_least_six_real_devices_of_5_to_127_qubits() -> None:
    sizes = {name: len(backend.calibration().qubits) for name, backend in load().items()}
    assert len(sizes) >= 6
    assert min(sizes.values()) == 5
    assert max(sizes.values()) == 127


@pytest.mark.parametrize("name", BACKENDS)
def test_every_snapshot_fits_an_event_and_hashes_to_its_id(name: str) -> None:
    calibration = load([name])[name].calibration()
    encoded = encode(calibration)
    assert len(encoded) < MAX_EVENT_BYTES / 20
    check(decode(CalibrationUpdated, encoded))


@pytest.mark.parametrize(("name", "device"), [("fake_manila", FakeManilaV2), ("fake_sherbrooke", FakeSherbrooke)])
def test_a_snapshot_says_what_qiskits_own_reader_says(name: str, device: type) -> None:
    properties, calibration = device().properties(), ibm_fake.snapshot(name)
    for index, qubit in enumerate(calibration.qubits):
        assert qubit.t1_seconds == pytest.approx(properties.t1(index), rel=1e-12)
        assert qubit.t2_seconds == pytest.approx(properties.t2(index), rel=1e-12)
        assert qubit.readout_seconds == pytest.approx(properties.readout_length(index), rel=1e-12)
        assert (qubit.prob_meas0_prep1 + qubit.prob_meas1_prep0) / 2 == pytest.approx(properties.readout_error(index), abs=1e-9)
    for gate in calibration.gates:
        assert gate.error == pytest.approx(min(1.0, properties.gate_error(gate.name, gate.qubits)), abs=1e-15)
        assert gate.duration_seconds == pytest.approx(properties.gate_length(gate.name, gate.qubits), rel=1e-12)
    assert calibration.taken_at == properties.last_update_date
    assert calibration.taken_at.tzinfo == UTC


def test_a_gate_that_nobody_measured_or_that_is_worse_than_useless_is_faulty() -> None:
    properties, configuration = (ibm_fake.shipped("manila", kind) for kind in ("props", "conf"))
    unmeasured, worse = (gate for gate in properties["gates"] if gate["qubits"] in ([0, 1], [1, 0]))
    unmeasured["parameters"] = [value for value in unmeasured["parameters"] if value["name"] != "gate_error"]
    for value in worse["parameters"]:
        value["value"] = 1.5 if value["name"] == "gate_error" else value["value"]
    calibration = from_properties("fake_manila", "ibm_fake", properties, configuration, terms_of("fake_manila"))
    assert {gate.qubits: gate.error for gate in calibration.gates if set(gate.qubits) == {0, 1}} == {(0, 1): 1.0, (1, 0): 1.0}


def test_properties_with_a_hole_are_refused() -> None:
    properties, configuration = (ibm_fake.shipped("manila", kind) for kind in ("props", "conf"))
    del properties["last_update_date"]
    with pytest.raises(BackendError, match="calibration of fake_manila cannot be used: the snapshot has no last_update_date"):
        from_properties("fake_manila", "ibm_fake", properties, configuration, terms_of("fake_manila"))


def test_the_id_covers_the_physics_and_nothing_else() -> None:
    calibration = ibm_fake.snapshot("fake_manila")
    check(calibration.model_copy(update={"queue_length": 99, "availability": 0.1}))
    qubit = calibration.qubits[0].model_copy(update={"prob_meas1_prep0": 0.5})
    gate = calibration.gates[0].model_copy(update={"error": 0.5})
    changes = (
        {"qubits": (qubit, *calibration.qubits[1:])},
        {"gates": (gate, *calibration.gates[1:])},
        {"taken_at": datetime(2000, 1, 1, tzinfo=UTC)},
    )
    for change in changes:
        with pytest.raises(BackendError, match="content hashes to"):
            check(calibration.model_copy(update=change))


def _reachable(calibration: CalibrationUpdated, suite: str) -> bool:
    return suite in calibration.crypto_suites and any(
        all(suite in hop.suites for hop in route.hops) for route in calibration.routes
    )


def test_some_backends_are_reachable_by_pqc_some_by_qkd_and_some_by_neither() -> None:
    fleet = [backend.calibration() for backend in load().values()]
    assert any(_reachable(calibration, PQC) for calibration in fleet)
    assert any(_reachable(calibration, QKD) for calibration in fleet)
    assert any(not _reachable(calibration, PQC) and not _reachable(calibration, QKD) for calibration in fleet)
    blocked_by_a_hop = [
        calibration for calibration in fleet if PQC in calibration.crypto_suites and not _reachable(calibration, PQC)
    ]
    assert blocked_by_a_hop


def test_unknown_names_are_refused_with_what_there_is() -> None:
    with pytest.raises(BackendError, match="fake_manila"):
        load(["nowhere"])
    with pytest.raises(BackendError, match="ships no snapshot"):
        ibm_fake.shipped("nowhere", "props")
    with pytest.raises(BackendError, match="aer_ideal"):
        aer.snapshot("nowhere")


def test_ideal_simulators_are_not_offered_unless_asked_for() -> None:
    assert not [name for name in DEFAULT if name.startswith("aer")]
