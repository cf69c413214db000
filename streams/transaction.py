"""One Kafka transaction: a batch's outputs and its input offsets, together or not at all.

A transaction that fails has an unknown outcome (the commit may have reached the broker). Going on would lose or double
events, so `TransactionError` ends the process: crash-only, and the supervisor starts a new worker, which fences this one.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.errors import StreamsError
from streams.handling import Outgoing

COMMIT_SECONDS = 20.0
"""A commit that takes longer counts as failed; a broker that restarts is back within a few seconds."""

FENCE_SECONDS = 30.0
"""How long starting a producer may wait for an earlier transaction of the same id to end."""

TRANSACTION_TIMEOUT_SECONDS = 10
"""After which the broker aborts a transaction whose worker is gone, and its partitions can be read on."""

_BATCH_BYTES = 512 * 1024

_RETRY_MS = 20
"""A broker that still writes a transaction's end refuses the next one's beginning: too short a time for the client's own 100 ms."""


class TransactionError(StreamsError):
    """A transaction's outcome is unknown; the process must end."""


class Transactions:
    """The transactional producer of one input partition; starting it fences every earlier one of the same id."""

    def __init__(self, brokers: str, group: str, partition: TopicPartition) -> None:
        self._group = group
        self._producer = AIOKafkaProducer(
            bootstrap_servers=brokers,
            transactional_id=f"{group}-{partition.topic}-{partition.partition}",
            transaction_timeout_ms=TRANSACTION_TIMEOUT_SECONDS * 1000,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=int(COMMIT_SECONDS * 1000),
            retry_backoff_ms=_RETRY_MS,
        )
        self._begun: asyncio.Task[None] | None = None

    async def fence(self) -> None:
        """Starts the producer: any open transaction of this id is aborted, or completed if it was committing.

        Raises:
            TransactionError: the broker did not answer in time.
        """
        try:
            await asyncio.wait_for(self._producer.start(), FENCE_SECONDS)
        except Exception as error:
            raise TransactionError(f"the partition's producer could not be started: {type(error).__name__}: {error}") from error

    def begin(self) -> None:
        """Begins a transaction ahead of its `commit`, which must commit offsets and come soon: the broker aborts it after a time.

        What the broker still has to do for the one before it, and the group's part in this one, then hold nothing up. What goes
        wrong is for `commit` to say.
        """
        if self._begun is None:
            self._begun = asyncio.create_task(self._begin())

    async def _begin(self) -> None:
        await self._producer.begin_transaction()
        while not await self._producer._sender._do_add_offsets_to_txn(self._group):
            pass

    async def commit(self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, int]) -> None:
        """Publishes `outgoing` and commits `offsets` (next offset to read) in one transaction.

        Raises:
            TransactionError: the outcome is unknown.
        """
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._commit(outgoing, offsets)
        except Exception as error:
            raise TransactionError(f"a transaction's outcome is unknown: {type(error).__name__}: {error}") from error

    async def _commit(self, outgoing: Sequence[Outgoing], offsets: Mapping[TopicPartition, int]) -> None:
        producer = self._producer
        if self._begun is None:
            await producer.begin_transaction()
        else:
            await self._begun
            self._begun = None
        deliveries = [
            await producer.send_batch(batch, topic, partition=partition)
            for (topic, partition), messages in _by_partition(outgoing).items()
            for batch in self._batches(messages)
        ]
        await asyncio.gather(*deliveries)
        if offsets:  # only now: a broker that is busy with the group's part of a transaction refuses its records, for a back-off
            await producer.send_offsets_to_transaction(dict(offsets), self._group)
        await producer.commit_transaction()

    def _batches(self, messages: Sequence[Outgoing]) -> list[BatchBuilder]:
        """Whole record batches: building them here costs a third of handing over message by message."""
        batch = self._producer.create_batch()
        batches = [batch]
        for message in messages:
            while batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers) is None:
                batch = self._producer.create_batch()
                batches.append(batch)
        for full in batches:
            full.close()
        return batches

    async def stop(self, timeout: float = 5.0) -> None:
        """Closes the producer; a broker that is gone is not waited for."""
        if self._begun is not None:
            self._begun.cancel()
        with contextlib.suppress(Exception):  # it is being thrown away, and whoever comes next fences it
            await asyncio.wait_for(self._producer.stop(), timeout)


def _by_partition(outgoing: Sequence[Outgoing]) -> dict[tuple[str, int], list[Outgoing]]:
    grouped: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
    for message in outgoing:
        grouped[message.topic, message.partition].append(message)
    return grouped
