"""How a job should be run on each backend, and what a nightly measured."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.record import Identifier, NonNegative, Part, Probability, Record, Timestamp, now

Parameters = dict[str, bool | int | float | str | list[float]]
"""A method's parameters by name, e.g. {"scale_factors": [1.0, 3.0, 5.0], "extrapolation": "richardson"}."""


class MethodScore(Part):
    """One line of the ranking of all methods on a backend."""

    method: Identifier
    expected_error: NonNegative
    shot_overhead: Annotated[float, Field(ge=1.0)]


class Recommendation(Part):
    """How to run the job on one backend, and what to expect."""

    backend: Identifier
    calibration_id: str
    method: Identifier
    method_version: str
    parameters: Parameters
    shot_overhead: Annotated[float, Field(ge=1.0)]
    """All shots spent / shots asked for."""
    total_shots: Annotated[int, Field(ge=1)]
    circuit_count: Annotated[int, Field(ge=1)]
    """Circuits sent to the backend, calibration and folded ones included."""
    expected_error: NonNegative
    """Expected |estimate - ideal|, observable normalised to a spectral bound of 1."""
    expected_fidelity: Probability
    """Expected fidelity after mitigation, 1 - expected_error / 2 clipped to [0, 1]."""
    fidelity_low: Probability
    fidelity_high: Probability
    """Interval around `expected_fidelity` that should hold with probability `confidence`."""
    confidence: Probability
    execution_seconds: NonNegative
    """Estimated time on the backend, queue excluded."""
    reason: str
    """Which features moved the choice, in words."""
    ranking: tuple[MethodScore, ...] = ()
    """All applicable methods, best first."""
    qubits: Annotated[int, Field(ge=0)] = 0
    """Qubits of the backend that the job takes; 0: not said."""


class Unfit(Part):
    """A backend that cannot run the job at all, and why."""

    backend: Identifier
    calibration_id: str
    reason: str


class EmMeasured(Record):
    """A nightly's result for one family, method, backend and budget: what the policy learns from."""

    topic: ClassVar[str] = "em.measured"
    key_field: ClassVar[str] = "subject"

    subject: Identifier
    """family/method."""
    family: Identifier
    method: Identifier
    method_version: str
    parameters: Parameters
    backend: Identifier
    calibration_id: str
    circuit_hash: str
    qubits: Annotated[int, Field(ge=1)]
    depth: Annotated[int, Field(ge=0)]
    two_qubit_gates: Annotated[int, Field(ge=0)]
    shots: Annotated[int, Field(ge=1)]
    """All shots spent."""
    ideal: float
    value: float
    standard_error: NonNegative
    raw_value: float | None
    """Without mitigation, where an unmitigated circuit was run."""
    cost_usd: NonNegative
    seed: Annotated[int, Field(ge=0)]
    software: dict[str, str]
    git_commit: str
    measured_at: Timestamp = Field(default_factory=now)
    task_id: str = ""
    """SHA-256 (hex) of all that the result depends on; the same in the harness's Parquet files."""
    observable: str = ""
    bound: NonNegative = 1.0
    """Sum of the observable's |coefficients|: errors of different observables are compared in units of it."""
    budget: Annotated[int, Field(ge=0)] = 0
    """Shots per group of observables before the method's overhead; 0: not known."""
    engine: str = ""
    """What simulated."""
    approximate: bool = False
    """Whether the engine dropped what is not Pauli noise."""
