"""Opening and closing Kafka clients so that a broker that is down ends in one sentence, soon."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from schemas.topics import MAX_DERIVED_BYTES
from streams.errors import BrokerUnavailableError, TopicMismatchError

ANSWER_SECONDS = 10.0
"""How long a broker may be silent before it counts as down; aiokafka alone would wait 40 s, or for ever."""

_CLOSE_SECONDS = 2.0
_LARGEST_REQUEST = MAX_DERIVED_BYTES + 64 * 1024


class Connection(Protocol):
    """What an aiokafka producer, consumer or admin client has in common."""

    async def start(self) -> None:
        """Connects."""

    async def stop(self) -> None:
        """Closes the connections."""


C = TypeVar("C", bound=Connection)


def unavailable(brokers: str, cause: BaseException | str) -> BrokerUnavailableError:
    """The one sentence about a broker that does not answer."""
    if isinstance(cause, KafkaConnectionError):
        why = "it cannot be reached"
    elif isinstance(cause, TimeoutError):
        why = f"silent for {ANSWER_SECONDS:.0f} s"
    else:
        why = str(cause) or type(cause).__name__
    return BrokerUnavailableError(
        f"no Kafka broker answers at {brokers} ({why}): start the local platform with `quantumai up`, or set QUANTUMAI_BROKERS"
    )


async def connect(client: C, brokers: str) -> C:
    """Starts the client.

    Raises:
        BrokerUnavailableError: nobody answers within `ANSWER_SECONDS`.
        TopicMismatchError: a topic that the client reads does not exist.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.start()
    except UnknownTopicOrPartitionError as error:
        await close(client)
        raise TopicMismatchError(f"the broker at {brokers} lacks a topic of ours: `quantumai up` creates them") from error
    except (KafkaError, OSError, TimeoutError) as error:
        await close(client)
        raise unavailable(brokers, error) from error
    return client


async def close(client: Connection) -> None:
    """Stops the client, whether or not its broker is still there; what a producer could not deliver by then is given up."""
    await asyncio.sleep(0)  # tasks that have not had their first turn would raise CancelledError in stop()
    stopping = asyncio.create_task(client.stop())
    await asyncio.wait([stopping], timeout=_CLOSE_SECONDS)
    if stopping.done() and not stopping.cancelled():
        return stopping.result()
    # Without a broker, aiokafka's stop() waits for deliveries for ever, or is ended by the cancellation of its own tasks.
    stopping.cancel()
    if isinstance(client, AIOKafkaProducer):
        await client._sender.close()
        await client.client.close()
    elif isinstance(client, AIOKafkaConsumer):
        await client._client.close()
    return None


@asynccontextmanager
async def connected(client: C, brokers: str) -> AsyncIterator[C]:
    """The client, started on entry and stopped on exit; raises as `connect`."""
    await connect(client, brokers)
    try:
        yield client
    finally:
        await close(client)


def reader(brokers: str, topics: Iterable[str]) -> AIOKafkaConsumer:
    """A consumer without a group that reads committed records only. Once started it holds all partitions of the topics."""
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=brokers,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=_LARGEST_REQUEST,
        request_timeout_ms=int(ANSWER_SECONDS * 800),  # it waits so long for a missing topic, too: less than we wait for it
    )


def writer(brokers: str) -> AIOKafkaProducer:
    """An idempotent producer: what it acknowledges is on the broker once, and in order."""
    return AIOKafkaProducer(
        bootstrap_servers=brokers,
        enable_idempotence=True,
        acks="all",
        max_request_size=_LARGEST_REQUEST,
        request_timeout_ms=int(ANSWER_SECONDS * 1000),
    )
