"""A backend's calibration: what it is today, what it costs, and how it can be reached."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.record import Identifier, NonNegative, Part, Probability, Record, Timestamp, now


class QubitCalibration(Part):
    """One qubit. The place in the list is its number."""

    t1_seconds: NonNegative | None = None
    t2_seconds: NonNegative | None = None
    prob_meas1_prep0: Probability
    """P(measure 1 | prepared 0)."""
    prob_meas0_prep1: Probability
    """P(measure 0 | prepared 1)."""
    readout_seconds: NonNegative = 0.0
    operational: bool = True


class GateCalibration(Part):
    """One gate on one set of qubits."""

    name: Identifier
    qubits: tuple[int, ...]
    error: Probability
    """Average gate infidelity; 1.0 marks a faulty gate that must not be used."""
    duration_seconds: NonNegative


class Price(Part):
    """What a run costs: per_job + per_shot x shots + per_second x execution seconds, in USD."""

    per_job_usd: NonNegative = 0.0
    per_shot_usd: NonNegative = 0.0
    per_second_usd: NonNegative = 0.0
    source: str = ""
    """Where the price was read."""
    as_of: str = ""
    """When, an ISO 8601 date."""


class Hop(Part):
    """One link of a route and the key-establishment suites it can negotiate."""

    source: Identifier
    target: Identifier
    suites: tuple[str, ...]
    """e.g. `X25519`, `X25519MLKEM768`, `ML-KEM-768`, `QKD-BB84`."""


class Route(Part):
    """A network path from the control plane to the backend."""

    name: Identifier
    hops: Annotated[tuple[Hop, ...], Field(min_length=1)]


class Maintenance(Part):
    """A time in which the backend runs nothing."""

    start: Timestamp
    end: Timestamp
    reason: str = ""


class CalibrationUpdated(Record):
    """A calibration snapshot with price, queue, availability and crypto capabilities of the day."""

    topic: ClassVar[str] = "calibration.updated"
    key_field: ClassVar[str] = "backend"

    backend: Identifier
    provider: Identifier
    """The adapter that runs it, e.g. `aer` or `ibm_fake`."""
    calibration_id: str
    """SHA-256 (hex) of the physical snapshot: qubits, gates, taken_at. Queue and availability do not change it."""
    taken_at: Timestamp
    qubits: tuple[QubitCalibration, ...]
    gates: tuple[GateCalibration, ...]
    basis_gates: tuple[str, ...]
    queue_length: Annotated[int, Field(ge=0)] = 0
    queue_seconds: NonNegative = 0.0
    """Estimated waiting time before a new job starts."""
    availability: Probability = 1.0
    """Fraction of recent time that the backend accepted and ran jobs; 0 = down."""
    max_shots: Annotated[int, Field(ge=1)] = 100_000
    """Largest number of shots of one circuit execution."""
    price: Price = Price()
    crypto_suites: tuple[str, ...] = ()
    """Key-establishment suites that the backend's own endpoint offers."""
    routes: tuple[Route, ...] = ()
    """Paths that are named; they are taken as they are."""
    links: tuple[Hop, ...] = ()
    """Links of the network that the backend knows of; those of all backends are one graph, in which paths are sought."""
    region: str = ""
    """Where jobs are processed, e.g. `eu-de`; empty: not known."""
    maintenance: tuple[Maintenance, ...] = ()
    """Times that are announced, in which nothing runs."""
    drifts: bool = False
    """Whether the device changes while the snapshot grows old; a simulator plays its snapshot for ever."""
    published_at: Timestamp = Field(default_factory=now)
