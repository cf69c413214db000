"""Which readers give up on a device is known before: real runs of the methods fail where it is said, and nowhere else."""

import pytest

from backends.device import Device
from em.errors import MitigationFailedError
from em.harness.executions import Executions
from em.learned.devices import snapshot
from em.methods import METHODS, Workload
from em.planning import planned
from policy.learned import Learned
from policy.model import load
from policy.readable import LOST, unreadable
from policy.recommender import Recommender
from policy.store import SHIPPED
from schemas.jobs import JobRequested, Observable, PauliTerm

SOURCE = 'OPENQASM 3.0; include "stdgates.inc"; qubit[4] q; h q[0]; cx q[0], q[1]; cx q[1], q[2]; cx q[2], q[3];'


def asked(*paulis):
    observables = tuple(Observable(name=pauli, terms=(PauliTerm(pauli=pauli, coefficient=1.0),)) for pauli in paulis)
    return JobRequested(job_id="j", circuits=(SOURCE,), observables=observables, shots=20_000, seed=1)


def misread(wrong, only=None):
    plain = snapshot("jakarta")
    qubits = tuple(
        qubit.model_copy(update={"prob_meas1_prep0": wrong, "prob_meas0_prep1": wrong}) if only in (None, index) else qubit
        for index, qubit in enumerate(plain.qubits)
    )
    return plain.model_copy(update={"qubits": qubits, "calibration_id": f"misread-{wrong}-{only}"})


def fails(device, job, method):
    plan = planned(METHODS[method], Workload.of(job), METHODS[method].parameters({}), job.seed)
    executions = Executions(device)
    executions.prepare([plan.work])
    try:
        plan.combine(executions.run(plan.work).result)
    except MitigationFailedError:
        return True
    return False


@pytest.mark.parametrize(
    ("wrong", "paulis", "lost"),
    [
        (0.02, ("ZZZZ",), set()),
        (0.3, ("ZZII", "ZIIZ"), set()),
        (0.3, ("ZZII", "ZZZZ"), {"trex"}),
        (0.499, ("ZZII",), {"readout", "trex"}),
    ],
)
def test_a_reader_gives_up_exactly_where_it_is_said(wrong, paulis, lost):
    device, job = Device(misread(wrong)), asked(*paulis)
    assert unreadable(device, device.compile(SOURCE, 0, 2), job.observables) == lost
    assert {name for name in ("raw", "readout", "trex") if fails(device, job, name)} == lost


def test_what_would_give_up_is_not_recommended_and_ranked_last():
    calibration = misread(0.3)
    model = load(SHIPPED)
    everything = Learned(type(model)({**model.about, "threshold": 1e9}, model.sessions, model.reference))
    (best,) = Recommender({calibration.backend: calibration}, lambda: everything).recommend(asked("ZZII", "ZZZZ")).candidates
    errors = {each.method: each.expected_error for each in best.ranking}
    assert not best.method.startswith("trex")
    assert {errors[name] for name in errors if name.startswith("trex")} == {LOST}
    assert errors["readout"] < LOST
