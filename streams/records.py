"""Reading topics: any range of any topic, read committed, as raw messages or as typed records.

Offsets have gaps (transaction markers, compaction), so a range ends when the position has passed its end, whatever the last
record's offset was.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from schemas.record import Record
from schemas.topics import TOPICS
from streams.connection import ANSWER_SECONDS, connected, reader, unavailable
from streams.errors import TopicMismatchError
from streams.messages import Message, Received, Undecodable, typed
from streams.ranges import Position, Span, Spans, spans

R = TypeVar("R", bound=Record)

_POLL_SECONDS = 0.5


async def read(
    brokers: str,
    kind: type[R],
    start: Position = "beginning",
    stop: Position = "end",
    *,
    follow: bool = False,
    partitions: Collection[int] | None = None,
) -> AsyncGenerator[Received[R] | Undecodable, None]:
    """The records of a topic, in order within each partition; ends at the ends known at the start, or never with `follow`.

    Raises:
        BrokerUnavailableError: no broker answers, or none has answered for 10 s on the way.
        TopicMismatchError: the topic does not exist.
    """
    async with aclosing(messages(brokers, [kind.topic], start, stop, follow=follow, partitions=partitions)) as batches:
        async for batch in batches:
            for message in batch:
                yield typed(kind, message)


async def messages(
    brokers: str,
    topics: Iterable[str],
    start: Position = "beginning",
    stop: Position = "end",
    *,
    follow: bool = False,
    partitions: Collection[int] | None = None,
) -> AsyncGenerator[list[Message], None]:
    """Batches of raw messages of several topics, each batch from one partition; `read` says when it ends and what it raises."""
    topics = list(topics)
    await refuse_unknown(brokers, topics)
    async with connected(reader(brokers, topics), brokers) as consumer:
        ranges = await spans(consumer, brokers, start, None if follow else stop, partitions=partitions)
        async for batch in fetch(consumer, brokers, ranges):
            yield batch


async def tail(brokers: str, topic: str, count: int, *, follow: bool = False) -> AsyncGenerator[Message, None]:
    """The last `count` messages of a topic over all its partitions, by timestamp; with `follow`, then what comes.

    Raises:
        BrokerUnavailableError, TopicMismatchError: as `read`.
    """
    await refuse_unknown(brokers, [topic])
    async with connected(reader(brokers, [topic]), brokers) as consumer:
        whole = await spans(consumer, brokers, "beginning", "end")
        for message in await _last(consumer, brokers, whole, count):
            yield message
        if follow:
            ahead = {place: Span(span.stop or 0, None) for place, span in whole.items()}
            async for batch in fetch(consumer, brokers, ahead):
                for message in batch:
                    yield message


async def refuse_unknown(brokers: str, topics: Iterable[str]) -> None:
    """Looks for topics that are not the platform's own: a consumer would wait for them for seconds.

    Raises:
        TopicMismatchError: the broker does not have one of them.
    """
    foreign = set(topics) - TOPICS.keys()
    if not foreign:
        return
    async with connected(reader(brokers, ()), brokers) as consumer:
        missing = sorted(foreign - await consumer.topics())
    if missing:
        raise TopicMismatchError(f"the broker has no topic {missing[0]!r}; the platform's own are {', '.join(sorted(TOPICS))}")


async def _last(consumer: AIOKafkaConsumer, brokers: str, whole: Spans, count: int) -> list[Message]:
    reach = count
    while True:
        ranges = {place: Span(max(span.start, (span.stop or 0) - reach), span.stop) for place, span in whole.items()}
        found = [message async for batch in fetch(consumer, brokers, ranges) for message in batch]
        held = Counter(message.partition for message in found)
        if all(held[place[1]] >= count or span.start == whole[place].start for place, span in ranges.items()):
            return sorted(found, key=lambda message: message.timestamp_ms)[-count:] if count else []
        reach *= 4  # gaps in the offsets: look further back


async def fetch(consumer: AIOKafkaConsumer, brokers: str, ranges: Spans) -> AsyncGenerator[list[Message], None]:
    """Batches of the ranges' messages, each from one partition. Ranges without a stop never end.

    Raises:
        BrokerUnavailableError: nothing has come for 10 s although the ranges have not ended.
    """
    open_ranges = {TopicPartition(*place): span for place, span in ranges.items() if span.stop is None or span.start < span.stop}
    if not open_ranges:
        return
    consumer.unsubscribe()
    consumer.assign(list(open_ranges))
    for place, span in open_ranges.items():
        consumer.seek(place, span.start)
    clock = asyncio.get_running_loop().time
    alive, seen = clock(), -1
    while open_ranges:
        try:
            fetched = await consumer.getmany(timeout_ms=int(_POLL_SECONDS * 1000))
        except KafkaError as error:
            raise unavailable(brokers, error) from error
        for place, records in fetched.items():
            if place in open_ranges and (batch := _within(open_ranges[place], records)):
                yield batch
        positions = {place: await consumer.position(place) for place in open_ranges}
        for place, position in positions.items():
            stop = open_ranges[place].stop
            if stop is not None and position >= stop:
                del open_ranges[place]
                consumer.pause(place)
        if sum(positions.values()) != seen or all(span.stop is None for span in open_ranges.values()):
            alive, seen = clock(), sum(positions.values())
        elif clock() - alive > ANSWER_SECONDS:
            raise unavailable(brokers, f"nothing came for {ANSWER_SECONDS:.0f} s")


def _within(span: Span, records: Iterable[ConsumerRecord]) -> list[Message]:
    stop = span.stop
    return [
        Message(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers))
        for record in records
        if stop is None or record.offset < stop
    ]
