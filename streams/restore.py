"""Filling views from their topics: once to the end for what a partition's owner holds, and for ever for what is followed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.codec import decode
from schemas.errors import InputError
from schemas.record import Record
from streams.connection import connected, reader
from streams.views import Held, HeldByKey, LastHeld, LatestByKey, View

R = TypeVar("R", bound=Record)

logger = logging.getLogger(__name__)

_TAIL_RECORDS = 64


class Follower:
    """Keeps `LatestByKey` views complete: reads their topics from the beginning and goes on reading."""

    def __init__(self, brokers: str, views: Sequence[LatestByKey[Any]]) -> None:
        self._brokers = brokers
        self._views = {view.kind.topic: view for view in views}
        self.complete = asyncio.Event()

    async def run(self) -> None:
        """Follows until cancelled; `complete` is set once everything committed before the start has been read."""
        if not self._views:
            self.complete.set()
            return
        async with connected(reader(self._brokers, self._views), self._brokers) as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while True:
                await self._take(consumer)
                if not self.complete.is_set() and await _reached(consumer, ends):
                    self.complete.set()

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        for partition, messages in (await consumer.getmany(timeout_ms=200)).items():
            view = self._views[partition.topic]
            for message in messages:
                if (message.key or b"").startswith(view.prefix):
                    _take(view, message, view.apply)


async def restore(brokers: str, views: Iterable[Held[Any]], partition: int) -> None:
    """Fills the held views of one partition from the broker; call it after the partition's producer has been fenced."""
    for view in views:
        view.assign(partition)
        async with connected(reader(brokers, ()), brokers) as consumer:
            await _RESTORERS[type(view)](consumer, view, TopicPartition(view.kind.topic, partition))


async def _restore_all(consumer: AIOKafkaConsumer, view: HeldByKey[Any], source: TopicPartition) -> None:
    consumer.assign([source])
    await consumer.seek_to_beginning(source)
    await _read_to_end(consumer, source, lambda message: _take(view, message, partial(view.apply, source.partition)))


async def _restore_last(consumer: AIOKafkaConsumer, view: LastHeld[Any], source: TopicPartition) -> None:
    """Reads the tail, and a longer one as long as it holds no record: control records and aborted ones take offsets too.

    A record that cannot be read ends the worker: going on from an older one would fork what the partition's owner writes.
    """
    consumer.assign([source])
    begin = (await consumer.beginning_offsets([source]))[source]
    end = (await consumer.end_offsets([source]))[source]
    tail = _TAIL_RECORDS
    while view.last(source.partition) is None and end > begin:
        start = max(begin, end - tail)
        consumer.seek(source, start)
        await _read_to_end(consumer, source, lambda message: view.apply(source.partition, decode(view.kind, message.value)))
        if start == begin:
            return
        tail *= 8


async def _read_to_end(consumer: AIOKafkaConsumer, source: TopicPartition, take: Callable[[Any], None]) -> None:
    ends = await consumer.end_offsets([source])
    while not await _reached(consumer, ends):
        for messages in (await consumer.getmany(timeout_ms=200)).values():
            for message in messages:
                take(message)


def _take(view: View[R], message: Any, apply: Callable[[R], None]) -> None:
    """Applies the message; one that cannot be read is passed over."""
    try:
        apply(decode(view.kind, message.value))
    except InputError as error:
        logger.warning("view of %s: record %d of partition %d is passed over: %s", *_where(message), error)


_RESTORERS: Mapping[type, Callable[..., Awaitable[None]]] = {HeldByKey: _restore_all, LastHeld: _restore_last}


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    positions = [(await consumer.position(partition), end) for partition, end in ends.items()]
    return all(position >= end for position, end in positions)


def _where(message: Any) -> tuple[str, int, int]:
    return message.topic, message.offset, message.partition
