"""Leaves the process when the group has lag and nothing moves: the cure for a group that stands still for ever.

A worker that joins while a broker still loads its logs can end with an empty assignment and, as the group's leader, starve
everybody. Nothing in the protocol notices; lag without progress does.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams import metrics
from streams.connection import connected, reader
from streams.errors import StreamsError

logger = logging.getLogger(__name__)

STALL_SECONDS = 12.0
ASK_SECONDS = 3.0


async def committed_offsets(brokers: str, group: str, sources: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """The group's committed offset of each partition that has one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=10_000)
    try:
        await admin.start()
        return await _committed(admin, group, sources)
    finally:
        await admin.close()


async def _committed(admin: AIOKafkaAdminClient, group: str, sources: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    async with asyncio.timeout(15):
        offsets = await admin.list_consumer_group_offsets(group, partitions=list(sources))
    return {source: found.offset for source, found in offsets.items() if found.offset >= 0}


class StalledError(StreamsError):
    """The group has lag and no progress, although this worker is idle; the process must end."""


class Watchdog:
    """Compares committed with end offsets, every few seconds, and keeps the lag metric.

    Args:
        brokers: bootstrap addresses.
        group: the consumer group.
        topics: what the group reads, with the number of partitions.
        mine: the partitions held here, and whether this worker is busy with one.
    """

    def __init__(
        self, brokers: str, group: str, topics: dict[str, int], mine: Callable[[], tuple[set[TopicPartition], bool]]
    ) -> None:
        self._brokers, self._group, self._mine = brokers, group, mine
        self._sources = [TopicPartition(topic, number) for topic, count in topics.items() for number in range(count)]
        self._seen: dict[TopicPartition, int] = {}
        self._since = time.monotonic()

    async def run(self) -> None:
        """Watches until cancelled.

        Raises:
            StalledError: lag without progress for `STALL_SECONDS`.
        """
        while True:
            try:
                await self._watch()
            except (KafkaError, StreamsError, OSError, TimeoutError) as error:
                if isinstance(error, StalledError):
                    raise
                logger.warning("watchdog: the broker does not answer (%s: %s)", type(error).__name__, error)
                self._progress()
                await asyncio.sleep(ASK_SECONDS)

    async def _watch(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._brokers, request_timeout_ms=10_000)
        await admin.start()
        try:
            async with connected(reader(self._brokers, ()), self._brokers) as consumer:
                while True:
                    await asyncio.sleep(ASK_SECONDS)
                    async with asyncio.timeout(15):
                        await self._look(admin, consumer)
        finally:
            await admin.close()

    async def _look(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
        committed = await _committed(admin, self._group, self._sources)
        ends = await consumer.end_offsets(self._sources)
        begins = await consumer.beginning_offsets(self._sources)
        at = {source: max(committed.get(source, 0), begins[source]) for source in self._sources}
        lag = {source: max(0, ends[source] - at[source]) for source in self._sources}
        held, busy = self._mine()
        for source in self._sources:
            self._publish(source, lag[source], source in held)
        topics_held = {source.topic for source in held}
        watched = {source for source in self._sources if source in held or source.topic not in topics_held}
        stuck = {source for source in watched if lag[source]}
        moved = any(at[source] != self._seen.get(source) for source in watched)
        self._seen = at
        if busy or not stuck or moved:
            self._progress()
        elif time.monotonic() - self._since > STALL_SECONDS:
            raise StalledError(
                f"no progress for {STALL_SECONDS:.0f} s with {sum(lag[source] for source in stuck)} events waiting: starting anew"
            )

    def _progress(self) -> None:
        self._since = time.monotonic()

    def _publish(self, source: TopicPartition, lag: int, held: bool) -> None:
        labels = (self._group, source.topic, str(source.partition))
        if held:
            metrics.LAG.labels(*labels).set(lag)
        elif labels in metrics.LAG._metrics:
            metrics.LAG.remove(*labels)
