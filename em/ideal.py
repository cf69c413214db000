"""Exact expectation values without noise: what estimates are compared with."""

from collections.abc import Sequence

import numpy as np
from qiskit.quantum_info import SparsePauliOp, Statevector

from backends.qasm import take_apart
from em.circuits import parse
from em.errors import JobInvalidError
from em.observables import check_widths
from schemas.jobs import Observable

MAX_QUBITS = 20
"""A statevector of 2^20 amplitudes takes 16 MB and a second; double for each qubit more."""


def ideal(source: str, observables: Sequence[Observable]) -> tuple[float, ...]:
    """<O> of each observable in the state that an OpenQASM 3 circuit makes, its final measurements left out.

    Raises:
        JobInvalidError: it does not parse, is wider than `MAX_QUBITS`, or an observable has another width.
    """
    body = take_apart(parse(source)).body
    if body.num_qubits > MAX_QUBITS:
        raise JobInvalidError(f"the exact value of {body.num_qubits} qubits takes too long; at most {MAX_QUBITS} can be computed")
    check_widths(observables, body.num_qubits)
    state = Statevector(body)
    operators = (
        SparsePauliOp([term.pauli for term in observable.terms], [term.coefficient for term in observable.terms])
        for observable in observables
    )
    return tuple(float(np.real(state.expectation_value(operator))) for operator in operators)
