"""Feeds into topics: the events of a batch of lines and the position behind them, in one Kafka transaction.

Kafka holds the position, so that events and position cannot disagree, whatever is killed; a file beside the feed could. Each
stream has a transactional producer of its own: who takes a stream over fences whoever fed it before, and reads its position then.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from aiokafka import TopicPartition

from schemas import cloudevents
from schemas.codec import encode
from schemas.dead_letter import DeadLetter
from schemas.record import Record
from schemas.threats import FeedPosition, ThreatObserved
from streams.connection import connected, reader
from streams.handling import Outgoing
from streams.messages import Received
from streams.partitioning import partition_of
from streams.ranges import Position
from streams.records import read
from streams.transaction import Transactions

SOURCE = "/feeds"


class Placed(Protocol):
    """A line with its place; see `threat.feeds.lines.Line`."""

    @property
    def offset(self) -> int:
        """Of its first byte in the stream."""

    @property
    def content(self) -> bytes:
        """The bytes."""


class Feeding:
    """Publishes what lines become.

    Args:
        brokers: bootstrap addresses.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producers: dict[str, Transactions] = {}
        self._partitions: dict[str, int] = {}

    async def claim(self, heads: Iterable[str], start: Position = "beginning") -> Mapping[str, FeedPosition]:
        """Takes streams over from whoever fed them; returns how far each known stream has been read.

        Args:
            heads: of the streams.
            start: from when on positions are looked for.

        Raises:
            TransactionError, BrokerUnavailableError, TopicMismatchError: nobody answers, or the topics are not there.
        """
        if not self._partitions:
            await self._look()
        for head in set(heads) - self._producers.keys():
            producer = Transactions(self._brokers, f"feed-{head}", TopicPartition(FeedPosition.topic, 0))
            await producer.fence()
            self._producers[head] = producer
        positions = [event async for event in read(self._brokers, FeedPosition, start) if isinstance(event, Received)]
        return {event.record.feed: event.record for event in positions}

    async def publish(self, head: str, answers: Sequence[tuple[Placed, Record]], position: FeedPosition) -> None:
        """Events, dead letters and the position behind them, together or not at all.

        Raises:
            TransactionError: the outcome is unknown, or somebody else feeds this stream now: start again, it resumes.
        """
        time = cloudevents.timestamp()
        feed = position.feed
        outgoing = [self._outgoing(record, _event_id(record, line, feed), time) for line, record in answers]
        at = cloudevents.line_id(f"{feed}/position/{position.offset}/{position.unfinished}", b"")
        await self._producers[head].commit([*outgoing, self._outgoing(position, at, time)], {})

    async def keep(self, heads: Collection[str]) -> None:
        """Gives up the streams that are not among these any more."""
        for head in self._producers.keys() - set(heads):
            await self._producers.pop(head).stop()

    async def close(self) -> None:
        """Gives all streams up."""
        await self.keep(())

    async def _look(self) -> None:
        kinds = (ThreatObserved, DeadLetter, FeedPosition)
        async with connected(reader(self._brokers, [kind.topic for kind in kinds]), self._brokers) as consumer:
            self._partitions = {kind.topic: len(consumer.partitions_for_topic(kind.topic) or ()) for kind in kinds}

    def _outgoing(self, record: Record, event_id: str, time: str) -> Outgoing:
        kind, key = type(record), record.key
        partition = partition_of(key, self._partitions[kind.topic])
        return Outgoing(kind.topic, partition, key, encode(record), cloudevents.headers(kind, event_id, SOURCE, time), record)


def _event_id(record: Record, line: Placed, feed: str) -> str:
    """The event's own id, which the line made; of a dead letter, made as that one is."""
    if isinstance(record, ThreatObserved):
        return record.event_id
    return cloudevents.line_id(f"{feed}/{line.offset}/{record.topic}", line.content)
