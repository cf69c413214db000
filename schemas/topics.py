"""The table of topics: the one place that says which exist, how long they last and how large their events may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from schemas.calibration import CalibrationUpdated
from schemas.dead_letter import DeadLetter
from schemas.jobs import EmRecommended, JobCancel, JobCompleted, JobRequested, JobRouted, JobStatus
from schemas.manifests import KmsAudit, LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.mitigation import EmMeasured
from schemas.record import Record
from schemas.threats import FeedPosition, ThreatAnalysed, ThreatEscalated, ThreatObserved, ThreatScored

Retention = Literal["kept", "setting", "compact"]

MAX_EVENT_BYTES = 1024 * 1024
"""Largest event that a client or a feed may send (value and headers)."""

MAX_DERIVED_BYTES = 4 * MAX_EVENT_BYTES
"""Largest event of an agent's own: it may embed a whole input (a routed job, a dead letter)."""

_MAX_INPUT_BYTES = MAX_EVENT_BYTES + 64 * 1024  # an event of just MAX_EVENT_BYTES still has a key and batch framing


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    Attributes:
        record: the only type it holds; its `topic` is the name.
        retention: `kept` for ever, as the `setting` says, or `compact` (the latest of each key).
        max_bytes: the topic's max.message.bytes.
    """

    record: type[Record]
    retention: Retention
    max_bytes: int = MAX_DERIVED_BYTES

    @property
    def name(self) -> str:
        """The Kafka topic."""
        return self.record.topic


_TOPICS = (
    Topic(JobRequested, "kept", _MAX_INPUT_BYTES),
    Topic(JobCancel, "kept", _MAX_INPUT_BYTES),
    Topic(CalibrationUpdated, "kept", _MAX_INPUT_BYTES),
    Topic(EmRecommended, "kept"),
    Topic(EmMeasured, "kept", _MAX_INPUT_BYTES),
    Topic(JobRouted, "kept"),
    Topic(JobStatus, "compact"),
    Topic(JobCompleted, "kept"),
    Topic(ThreatObserved, "setting"),  # a line of just MAX_EVENT_BYTES stands in it twice: raw, and as OCSF
    Topic(ThreatScored, "kept"),
    Topic(ThreatEscalated, "compact"),
    Topic(ThreatAnalysed, "kept"),
    Topic(FeedPosition, "compact"),
    Topic(ManifestRequested, "setting"),
    Topic(ManifestSigned, "kept"),
    Topic(LogCheckpoint, "kept"),
    Topic(KmsAudit, "kept"),
    Topic(DeadLetter, "kept"),
)

TOPICS: Mapping[str, Topic] = MappingProxyType({topic.name: topic for topic in _TOPICS})
