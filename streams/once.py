"""Results of a scheduled run, published exactly once for its period, with their manifests.

The period's own transactional producer fences an earlier run of the same period that still lives, so that what stands in the
topics after `claim` is all there is: a run that was killed is taken up where its last transaction ended.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition

from schemas import cloudevents
from schemas.codec import encode
from schemas.manifests import ManifestRequested
from schemas.record import Record
from schemas.threats import ThreatAnalysed, ThreatScored
from streams.agent import Attest
from streams.connection import connected, reader
from streams.handling import Outgoing
from streams.messages import Message, Received
from streams.partitioning import partition_of
from streams.ranges import Position
from streams.records import read
from streams.transaction import Transactions

SOURCE = "/schedules/"


def scheduled(message: Message) -> bool:
    """Whether a scheduled run has published this."""
    return _source(message).startswith(SOURCE)


class Once:
    """One period's run, for `async with`.

    Args:
        brokers: bootstrap addresses.
        period: its name.
        since: from where on the topics may hold its results.
        attest: what makes the manifest of each type that is published.

    Raises:
        TransactionError, BrokerUnavailableError, TopicMismatchError: nobody answers, or the topics are not there.
    """

    def __init__(self, brokers: str, period: str, since: Position, attest: Mapping[type[Record], Attest]) -> None:
        self._brokers, self._period, self._since, self._attest = brokers, period, since, attest
        self._source = SOURCE + period
        self._producer = Transactions(brokers, f"schedule-{period}", TopicPartition(ThreatAnalysed.topic, 0))
        self._partitions: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        topics = [ManifestRequested.topic, *(kind.topic for kind in self._attest)]
        async with connected(reader(self._brokers, topics), self._brokers) as consumer:
            self._partitions = {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in topics}
        await self._producer.fence()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._producer.stop()

    async def done(self) -> ThreatAnalysed | None:
        """What the period's run said when it was over; None while it is not."""
        found = None
        async for event in read(self._brokers, ThreatAnalysed, self._since):
            if isinstance(event, Received) and event.record.period == self._period:
                found = event.record
        return found

    async def published(self) -> set[str]:
        """Ids of the security events about which this period has published a finding."""
        events = read(self._brokers, ThreatScored, self._since)
        return {event.record.event_id async for event in events if isinstance(event, Received) and _source(event) == self._source}

    async def publish(self, records: Sequence[Record]) -> None:
        """Records and their manifests, together or not at all. An id is made of period, topic and key, whoever publishes it.

        Raises:
            TransactionError: the outcome is unknown, or another run of this period has begun: start again, it resumes.
        """
        time = cloudevents.timestamp()
        outgoing = [each for record in records for each in self._attested(record, time)]
        await self._producer.commit(outgoing, {})

    def _attested(self, record: Record, time: str) -> tuple[Outgoing, Outgoing]:
        event = self._outgoing(record, record.key, time)
        event_id = self._event_id(record, record.key)
        about = cloudevents.Event(record, event_id, cloudevents.digest(event.headers, event.key, event.value))
        manifest = self._attest[type(record)](None, about)
        return event, self._outgoing(manifest, event_id.encode(), time)

    def _outgoing(self, record: Record, named: bytes, time: str) -> Outgoing:
        kind, key = type(record), record.key
        headers = cloudevents.headers(kind, self._event_id(record, named), self._source, time)
        return Outgoing(kind.topic, partition_of(key, self._partitions[kind.topic]), key, encode(record), headers, record)

    def _event_id(self, record: Record, named: bytes) -> str:
        return cloudevents.tick_id("schedule", 0, f"{self._period}/{record.topic}", named.decode())


def _source(message: Message) -> str:
    return next((value.decode("utf-8", "replace") for name, value in message.headers if name == "ce_source" and value), "")
