"""From inputs to outputs: decode, handle, name, attest, encode. No Kafka here and no waiting.

What a fault does, all in one place:

| the input | goes to |
|---|---|
| is not decodable, or refused by the model, or by the handler as an `InputError` | `dead.letter`, at once |
| makes the handler raise an `OutageError` | again, after a back-off; the worker leaves when the attempts are used up |
| makes the handler raise anything else | again, after a back-off; `dead.letter` when the attempts are used up |
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol, cast

from schemas.cloudevents import Event, digest, headers, output_id, tick_id, timestamp
from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter, Header
from schemas.errors import InputError, UndecodableError
from schemas.manifests import ManifestRequested
from schemas.record import Record
from schemas.topics import TOPICS
from streams.agent import Agent, Handle, HandleBatch, Outputs
from streams.errors import DeclarationError, EventTooLargeError
from streams.partitioning import partition_of
from streams.views import Held

SLICE_SECONDS = 0.1
"""A run of inputs that takes longer is committed up to there: a slow handler must not hold up rebalances and other partitions."""

_FRAMING_BYTES = 1024  # what key, headers and batch framing add to a value, generously


class Incoming(Protocol):
    """What we need of aiokafka's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class Outgoing:
    """One event to publish."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    record: Record


@dataclass(slots=True)
class Handled:
    """What became of a run of inputs.

    Attributes:
        outgoing: events to publish.
        done: how many inputs, from the first, are answered by `outgoing`.
        failure: what the input behind them raised, if it may be tried again.
        dead: how many of the inputs were dead-lettered.
    """

    outgoing: list[Outgoing] = field(default_factory=list)
    done: int = 0
    failure: Exception | None = None
    dead: int = 0


@dataclass(slots=True)  # not frozen: there is one per event, and frozen ones take three times as long to make
class _Origin:
    """Where outputs come from: an input (or a tick, without one) of a partition, at a time."""

    time: str
    partition: int
    key: bytes | None = None
    trace: str = ""
    cause: Event[Any] | None = None


class Handling:
    """One agent's handler, wrapped.

    Args:
        agent: the declaration.
        partitions: topic -> number of partitions.
    """

    def __init__(self, agent: Agent, partitions: dict[str, int]) -> None:
        self._agent = agent
        self._partitions = partitions
        self._kinds = {kind.topic: kind for kind in agent.reads}
        self._held = [view for view in agent.views if isinstance(view, Held)]
        self._source = f"/agents/{agent.name}"
        self._writable = {*agent.writes, ManifestRequested} if agent.attest else set(agent.writes)
        self._limits = {kind: TOPICS[kind.topic].max_bytes - _FRAMING_BYTES for kind in {*self._writable, DeadLetter}}

    def handle(self, inputs: Sequence[Incoming]) -> Handled:
        """Answers for all inputs, or for those that `SLICE_SECONDS` allow, or for those before one that must be tried again."""
        if self._agent.batch:
            return self._handle_batch(inputs)
        handled, time, until = Handled(), timestamp(), monotonic() + SLICE_SECONDS
        for message in inputs:
            if handled.done and monotonic() > until:
                break
            try:
                outgoing = self._answer(message, time)
            except InputError as error:
                outgoing = [self.dead_letter(message, error, attempts=1)]
                handled.dead += 1
            except Exception as error:
                handled.failure = error
                break
            handled.outgoing += outgoing
            handled.done += 1
        return handled

    def tick(self, partition: int) -> list[Outgoing]:
        """What the agent says without an input, for one partition."""
        agent = self._agent
        if agent.tick is None or agent.tick_subject is None:
            return []
        origin, outgoing = _Origin(timestamp(), partition), list[Outgoing]()
        for record in _records(agent.tick(partition)):
            subject, state = agent.tick_subject(record)
            event_id = tick_id(agent.name, partition, subject, f"{record.topic}/{state}")
            outgoing += self._publish(record, event_id, origin)
        return self._staged(outgoing)

    def dead_letter(self, message: Incoming, error: Exception, attempts: int) -> Outgoing:
        """The input, whole, as a dead letter."""
        record = DeadLetter(
            agent=self._agent.name,
            original_topic=message.topic,
            original_partition=message.partition,
            original_offset=message.offset,
            original_key=message.key,
            original_value=message.value,
            original_headers=tuple(Header(key=name, value=content) for name, content in message.headers),
            original_timestamp=datetime.fromtimestamp(max(message.timestamp, 0) / 1000, UTC),
            reason=str(error) or type(error).__name__,
            exception=f"{type(error).__module__}.{type(error).__qualname__}",
            attempts=attempts,
        )
        event_id = output_id(message.topic, message.partition, message.offset, DeadLetter, 0)
        return self._outgoing(record, event_id, _Origin(timestamp(), message.partition))

    def _answer(self, message: Incoming, time: str) -> list[Outgoing]:
        record = decode(self._kinds[message.topic], message.value)
        agent = self._agent
        cause = _event(message, record) if agent.handle_event or agent.attest else None
        outputs = _records(cast(Handle, agent.handle)(cause if agent.handle_event else record))
        origin = _Origin(time, message.partition, message.key, _trace(message), cause)
        ordinals: dict[type[Record], int] = {}
        outgoing: list[Outgoing] = []
        for output in outputs:
            kind = type(output)
            ordinal = ordinals[kind] = ordinals.get(kind, -1) + 1
            outgoing += self._publish(output, output_id(message.topic, message.partition, message.offset, kind, ordinal), origin)
        return self._staged(outgoing)

    def _handle_batch(self, inputs: Sequence[Incoming]) -> Handled:
        handled, time = Handled(done=len(inputs)), timestamp()
        records: list[Record] = []
        answered: list[Incoming] = []
        for message in inputs:
            try:
                records.append(decode(self._kinds[message.topic], message.value))
                answered.append(message)
            except InputError as error:
                handled.outgoing.append(self.dead_letter(message, error, attempts=1))
                handled.dead += 1
        if not records:
            return handled
        try:
            handle = cast(HandleBatch, self._agent.handle)
            handled.outgoing += self._publish_batch(answered, _records(handle(answered[0].partition, records)), time)
        except Exception as error:
            if len(inputs) > 1:  # one of them is at fault: answer for the first alone, the rest comes again
                return self._handle_batch(inputs[:1])
            if isinstance(error, InputError):
                return Handled([self.dead_letter(inputs[0], error, attempts=1)], done=1, dead=1)
            return Handled(failure=error)
        return handled

    def _publish_batch(self, inputs: Sequence[Incoming], outputs: Iterable[Record], time: str) -> list[Outgoing]:
        ordinals: dict[type[Record], int] = {}
        outgoing: list[Outgoing] = []
        last = len(inputs) - 1
        for output in outputs:
            kind = type(output)
            ordinal = ordinals[kind] = ordinals.get(kind, -1) + 1
            message = inputs[min(ordinal, last)]
            event_id = output_id(message.topic, message.partition, message.offset, kind, max(0, ordinal - last))
            outgoing += self._publish(output, event_id, _Origin(time, message.partition, message.key, _trace(message)))
        return self._staged(outgoing)

    def _staged(self, outgoing: list[Outgoing]) -> list[Outgoing]:
        """Shows the outputs to the held views, so that the next input sees them; all of them or, after an error, none."""
        for view in self._held:
            for event in outgoing:
                if type(event.record) is view.kind:
                    view.apply(event.partition, event.record)
        return outgoing

    def _publish(self, record: Record, event_id: str, origin: _Origin) -> list[Outgoing]:
        """The event, and the manifest about it where one is due."""
        kind = type(record)
        if kind not in self._writable:
            raise DeclarationError(f"agent {self._agent.name!r} does not declare that it writes {kind.__name__}")
        event = self._outgoing(record, event_id, origin)
        attest = self._agent.attest.get(kind)
        if attest is None:
            return [event]
        about = Event(record, event_id, digest(event.headers, event.key, event.value), origin.trace)
        manifest = attest(origin.cause, about)
        manifest_id = tick_id(self._agent.name, event.partition, event_id, ManifestRequested.topic)
        return [event, self._outgoing(manifest, manifest_id, origin)]

    def _outgoing(self, record: Record, event_id: str, origin: _Origin) -> Outgoing:
        kind, key, value, partition = type(record), record.key, encode(record), origin.partition
        limit = self._limits[kind]
        if len(value) > limit:
            raise EventTooLargeError(f"a {kind.topic} event of {len(value):,} bytes is over the topic's limit of {limit:,}")
        if kind not in self._agent.same_partition and key != origin.key:
            partition = partition_of(key, self._partitions[kind.topic])
        return Outgoing(kind.topic, partition, key, value, headers(kind, event_id, self._source, origin.time, origin.trace), record)


def _records(outputs: Outputs) -> Iterable[Record]:
    if outputs is None:
        return ()
    return (outputs,) if isinstance(outputs, Record) else outputs


def _event(message: Incoming, record: Record) -> Event[Any]:
    found = digest(message.headers, message.key, message.value or b"")
    event_id = next(content for name, content in message.headers if name == "ce_id")
    try:
        return Event(record, event_id.decode(), found, _trace(message))
    except UnicodeDecodeError as error:
        raise UndecodableError(f"ce_id is not UTF-8: {event_id!r}") from error


def _trace(message: Incoming) -> str:
    for name, content in message.headers:
        if name == "traceparent":
            return content.decode("ascii", "replace")
    return ""
