"""An observable that is a number: every method says that number."""

import pytest

from backends import registry
from backends.adapter import Result
from backends.device import Device
from backends.simulation import Simulator
from em.errors import JobInvalidError
from em.families import FAMILIES
from em.methods import METHODS, Workload
from em.observables import grouped
from em.planning import planned
from schemas.jobs import Observable, PauliTerm

_BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
_NUMBER = (Observable(name="number", terms=(PauliTerm(pauli="II", coefficient=-1.5),)),)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(Device(registry.load(["fake_jakarta"])["fake_jakarta"].calibration()))


@pytest.mark.parametrize("name", METHODS)
def test_a_number_is_that_number_under_every_method(simulator: Simulator, name: str) -> None:
    plan = planned(METHODS[name], Workload(1, _NUMBER, grouped(_NUMBER), 100, (_BELL,)), {}, 1)
    ran = simulator.run(plan.work)
    [[estimate]] = plan.combine(Result(ran.counts, 1.0, 0.0, "c", ran.weights, ran.forecasts))
    assert (estimate.value, estimate.standard_error) == pytest.approx((-1.5, 0.0), abs=1e-9)


@pytest.mark.parametrize("size", [{"qubits": 0}, {"depth": 0}])
def test_a_size_of_zero_is_refused_and_not_replaced(size: dict[str, int]) -> None:
    with pytest.raises(JobInvalidError, match="starts at"):
        FAMILIES["random"].instance(0, 0, **size)
