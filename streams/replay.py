"""Replaying a range of a topic into another topic: the original bytes, keys, headers and timestamps."""

import asyncio
from contextlib import aclosing
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code

from schemas.topics import MAX_DERIVED_BYTES, TOPICS
from streams.connection import connected, reader, unavailable, writer
from streams.errors import StreamsError
from streams.messages import Message
from streams.ranges import Position, spans
from streams.records import fetch, refuse_unknown


class ReplayError(StreamsError):
    """A replay that would do harm."""


async def replay(brokers: str, topic: str, into: str, start: Position = "beginning", stop: Position = "end") -> int:
    """Copies a range of `topic` to the end of `into`, partition by partition in order; returns how many messages.

    `into` is made when it is missing, with as many partitions.

    Raises:
        ReplayError: `into` is one of the platform's topics (each holds one record type, and agents would act on it again), or
            Kafka's own; or it takes no messages of this size.
        BrokerUnavailableError, TopicMismatchError: as `streams.records.read`.
    """
    if into == topic:
        raise ReplayError(f"{topic} would be replayed into itself, and all that read it would act twice: name another topic")
    if into.startswith("__"):
        raise ReplayError(f"{into} is Kafka's own, or would look like it: name a topic of yours")
    if into in TOPICS:
        raise ReplayError(f"{into} holds {TOPICS[into].record.__name__} records of the platform's own: name a topic of yours")
    await refuse_unknown(brokers, [topic])
    async with connected(reader(brokers, [topic]), brokers) as consumer:
        ranges = await spans(consumer, brokers, start, stop)
        partitions = await _make(brokers, into, len(ranges))
        async with connected(writer(brokers), brokers) as producer:
            count = 0
            async with aclosing(fetch(consumer, brokers, ranges)) as batches:
                async for batch in batches:
                    try:
                        await asyncio.gather(*[await producer.send(**_copy(message, into, partitions)) for message in batch])
                    except KafkaConnectionError as error:
                        raise unavailable(brokers, error) from error
                    except KafkaError as error:
                        raise ReplayError(f"{into} does not take a message of {topic} ({type(error).__name__})") from error
                    count += len(batch)
    return count


def _copy(message: Message, into: str, partitions: int) -> dict[str, Any]:
    if message.key is None and message.value is None:
        raise ReplayError(f"{message.place} has neither key nor value, so Kafka clients cannot send it: replay around it")
    return {
        "topic": into,
        "value": message.value,
        "key": message.key,
        "partition": message.partition if message.partition < partitions else None,
        "timestamp_ms": message.timestamp_ms,
        "headers": list(message.headers),
    }


async def _make(brokers: str, topic: str, partitions: int) -> int:
    """Makes the topic if it is missing; returns how many partitions it has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    try:
        await admin.start()
        known = {described["topic"]: len(described["partitions"]) for described in await admin.describe_topics()}
        if topic in known:
            return known[topic]
        # its records keep their old timestamps: with the broker's default retention they would be deleted at once
        settings = {"retention.ms": "-1", "max.message.bytes": str(MAX_DERIVED_BYTES)}
        answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
        for name, code, reason in answer.topic_errors:
            if code:
                raise ReplayError(f"the broker does not create the topic {name}: {reason or for_code(code).__name__}")
        return partitions
    except KafkaError as error:
        raise unavailable(brokers, error) from error
    finally:
        await admin.close()
