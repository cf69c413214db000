"""Dead letters: what could not be handled, and how to send it again just as it was."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from aiokafka.errors import KafkaError

from schemas.dead_letter import DeadLetter
from schemas.topics import TOPICS
from streams.connection import connected, unavailable, writer
from streams.errors import StreamsError
from streams.messages import Received
from streams.ranges import Position
from streams.records import read

RETRY_HEADER = "quantumai-retry-of"
"""Says which dead letter a message was retried from, as topic/partition/offset."""


class DeadLetterError(StreamsError):
    """A dead letter that is not there or cannot be sent again."""


def name(letter: Received[DeadLetter]) -> str:
    """What `find` finds it by: partition:offset."""
    return f"{letter.partition}:{letter.offset}"


async def dead_letters(
    brokers: str, start: Position = "beginning", stop: Position = "end", *, agent: str | None = None, topic: str | None = None
) -> AsyncGenerator[Received[DeadLetter], None]:
    """Dead letters in a range, of one agent or from one topic where asked for."""
    async with aclosing(read(brokers, DeadLetter, start, stop)) as events:
        async for event in events:
            if not isinstance(event, Received):
                continue
            if agent in (None, event.record.agent) and topic in (None, event.record.original_topic):
                yield event


async def find(brokers: str, wanted: str) -> Received[DeadLetter]:
    """The dead letter of that name.

    Raises:
        DeadLetterError: no such name, or nothing there.
    """
    partition, _, offset = wanted.partition(":")
    if not (partition.isdigit() and offset.isdigit()):
        raise DeadLetterError(f"{wanted!r} names no dead letter: say partition:offset, as `quantumai dead-letters list` does")
    at = int(offset)
    async with aclosing(read(brokers, DeadLetter, at, at + 1, partitions=[int(partition)])) as events:
        async for event in events:
            if isinstance(event, Received) and event.offset == at:
                return event
    raise DeadLetterError(f"there is no dead letter {wanted}: `quantumai dead-letters list` shows which there are")


async def retry(brokers: str, letters: Iterable[Received[DeadLetter]]) -> int:
    """Sends the original bytes, key and headers to where they came from, topic and partition; returns how many.

    Only `RETRY_HEADER` is added, so the event keeps its id and its digest. The dead letter itself stays: its topic is a log.

    Raises:
        DeadLetterError: one has neither key nor value, so Kafka clients cannot send it; or it came from no topic.
        BrokerUnavailableError: nobody answers.
    """
    chosen = list(letters)
    for letter in chosen:
        if letter.record.original_key is None and letter.record.original_value is None:
            raise DeadLetterError(f"dead letter {name(letter)} has neither key nor value: there is nothing to send again")
        if letter.record.original_topic not in TOPICS:
            raise DeadLetterError(f"dead letter {name(letter)} is a line of a feed: mend it and feed it with `quantumai feed`")
    async with connected(writer(brokers), brokers) as producer:
        try:
            await asyncio.gather(*[await producer.send(**_original(letter)) for letter in chosen])
        except KafkaError as error:
            raise unavailable(brokers, error) from error
    return len(chosen)


def _original(letter: Received[DeadLetter]) -> dict[str, object]:
    original = letter.record
    headers = [(header.key, header.value) for header in original.original_headers if header.key != RETRY_HEADER]
    return {
        "topic": original.original_topic,
        "partition": original.original_partition,
        "key": original.original_key,
        "value": original.original_value,
        "headers": [*headers, (RETRY_HEADER, letter.place.encode())],
    }
