"""The topics on a broker: made as `schemas.topics` says, compared with it, and counted."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, TopicAlreadyExistsError, for_code

from schemas.topics import TOPICS, Topic
from streams.connection import ANSWER_SECONDS, connected, reader, unavailable
from streams.errors import StreamsError

logger = logging.getLogger(__name__)

_DAY_MS = 24 * 60 * 60 * 1000
_LOOK_SECONDS = 2.0
_MOST_COPIES = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that exists with another setting than ours."""

    topic: str
    setting: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"topic {self.topic} has {self.setting} = {self.found}, wanted is {self.wanted}; it was left as it is"


@dataclass(frozen=True, slots=True)
class TopicRow:
    """What stands in a topic.

    Attributes:
        offsets: committed offsets in it, all partitions together. Transactions' markers take offsets too.
        lag: group -> offsets that it has still to read, for each of the asked groups that reads the topic.
    """

    topic: str
    partitions: int
    offsets: int
    lag: Mapping[str, int]


def topic_settings(topic: Topic, retention_days: int) -> dict[str, str]:
    """The Kafka settings of a topic."""
    retention = {
        "kept": {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
        "setting": {"cleanup.policy": "delete", "retention.ms": str(retention_days * _DAY_MS)},
        "compact": {
            "cleanup.policy": "compact",
            # An executor reads the whole topic at its start: keep the part that is not compacted yet small.
            "min.cleanable.dirty.ratio": "0.2",
            "segment.bytes": str(32 * 1024 * 1024),
            "segment.ms": str(_DAY_MS),
        },
    }[topic.retention]
    return {**retention, "max.message.bytes": str(topic.max_bytes)}


async def ensure_topics(brokers: str, partitions: int, retention_days: int) -> list[Difference]:
    """Creates the topics that are missing; what exists with other settings is logged and returned, not changed.

    A topic gets three copies, or as many as there are brokers where these are fewer.

    Args:
        brokers: bootstrap addresses.
        partitions: of each topic.
        retention_days: for topics whose retention is a setting.

    Raises:
        BrokerUnavailableError: nobody answers.
        StreamsError: the broker refuses to create a topic, with its reason.
    """
    async with _admin(brokers) as admin:
        existing = {topic["topic"] for topic in await admin.describe_topics()}
        await _create(admin, [topic for topic in TOPICS.values() if topic.name not in existing], partitions, retention_days)
        await _led(admin)
        found = [topic for topic in TOPICS.values() if topic.name in existing]
        differences = await _compare(admin, found, partitions, retention_days)
    for difference in differences:
        logger.warning("%s", difference)
    return differences


async def topic_table(brokers: str, groups: Iterable[str] = ()) -> list[TopicRow]:
    """How much stands in each of our topics, and how far behind each group is.

    Raises:
        BrokerUnavailableError: nobody answers.
    """
    async with _admin(brokers) as admin:
        described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        committed = {group: await _committed(admin, group) for group in groups}
    places = {
        name: [TopicPartition(name, partition) for partition in range(described[name])] for name in TOPICS if name in described
    }
    async with connected(reader(brokers, ()), brokers) as consumer:
        try:
            everywhere = [place for group in places.values() for place in group]
            begins, ends = await consumer.beginning_offsets(everywhere), await consumer.end_offsets(everywhere)
            behind = {group: await _lag(consumer, offsets, begins, ends) for group, offsets in committed.items()}
        except KafkaError as error:
            raise unavailable(brokers, error) from error
    return [
        TopicRow(
            topic=name,
            partitions=len(held),
            offsets=sum(ends[place] - begins[place] for place in held),
            lag={
                group: sum(lag.get(place, 0) for place in held) for group, lag in behind.items() if not lag.keys().isdisjoint(held)
            },
        )
        for name, held in places.items()
    ]


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[Topic], partitions: int, retention_days: int) -> None:
    if not missing:
        return
    copies = min(_MOST_COPIES, len((await admin.describe_cluster())["brokers"]))
    answer = await admin.create_topics(
        [NewTopic(topic.name, partitions, copies, topic_configs=topic_settings(topic, retention_days)) for topic in missing]
    )
    for name, code, reason in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:  # somebody else was quicker
            raise StreamsError(f"the broker does not create the topic {name}: {reason or for_code(code).__name__}")


async def _led(admin: AIOKafkaAdminClient) -> None:
    """Waits until each partition has its leader, so that whoever comes next sees all topics."""
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            topics = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
            if all(name in topics and all(partition["leader"] >= 0 for partition in topics[name]) for name in TOPICS):
                return
            await asyncio.sleep(0.05)


async def _compare(admin: AIOKafkaAdminClient, topics: Sequence[Topic], partitions: int, retention_days: int) -> list[Difference]:
    if not topics:
        return []
    counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics])
    found = {name: {entry[0]: entry[1] for entry in entries} for answer in answers for _, _, _, name, entries in answer.resources}
    differences = []
    for topic in topics:
        wanted = {"partitions": str(partitions), **topic_settings(topic, retention_days)}
        has = {"partitions": str(counts[topic.name]), **found.get(topic.name, {})}
        differences += [
            Difference(topic.name, setting, value, str(has.get(setting)))
            for setting, value in wanted.items()
            if has.get(setting) != value
        ]
    return differences


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            offsets = await admin.list_consumer_group_offsets(group)
            return {place: at.offset for place, at in offsets.items() if at.offset >= 0}
        except GroupCoordinatorNotAvailableError:  # a fresh broker makes the topic of offsets when it is first asked for
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _lag(
    consumer: AIOKafkaConsumer,
    committed: Mapping[TopicPartition, int],
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Offsets behind, per partition; 0 where nothing but transactions' markers is left to read."""
    lag = {place: max(0, ends[place] - max(at, begins[place])) for place, at in committed.items() if place in ends}
    behind = [place for place, offsets in lag.items() if offsets]
    consumer.assign(behind)
    for place in behind:
        consumer.seek(place, max(committed[place], begins[place]))
    unread = set(behind)
    deadline = time.monotonic() + _LOOK_SECONDS
    while unread and time.monotonic() < deadline:
        unread -= set(await consumer.getmany(*unread, timeout_ms=100))
        passed = {place for place in unread if await consumer.position(place) >= ends[place]}
        lag.update(dict.fromkeys(passed, 0))
        unread -= passed
    return lag


@asynccontextmanager
async def _admin(brokers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=int(ANSWER_SECONDS * 1000))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await admin.start()
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise unavailable(brokers, error) from error
    finally:
        await admin.close()
