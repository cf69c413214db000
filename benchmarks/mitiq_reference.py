"""Mitiq, the outside reference: what it makes of the same measured values. The only module that imports it (GPLv3)."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

try:
    from cirq import CNOT, Circuit, LineQubit, X
    from mitiq import cdr, pec, rem  # type: ignore[import-untyped]
    from mitiq.zne import inference  # type: ignore[import-untyped]
except ModuleNotFoundError:  # `make bench` goes on with the others
    print("mitiq has no release for this Python: there is nothing to compare with")
    raise SystemExit(0) from None

Floats = NDArray[np.float64]


def extrapolated(name: str, scales: Sequence[float], values: Sequence[float]) -> float:
    """The value at zero noise by mitiq's factory of the same name; asymptote 0 for exponentials, as ours.

    Raises:
        KeyError: mitiq has none (`adaptive` chooses its scales one after the other).
    """
    factories: dict[str, tuple[Any, dict[str, float]]] = {
        "linear": (inference.LinearFactory, {}),
        "quadratic": (inference.PolyFactory, {"order": 2}),
        "richardson": (inference.RichardsonFactory, {}),
        "exponential": (inference.ExpFactory, {"asymptote": 0.0}),
        "poly-exponential": (inference.PolyExpFactory, {"order": 2, "asymptote": 0.0}),
    }
    factory, options = factories[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(factory.extrapolate(list(scales), list(values), **options))


def unconfused(frequencies: Floats, confusions: Sequence[Floats], signs: Floats) -> float:
    """The mean of (2^n,) signs over measured frequencies, after mitiq's tensored inverse confusion matrix.

    Qubit 0 is the lowest bit of an index, mitiq's first matrix the highest; its matrices are (read, prepared), as ours.
    """
    inverse = rem.generate_tensored_inverse_confusion_matrix(len(confusions), list(reversed(confusions)))
    return float(signs @ inverse @ frequencies)


def regressed(noisy: Floats, exact: Floats, target: Floats) -> float:
    """The value of a circuit with (scales,) values, after mitiq's fit to (circuits, scales) `noisy` and `exact` ones.

    One scale is fitted with an intercept, several without, as ours.
    """
    scales = noisy.shape[1]
    fit = cdr.linear_fit_function if scales == 1 else cdr.linear_fit_function_no_intercept
    count = scales + (scales == 1)
    found, _ = curve_fit(lambda x, *parameters: fit(x, parameters), noisy.T, exact, p0=np.zeros(count))
    return float(np.squeeze(fit(target[:, None], found)))


def quasi_probabilities(qubits: int, error: float) -> Floats:
    """Of mitiq's inverse of a depolarising channel on one or two qubits that makes a Pauli error with probability `error`.

    The identity's first, then the others', which are all the same.
    """
    wires = LineQubit.range(qubits)
    gate = Circuit(X(*wires) if qubits == 1 else CNOT(*wires))
    represented = pec.represent_operation_with_global_depolarizing_noise(gate, error)
    return np.array(represented.coeffs, dtype=np.float64)


def calibrated(counts: Callable[[str, int], Mapping[str, int]], shots: int) -> str:
    """The method that mitiq's Calibrator would use on a device for whatever circuit comes: `zne-linear` or `zne-richardson`.

    Args:
        counts: (OpenQASM 3, shots) -> bit strings, from the device, which must not optimise folds away.
        shots: of each of its executions.
    """
    from mitiq import Calibrator, MeasurementResult, Settings
    from mitiq.zne.scaling import fold_global  # type: ignore[import-untyped]
    from qiskit import QuantumCircuit, qasm3

    factories = {"LinearFactory": "zne-linear", "RichardsonFactory": "zne-richardson"}
    strategies = [
        {"technique": "zne", "scale_noise": fold_global, "factory": getattr(inference, name)([1.0, 3.0, 5.0])} for name in factories
    ]
    circuits = [
        {"circuit_type": "ghz", "num_qubits": 3},
        {"circuit_type": "mirror", "num_qubits": 3, "circuit_depth": 3, "seed": 1},
    ]

    def execute(circuit: QuantumCircuit) -> Any:
        bits = [
            [int(letter) for letter in text] for text, count in counts(qasm3.dumps(circuit), shots).items() for _ in range(count)
        ]
        return MeasurementResult(bits)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calibrator = Calibrator(execute, frontend="qiskit", settings=Settings(circuits, strategies))
        calibrator.run()
        return factories[type(calibrator.best_strategy().technique_params["factory"]).__name__]
