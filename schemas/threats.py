"""Security events in, findings out. Vocabulary: OCSF 1.x classes 4001, 3002 and 2004."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.record import Identifier, NonNegative, Part, Probability, Record, Timestamp, now

Severity = Annotated[int, Field(ge=0, le=99)]
RiskLevel = Literal["INFO", "LOW", "MEDIUM", "HIGH", "CRITICAL"]


class Endpoint(Part):
    """One side of a connection."""

    ip: str | None = None
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    hostname: str | None = None


class ThreatObserved(Record):
    """A normalised security event, with the raw line it came from."""

    topic: ClassVar[str] = "threat.observed"
    key_field: ClassVar[str] = "entity"

    event_id: Identifier
    entity: Identifier
    """Whom it is about (host, user, address): the unit of ordering."""
    class_uid: Annotated[int, Field(ge=0)]
    """OCSF class, 4001 network activity or 3002 authentication."""
    activity_id: Annotated[int, Field(ge=0)] = 0
    severity_id: Severity = 0
    source: Identifier
    """The feed's format: `suricata`, `zeek` or `ocsf`."""
    src_endpoint: Endpoint = Endpoint()
    dst_endpoint: Endpoint = Endpoint()
    ocsf: str
    """The whole normalised event, OCSF JSON."""
    raw: bytes
    """The line as it was read."""
    observed_at: Timestamp = Field(default_factory=now)


class ThreatScored(Record):
    """An OCSF 2004 detection finding."""

    topic: ClassVar[str] = "threat.scored"
    key_field: ClassVar[str] = "event_id"

    event_id: Identifier
    entity: Identifier
    risk_score: Annotated[float, Field(ge=0.0, le=100.0)]
    risk_level: RiskLevel
    confidence: Probability
    model: Identifier
    model_version: str
    escalated: bool = False
    """True when a quantum second opinion was asked for."""
    job_id: str | None = None
    fallback_reason: str | None = None
    """Why the quantum model did not answer, where it was asked."""
    finding: str
    """OCSF 2004 JSON."""
    latency_seconds: NonNegative = 0.0
    scored_at: Timestamp = Field(default_factory=now)


class FeedPosition(Record):
    """Up to where a feed has been read; written in the transaction of the events themselves."""

    topic: ClassVar[str] = "feed.position"
    key_field: ClassVar[str] = "feed"

    feed: Identifier
    """Which stream of bytes: the hash of its first line, and a number where several began alike."""
    path: str
    """Where it was last seen, for people."""
    offset: Annotated[int, Field(ge=0)]
    """Bytes that have been answered for."""
    line: Annotated[int, Field(ge=0)]
    """Lines that have been answered for."""
    last: Annotated[int, Field(ge=0)] = 0
    """Where the last line that has been answered for begins."""
    checked: Annotated[int, Field(ge=0)] = 0
    """How many bytes of that line `check` covers."""
    check: str = ""
    """SHA-256 (hex) of that line's first bytes, 1,024 at most: is this still the same stream?"""
    unfinished: Annotated[int, Field(ge=0)] = 0
    """Bytes behind `offset` that were dead-lettered as a line without its end; when it is completed it is read whole."""
    updated_at: Timestamp = Field(default_factory=now)


EscalationState = Literal["DUE", "REQUESTED", "ANSWERED", "FAILED", "TIMED_OUT"]


class ThreatEscalated(Record):
    """Where an escalation to a quantum backend is; the topic is compacted, so the latest record of a key is its present state."""

    topic: ClassVar[str] = "threat.escalated"
    key_field: ClassVar[str] = "event_id"

    event_id: Identifier
    state: EscalationState
    job_id: Identifier
    scored: ThreatScored | None = None
    """What was said at once, and stands unless the device answers; None once it is over."""
    columns: tuple[str, ...] = ()
    features: tuple[float, ...] = ()
    """What the second opinion was asked about, in the order of `columns`; none once it is over."""
    message: str = ""
    due_at: Timestamp
    """When it was escalated: the time limit counts from here."""
    updated_at: Timestamp = Field(default_factory=now)


Schedule = Literal["daily", "weekly", "monthly"]


class ThreatAnalysed(Record):
    """What a scheduled analysis found; there is one for each period, and it says that the period is done."""

    topic: ClassVar[str] = "threat.analysed"
    key_field: ClassVar[str] = "period"

    period: Identifier
    """For example `daily/2026-11-20`, `weekly/2026-W47` or `monthly/2026-11`."""
    schedule: Schedule
    since: Timestamp
    """What came to the topics from here on …"""
    until: Timestamp
    """… up to here, this moment not included."""
    events: Annotated[int, Field(ge=0)]
    """Security events that were looked at."""
    findings: Annotated[int, Field(ge=0)] = 0
    """Events of `threat.scored` that it published."""
    outcome: str
    """A sentence."""
    model: Identifier
    """The quantum model that was asked, or that is in use from now on."""
    model_version: str
    promoted: bool = False
    """Weekly: whether that model takes the place of another."""
    report: str
    """All figures, JSON; also digests of the files that were written."""
    analysed_at: Timestamp = Field(default_factory=now)
