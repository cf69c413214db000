"""What is done to the circuits themselves before they are read: twirled, decoupled, or sampled so that errors cancel.

A treatment changes `Run`s only; `backends.preparation` carries it out on the device's own gates.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

import numpy as np

from backends.adapter import Run
from backends.decoupling import SEQUENCES
from em.methods.parameters import choice, whole
from em.methods.samples import spread
from schemas.mitigation import Parameters

_SEEDS = 2**62


class Treatment(Protocol):
    """A change of runs. `draw` is the method's own random stream."""

    name: str
    version: str
    defaults: ClassVar[Parameters]

    def check(self, parameters: Parameters) -> None:
        """Raises JobInvalidError for a value that a parameter cannot take."""

    def apply(self, runs: Sequence[Run], parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The runs in whose place an untreated method would do those of one group at one scale."""


class Twirl:
    """Random Paulis around the two-qubit gates turn their noise into Pauli noise: coherent errors no longer add up.

    Wallman and Emerson 2016, arXiv:1512.01098. The shots are spread over random circuits; the cost is none but that.
    """

    name = "twirl"
    version = "1"
    defaults: ClassVar[Parameters] = {"gate_twirls": 16}

    def check(self, parameters: Parameters) -> None:
        """`gate_twirls`: random circuits per run, 2 to 1024."""
        whole(parameters, "gate_twirls", 2, 1024)

    def apply(self, runs: Sequence[Run], parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """A run spread over twirls; each of several runs with one of its own."""
        parts = spread(runs[0], whole(parameters, "gate_twirls", 2, 1024)) if len(runs) == 1 else runs
        return [replace(part, twirl=int(draw.integers(_SEEDS))) for part in parts]


class Decoupling:
    """Pulses that fill idle times and undo each other; where waits are simulated without noise it costs only, see
    `backends.decoupling`."""

    name = "dd"
    version = "2"
    defaults: ClassVar[Parameters] = {"sequence": "XY4"}

    def check(self, parameters: Parameters) -> None:
        """`sequence`: XX or XY4."""
        choice(parameters, "sequence", SEQUENCES)

    def apply(self, runs: Sequence[Run], parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """The same runs with pulses."""
        return [replace(run, decoupling=choice(parameters, "sequence", SEQUENCES)) for run in runs]


class ErrorCancellation:
    """Probabilistic error cancellation under a twirl: unbiased where the noise is what the calibration says.

    Temme, Bravyi, Gambetta 2017, arXiv:1612.02058; van den Berg et al. 2023, arXiv:2201.09866. The shots are spread over random
    circuits; the price is the standard error, which grows with gamma, the product of the gates' costs in the light cone.
    """

    name = "pec"
    version = "2"
    defaults: ClassVar[Parameters] = {"samples": 100}

    def check(self, parameters: Parameters) -> None:
        """`samples`: random circuits per run, 2 to 10,000."""
        whole(parameters, "samples", 2, 10_000)

    def apply(self, runs: Sequence[Run], parameters: Parameters, draw: np.random.Generator) -> list[Run]:
        """A run spread over samples; each of several runs with one of its own."""
        parts = spread(runs[0], whole(parameters, "samples", 2, 10_000)) if len(runs) == 1 else runs
        seeds = draw.integers(_SEEDS, size=(len(parts), 2)).tolist()
        return [replace(part, twirl=twirl, pec=pec) for part, (twirl, pec) in zip(parts, seeds, strict=True)]
