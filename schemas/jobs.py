"""A quantum job, from request to result."""

import hashlib
from typing import Annotated, Any, ClassVar, Literal, Self

import rfc8785
from pydantic import Field, model_validator

from schemas.mitigation import Parameters, Recommendation, Unfit
from schemas.record import Identifier, NonNegative, Part, Probability, Record, Timestamp, now

CryptoMode = Literal["any", "pqc", "qkd"]
Decision = Literal["ROUTED", "REJECTED"]
JobState = Literal["QUEUED", "RUNNING", "DONE", "ERROR", "CANCELLED"]
FinalState = Literal["DONE", "ERROR", "CANCELLED"]

Pauli = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[IXYZ]+$")]


class PauliTerm(Part):
    """One weighted Pauli string; the rightmost letter acts on qubit 0, as in Qiskit."""

    pauli: Pauli
    coefficient: float


class Observable(Part):
    """A Hermitian observable as a sum of Pauli strings, all of the circuit's width."""

    name: Identifier
    terms: Annotated[tuple[PauliTerm, ...], Field(min_length=1)]


class Sla(Part):
    """What the user accepts; a constraint, never a weight."""

    max_error: NonNegative | None = None
    """Largest accepted expected |estimate - ideal|, in units of the observable normalised to a spectral bound of 1."""
    min_fidelity: Probability | None = None
    """Smallest accepted expected post-mitigation fidelity."""


class JobRequested(Record):
    """A user asks for circuits to be run and observables to be estimated."""

    topic: ClassVar[str] = "job.requested"
    key_field: ClassVar[str] = "job_id"

    job_id: Identifier
    tenant: Identifier = "default"
    name: str = ""
    """For people; never interpreted."""
    circuits: Annotated[tuple[str, ...], Field(min_length=1)]
    """OpenQASM 3 sources."""
    observables: tuple[Observable, ...] = ()
    """Each is estimated on every circuit. None: the job returns counts, and only the method `raw` applies."""
    shots: Annotated[int, Field(ge=1, le=100_000_000)] = 4096
    """Per circuit and mutually commuting group of an observable, before mitigation overhead."""
    sla: Sla = Sla()
    max_cost_usd: NonNegative | None = None
    deadline: Timestamp | None = None
    """The result is wanted before this instant."""
    crypto_mode: CryptoMode = "any"
    residency: tuple[Identifier, ...] = ()
    """Regions in which the job may be processed; empty: any."""
    method: Identifier = "auto"
    """`auto`, or the mitigation method that the user insists on."""
    method_parameters: Parameters = Field(default={})
    """What the named method shall do otherwise than by default."""
    backend: Identifier | None = None
    """None, or the only backend that the user accepts."""
    optimization_level: Annotated[int, Field(ge=0, le=3)] = 2
    """How hard the transpiler searches: Qiskit's 0 to 3; from 2 on its layout looks at the calibration."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    requested_at: Timestamp = Field(default_factory=now)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [observable.name for observable in self.observables]
        if len(set(names)) != len(names):
            raise ValueError(f"observable names must differ from each other, got {names}")
        return self

    @property
    def circuit_hash(self) -> str:
        """SHA-256 (hex) of canonical JSON (RFC 8785): each circuit's own SHA-256, and the observables."""
        asked: dict[str, Any] = {
            "circuits": [hashlib.sha256(circuit.encode()).hexdigest() for circuit in self.circuits],
            "observables": [observable.model_dump(mode="json") for observable in self.observables],
        }
        return hashlib.sha256(rfc8785.dumps(asked)).hexdigest()


class JobCancel(Record):
    """A user withdraws a job."""

    topic: ClassVar[str] = "job.cancel"
    key_field: ClassVar[str] = "job_id"

    job_id: Identifier
    cancelled_by: Identifier
    reason: str
    requested_at: Timestamp = Field(default_factory=now)


class EmRecommended(Record):
    """The policy's advice: one recommendation per candidate backend."""

    topic: ClassVar[str] = "em.recommended"
    key_field: ClassVar[str] = "job_id"

    job_id: Identifier
    job: JobRequested
    candidates: tuple[Recommendation, ...]
    unfit: tuple[Unfit, ...] = ()
    problems: tuple[str, ...] = ()
    """What makes the job impossible everywhere (QASM that does not parse, an unknown method); the scheduler rejects it."""
    model_version: str
    recommended_at: Timestamp = Field(default_factory=now)


class BackendScore(Part):
    """Every term of score = (expected_fidelity / cost_usd) x availability_penalty x crypto_compatibility."""

    backend: Identifier
    calibration_id: str
    method: str
    expected_fidelity: Probability
    """Expected fidelity AFTER mitigation, from the recommendation."""
    expected_error: NonNegative
    price_usd: NonNegative = 0.0
    """What the backend charges; the money in `cost_usd`."""
    cost_usd: NonNegative
    """Money and time, in USD; never 0 where the backend is admissible."""
    availability_penalty: Probability
    """Availability x freshness of the calibration."""
    crypto_compatibility: Probability
    """1 where a route and the backend satisfy the job's crypto mode, else 0."""
    score: NonNegative
    """0 where blocked."""
    wait_seconds: NonNegative
    execution_seconds: NonNegative
    route: str = ""
    """The network route chosen, empty if none is admissible."""
    blocked: tuple[str, ...] = ()
    """Why this backend may not run the job, in sentences; empty = admissible."""
    path: tuple[str, ...] = ()
    """The nodes of the route, the control plane first and the backend last."""
    availability: Probability = 1.0
    """Fraction of recent time in which the backend took jobs."""
    freshness: Probability = 1.0
    """What the calibration's age leaves of the trust in it; 1 where it is new, or does not age."""
    calibration_age_seconds: NonNegative = 0.0
    """Of a device that drifts since the calibration was taken, of a simulator since it was last heard of."""
    gate_error: Probability = 0.0
    """Median error of the working two-qubit gates, of one-qubit gates where there are none."""
    jobs_ahead: Annotated[int, Field(ge=0)] = 0
    """Jobs that wait or run there: those of others, as the backend says, and our own."""
    fallbacks: tuple[str, ...] = ()
    """What was not known and is counted as something else, in sentences."""


class JobRouted(Record):
    """The scheduler's decision, with the score of every backend and the reason each blocked one was blocked."""

    topic: ClassVar[str] = "job.routed"
    key_field: ClassVar[str] = "job_id"

    job_id: Identifier
    decision: Decision
    job: JobRequested
    backend: Identifier | None
    """The chosen backend; None when REJECTED."""
    recommendation: Recommendation | None
    """How the chosen backend runs it; None when REJECTED."""
    scores: tuple[BackendScore, ...]
    """All candidates, best first."""
    reasons: tuple[str, ...] = ()
    """Why it was rejected, or in a sentence why the chosen one won."""
    scoring_policy: str
    """Name and version of the scoring policy, e.g. `score-v1`."""
    model_version: str
    """Version of the model that made the recommendations."""
    supersedes: str | None = None
    """Event id of the earlier decision that this one replaces."""
    moves_from: Identifier | None = None
    """The backend that the superseded decision chose; set where the job is moved only if it does not run there yet."""
    alternatives: tuple[Recommendation, ...] = ()
    """The next best admissible candidates, best first, for when the job has to move."""
    turn: NonNegative = 0.0
    """The job's place in the fair order of tenants (virtual start time, in seconds): the lower starts first."""
    batch: str = ""
    """Equal for jobs that compile alike: same circuits, method, backend and calibration."""
    decided_at: Timestamp = Field(default_factory=now)


class Superseded(Part):
    """A decision that a job does not obey any more."""

    backend: Identifier
    routed_event_id: str


class JobStatus(Record):
    """Where a job is; the topic is compacted, so the latest record of a key is its present state."""

    topic: ClassVar[str] = "job.status"
    key_field: ClassVar[str] = "job_id"

    job_id: Identifier
    tenant: Identifier
    state: JobState
    backend: Identifier
    vendor_job_id: str | None = None
    message: str = ""
    queued_at: Timestamp
    started_at: Timestamp | None = None
    updated_at: Timestamp = Field(default_factory=now)
    routed_event_id: str
    """ce_id of the decision that this run obeys."""
    routed: JobRouted | None = None
    """The decision itself while the job is in flight, so that any executor can resume it; None once it is over."""
    superseded: tuple[Superseded, ...] = ()
    """Earlier decisions that were replaced while the job waited: what was submitted for them unheard is withdrawn."""


class Expectation(Part):
    """One estimated observable on one circuit."""

    circuit: Annotated[int, Field(ge=0)]
    observable: str
    value: float
    """<O>, in units of the observable."""
    standard_error: NonNegative
    """One standard deviation of `value`, from shots and extrapolation together."""
    raw_value: float | None
    """What the same run says without mitigation, as a control; None where no unmitigated circuit was run."""


class Counts(Part):
    """Measured bit strings of one circuit, Qiskit's order (qubit 0 rightmost)."""

    circuit: Annotated[int, Field(ge=0)]
    counts: dict[str, int]


class JobCompleted(Record):
    """The result of a run, or why there is none."""

    topic: ClassVar[str] = "job.completed"
    key_field: ClassVar[str] = "job_id"

    job_id: Identifier
    tenant: Identifier
    status: FinalState
    expectations: tuple[Expectation, ...] = ()
    counts: tuple[Counts, ...] = ()
    shots: Annotated[int, Field(ge=0)]
    """All shots spent, calibration and folded circuits included."""
    seeds: dict[str, int]
    """Every random draw's seed by its purpose."""
    method: str
    method_version: str
    parameters: Parameters
    backend: Identifier
    calibration_id: str
    vendor_job_id: str | None
    circuit_hash: str
    """`JobRequested.circuit_hash` of the job that was run."""
    result_hash: str
    """SHA-256 (hex) of expectations and counts, canonical JSON (RFC 8785)."""
    queue_seconds: NonNegative
    execution_seconds: NonNegative
    cost_usd: NonNegative
    error: str | None = None
    """A sentence, when status is ERROR or CANCELLED."""
    software: dict[str, str]
    """Package name to version."""
    routed_event_id: str
    crypto_mode: CryptoMode = "any"
    """Of the job, and so of the route that it took."""
    scores: tuple[BackendScore, ...] = ()
    """The decision that it obeyed: every candidate backend, best first, as in `job.routed`."""
    reasons: tuple[str, ...] = ()
    """Why the decision was as it was, as in `job.routed`."""
    completed_at: Timestamp = Field(default_factory=now)
