"""The last checkpoint of every log, from the topics."""

import asyncio

from schemas.manifests import LogCheckpoint
from streams.connection import connected, reader
from streams.errors import StreamsError
from streams.restore import restore
from streams.views import LastHeld


def heads(brokers: str) -> list[LogCheckpoint]:
    """One for each partition that has any.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    return asyncio.run(_heads(brokers))


async def _heads(brokers: str) -> list[LogCheckpoint]:
    view = LastHeld(LogCheckpoint)
    async with connected(reader(brokers, [LogCheckpoint.topic]), brokers) as consumer:
        partitions = consumer.partitions_for_topic(LogCheckpoint.topic) or set()
    for partition in sorted(partitions):
        await restore(brokers, [view], partition)
    return sorted(view.records(), key=lambda head: head.log_id)


def heads_if_any(brokers: str) -> list[LogCheckpoint] | None:
    """The same; None where no broker of ours answers."""
    try:
        return heads(brokers)
    except StreamsError:
        return None
