"""What a model is told about a method on a candidate: the closed form's own prediction first, then what it may have missed."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from em.circuits import CircuitFeatures
from em.methods import METHODS
from policy.demand import Target
from policy.placement import Placement
from policy.prior import Prior

Floats = NDArray[np.float64]

_METHOD: Mapping[str, str] = {
    "prior": "log of the error that the closed form predicts",
    "bias": "log of the bias that it predicts",
    "deviation": "log of the standard deviation that it predicts",
    "decays": "chance that an exponential extrapolation is one and not the line in its place",
    "shots": "log of the shots of a run",
    "readout mitigated": "1 where confusion matrices are inverted",
    "trex": "1 where readout is twirled",
    "linear": "1 for the line",
    "richardson": "1 for Richardson's polynomial",
    "exponential": "1 for the exponential",
}
_NOISE: Mapping[str, str] = {
    "gates": "exponent of what gates leave of the signal",
    "readout": "what readout leaves of a Pauli string",
    "asymmetry": "how much random flips of the readout scatter",
    "two-qubit error": "mean reported error of the couplings",
    "readout error": "mean reported error of a qubit's readout",
}
_SIGNAL: Mapping[str, str] = {
    "signal": "log of the observable's size without noise, as far as Pauli strings were followed",
    "faded": "what noise leaves of it at scale 1",
    "faded 3": "at scale 3",
    "faded 5": "at scale 5",
    "read": "what readout errors leave of that at scale 1, their offsets included",
    "kept": "how much of the observable was followed",
    "share": "part of the observable that is not the identity",
    "spread": "standard deviation of one shot",
    "weight": "qubits that are read for a Pauli string",
}
_CIRCUIT: Mapping[str, str] = {
    "qubits": "of the circuit",
    "depth": "longest chain of gates",
    "entangling gates": "in the light cone, with routing",
    "swaps": "two-qubit gates with routing / without",
}
FEATURES: Mapping[str, str] = MappingProxyType({**_METHOD, **_NOISE, **_SIGNAL, **_CIRCUIT})
"""Name -> what it is, in the order of the columns."""

NAMES = tuple(FEATURES)
KEPT = NAMES.index("kept")

PLACE = tuple(NAMES.index(name) for name in ("shots", *_NOISE, *_SIGNAL, *_CIRCUIT) if name != "kept")
"""Columns that say where a method is used, and not which: what the novelty test looks at. What is kept, confidence is told."""

_SMALL = 1e-6
_FAINT = 1e-3
_FLAGS = {
    name: (
        method.reader == "readout",
        method.reader == "trex",
        *(method.extrapolation == how for how in ("linear", "richardson", "exponential")),
    )
    for name, method in METHODS.items()
}


def table(
    target: Target, circuit: CircuitFeatures, placements: Sequence[Placement], *, methods: Sequence[str], shots: Floats, seen: Prior
) -> NDArray[np.float32]:
    """(candidates, methods, features), single precision as models take it."""
    count = len(placements)
    found = np.empty((count, len(methods), len(NAMES)), dtype=np.float32)
    logs = (np.log(np.maximum(each, _SMALL)) for each in (seen.error, seen.bias, seen.deviation))
    for column, values in enumerate((*logs, seen.decays)):
        found[:, :, column] = values
    found[:, :, 4] = np.log(shots)
    found[:, :, 5:10] = [_FLAGS[name] for name in methods]
    rest = [
        [
            place.noise.rate,
            place.noise.readout,
            place.noise.flips,
            place.two_qubit_error,
            place.readout_error,
            np.log(max(abs(values[0]), _FAINT)),
            *np.clip(values[1:] / max(values[0], _FAINT, key=abs), -1.0, 1.5),
            np.clip(place.signal.read[0] / max(values[0], _FAINT, key=abs), -1.5, 1.5),
            place.signal.kept,
            target.share,
            target.spread,
            target.weight,
            circuit.qubits,
            circuit.depth,
            place.noise.two_qubit_gates,
            (place.gates + 1) / (circuit.two_qubit_gates + 1),
        ]
        for place, values in zip(placements, seen.values, strict=True)
    ]
    found[:, :, 10:] = np.array(rest).reshape(count, 1, -1)
    return found
