"""Ranges of a topic: what two positions, times or offsets, mean in offsets of each partition.

A range is contiguous in offsets: a time stands for the first record stamped then or later.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.connection import unavailable
from streams.errors import StreamsError, TopicMismatchError

Position: TypeAlias = datetime | int | Literal["beginning", "end"]
"""Where to start or stop: a time, an offset of every partition, or an end of the topic."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of offsets of one partition: from `start` up to but without `stop`; None = for ever."""

    start: int
    stop: int | None


Spans: TypeAlias = Mapping[tuple[str, int], Span]
"""(topic, partition) -> range."""


async def spans(
    consumer: AIOKafkaConsumer,
    brokers: str,
    start: Position,
    stop: Position | None,
    *,
    partitions: Collection[int] | None = None,
) -> dict[tuple[str, int], Span]:
    """What two positions mean now in every partition that the consumer holds; `stop` None = for ever. Empty ranges are left in.

    Raises:
        TopicMismatchError: one of the `partitions` does not exist.
        StreamsError: a time without a time zone.
        BrokerUnavailableError: the broker does not say.
    """
    places = _places(consumer, partitions)
    try:
        ends = await consumer.end_offsets(places)
        stops = ends if stop is None else await _resolve(consumer, places, stop, ends)
        starts = await _resolve(consumer, places, start, ends)
    except KafkaError as error:
        raise unavailable(brokers, error) from error
    return {(place.topic, place.partition): Span(starts[place], None if stop is None else stops[place]) for place in places}


async def _resolve(
    consumer: AIOKafkaConsumer, places: Sequence[TopicPartition], position: Position, ends: Mapping[TopicPartition, int]
) -> Mapping[TopicPartition, int]:
    if position == "end":
        return ends
    if isinstance(position, datetime):
        if position.tzinfo is None:
            raise StreamsError(f"the time {position.isoformat()} has no time zone: add one, for example +00:00")
        stamp = max(0, int(position.timestamp() * 1000))  # nothing is older than 1970, and Kafka asks for no less
        found = await consumer.offsets_for_times(dict.fromkeys(places, stamp))
        return {place: ends[place] if at is None else min(at.offset, ends[place]) for place, at in found.items()}
    beginnings: Mapping[TopicPartition, int] = await consumer.beginning_offsets(places)
    if isinstance(position, int):
        return {place: min(max(position, beginnings[place]), ends[place]) for place in places}
    return beginnings


def _places(consumer: AIOKafkaConsumer, partitions: Collection[int] | None) -> list[TopicPartition]:
    held = sorted(consumer.assignment())
    if partitions is None:
        return held
    unknown = set(partitions) - {place.partition for place in held}
    if unknown:
        count = len({place.partition for place in held})
        raise TopicMismatchError(f"there is no partition {min(unknown)}: the topic has the partitions 0 to {count - 1}")
    return [place for place in held if place.partition in partitions]
