"""An input that could not be handled, whole."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.record import Identifier, Part, Record, Timestamp, now


class Header(Part):
    """One Kafka header, as it came."""

    key: str
    value: bytes | None


class DeadLetter(Record):
    """The original bytes and headers, where they came from, and why they are here. Keyed by the original key."""

    topic: ClassVar[str] = "dead.letter"
    key_field: ClassVar[str] = "original_key"

    agent: Identifier
    original_topic: str
    original_partition: Annotated[int, Field(ge=0)]
    original_offset: Annotated[int, Field(ge=0)]
    original_key: bytes | None
    original_value: bytes | None
    original_headers: tuple[Header, ...] = ()
    original_timestamp: Timestamp
    reason: str
    """A sentence: what was wrong."""
    exception: str
    """Type of the exception, e.g. `schemas.errors.UndecodableError`."""
    attempts: Annotated[int, Field(ge=1)]
    failed_at: Timestamp = Field(default_factory=now)

    @property
    def key(self) -> bytes:
        """The original key, so that one key's dead letters stay in order; empty where it had none."""
        return self.original_key or b""
