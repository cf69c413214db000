"""Devices made by hand: a line of qubits with errors of the test's choosing."""

from datetime import UTC, datetime

import pytest

from schemas.calibration import CalibrationUpdated, GateCalibration, QubitCalibration
from schemas.jobs import JobRequested, Observable, PauliTerm


def device(name="line", qubits=5, *, two=0.01, one=0.0003, readout=0.02, edges=None, broken=(), **fields):
    """A calibration; `two` is one error for all couplings or a mapping by pair."""
    edges = edges or [(i, i + 1) for i in range(qubits - 1)]
    errors = two if isinstance(two, dict) else dict.fromkeys(edges, two)
    gates = [GateCalibration(name="cx", qubits=edge, error=errors[edge], duration_seconds=4e-7) for edge in edges]
    gates += [
        GateCalibration(
            name=gate, qubits=(i,), error=one if gate != "rz" else 0.0, duration_seconds=3.5e-8 if gate != "rz" else 0.0
        )
        for i in range(qubits)
        for gate in ("sx", "x", "rz")
    ]
    return CalibrationUpdated(
        backend=name,
        provider="aer",
        calibration_id=f"id-of-{name}",
        taken_at=datetime(2026, 1, 1, tzinfo=UTC),
        qubits=tuple(
            QubitCalibration(
                t1_seconds=1e-4,
                t2_seconds=1e-4,
                prob_meas1_prep0=readout,
                prob_meas0_prep1=readout,
                readout_seconds=1e-6,
                operational=i not in broken,
            )
            for i in range(qubits)
        ),
        gates=tuple(gates),
        basis_gates=("cx", "sx", "x", "rz"),
        **fields,
    )


def ghz(qubits):
    """A GHZ circuit, OpenQASM 3."""
    steps = "".join(f"cx q[{i}], q[{i + 1}];\n" for i in range(qubits - 1))
    return f'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[{qubits}] q;\nh q[0];\n{steps}'


def job(qubits=3, pauli=None, **fields):
    """A job that asks for a GHZ state's stabiliser X...X, or for the given Pauli string."""
    observable = Observable(name="o", terms=(PauliTerm(pauli=pauli or "X" * qubits, coefficient=1.0),))
    return JobRequested(**({"job_id": "j", "circuits": (ghz(qubits),), "observables": (observable,)} | fields))


@pytest.fixture
def make_device():
    return device


@pytest.fixture
def make_job():
    return job
