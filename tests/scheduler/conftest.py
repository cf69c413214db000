"""Recommendations and calibrations made by hand."""

from datetime import UTC, datetime

import pytest

from scheduler.routing import Scheduler
from schemas.calibration import CalibrationUpdated, Hop, Price, QubitCalibration, Route
from schemas.jobs import EmRecommended, JobRequested
from schemas.mitigation import Recommendation

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = ("X25519", "X25519MLKEM768", "QKD-BB84")


def through(*suites, name="direct", backend="a"):
    """A route of one hop per tuple of suites."""
    stops = ["plane", *(f"relay{i}" for i in range(len(suites) - 1)), backend]
    hops = tuple(Hop(source=stops[i], target=stops[i + 1], suites=each) for i, each in enumerate(suites))
    return Route(name=name, hops=hops)


def calibration(backend="a", suites=ALL, routes=None, price=None, gates=(), **fields):
    return CalibrationUpdated(
        backend=backend,
        provider="aer",
        calibration_id=f"id-of-{backend}",
        taken_at=AT,
        qubits=(QubitCalibration(prob_meas1_prep0=0.0, prob_meas0_prep1=0.0),),
        gates=gates,
        basis_gates=(),
        crypto_suites=suites,
        routes=(through(ALL, backend=backend),) if routes is None else routes,
        price=price or Price(per_shot_usd=0.001),
        **fields,
    )


def recommendation(backend="a", fidelity=0.9, shots=1000, seconds=2.0, error=None):
    return Recommendation(
        backend=backend,
        calibration_id=f"id-of-{backend}",
        method="raw",
        method_version="1",
        parameters={},
        shot_overhead=1.0,
        total_shots=shots,
        circuit_count=1,
        expected_error=2 * (1 - fidelity) if error is None else error,
        expected_fidelity=fidelity,
        fidelity_low=0.0,
        fidelity_high=1.0,
        confidence=0.8,
        execution_seconds=seconds,
        reason="because",
    )


def recommended(*candidates, unfit=(), problems=(), **job):
    request = JobRequested(job_id="j", circuits=("OPENQASM 3.0;",), requested_at=AT, **job)
    return EmRecommended(job_id="j", job=request, candidates=candidates, unfit=unfit, problems=problems, model_version="m")


def route(advice, *calibrations):
    """The decision about some advice under some calibrations, at noon."""
    return Scheduler({each.backend: each for each in calibrations}, clock=lambda: AT).route(advice)


@pytest.fixture(scope="session")
def make():
    """The makers, under one name."""

    class Make:
        at = AT
        calibration = staticmethod(calibration)
        recommendation = staticmethod(recommendation)
        recommended = staticmethod(recommended)
        route = staticmethod(route)
        through = staticmethod(through)

    return Make
