"""A message from a topic: its exact bytes, and the record that they are, if they are one."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from schemas import cloudevents
from schemas.codec import decode
from schemas.errors import InputError, UndecodableError
from schemas.record import Record
from schemas.topics import TOPICS
from streams.errors import TopicMismatchError

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka record with its exact bytes.

    Attributes:
        topic: where it stands, with `partition` and `offset`.
        timestamp_ms: Kafka's timestamp, milliseconds since 1970.
        headers: in their order; a value may be None.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def timestamp(self) -> datetime:
        """Kafka's timestamp, UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def place(self) -> str:
        """topic/partition/offset, as error messages and provenance headers write it."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def event_id(self) -> str:
        """`ce_id`, empty where it is missing."""
        return next((value.decode("utf-8", "replace") for name, value in self.headers if name == "ce_id" and value), "")

    @property
    def digest(self) -> bytes:
        """SHA-256 over CloudEvents attributes, key and value, see `schemas.cloudevents.digest`.

        Raises:
            UndecodableError: no CloudEvents event, or a tombstone.
        """
        if self.value is None:
            raise UndecodableError(f"{self.place} is a tombstone: it has no value and no digest")
        return cloudevents.digest(self.headers, self.key, self.value)


@dataclass(frozen=True, slots=True)
class Received(Message, Generic[R]):
    """A message that is a record of its topic's type."""

    record: R


@dataclass(frozen=True, slots=True)
class Undecodable(Message):
    """A message that its topic's schemas cannot read, and why."""

    reason: str


def typed(kind: type[R], message: Message) -> Received[R] | Undecodable:
    """The message as a record of `kind`, or as what cannot be read as one."""
    fields = (
        message.topic,
        message.partition,
        message.offset,
        message.timestamp_ms,
        message.key,
        message.value,
        message.headers,
    )
    try:
        record = decode(kind, message.value)
        if not message.event_id:
            raise UndecodableError(f"{message.topic}: no CloudEvents 1.0 event: the header ce_id is missing")
    except InputError as error:
        return Undecodable(*fields, str(error))
    return Received(*fields, record)


def kind_of(topic: str) -> type[Record]:
    """The record type that a topic holds.

    Raises:
        TopicMismatchError: no such topic in the table.
    """
    try:
        return TOPICS[topic].record
    except KeyError:
        raise TopicMismatchError(f"no topic is called {topic!r}; there are {', '.join(sorted(TOPICS))}") from None
