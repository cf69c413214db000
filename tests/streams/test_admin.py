"""Topics on a real broker: created as the table says, compared and never changed, counted past transactions' markers.

The oracle is another client: librdkafka's admin.
"""

import asyncio
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from schemas.topics import MAX_DERIVED_BYTES, TOPICS
from streams.admin import TopicRow, ensure_topics, topic_table
from streams.broker import LocalBroker, free_port
from streams.errors import BrokerUnavailableError

DAY_MS = 86_400_000


def _settings(broker: LocalBroker, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    [answer] = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in answer.result(10).items()}


def _partitions(broker: LocalBroker) -> dict[str, int]:
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in topics.items() if not name.startswith("__")}


async def test_every_topic_of_the_table_exists_with_its_partitions(broker: LocalBroker) -> None:
    found = _partitions(broker)  # other tests have topics of their own on the session's broker
    assert {topic: found.get(topic) for topic in TOPICS} == dict.fromkeys(TOPICS, 4)


@pytest.mark.parametrize(
    ("topic", "wanted"),
    [
        ("job.routed", {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(MAX_DERIVED_BYTES)}),
        ("threat.observed", {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}),
        ("job.status", {"cleanup.policy": "compact"}),
    ],
)
async def test_retention_and_size_are_those_of_the_table(broker: LocalBroker, topic: str, wanted: dict[str, str]) -> None:
    assert (_settings(broker, topic)).items() >= wanted.items()


async def test_topics_that_are_right_are_left_alone(broker: LocalBroker) -> None:
    assert await ensure_topics(broker.bootstrap, 4, retention_days=30) == []


async def test_two_at_once_create_each_topic_once(fresh_broker: LocalBroker) -> None:
    admin = AdminClient({"bootstrap.servers": fresh_broker.bootstrap})
    for deleted in admin.delete_topics(["job.cancel", "dead.letter"]).values():
        deleted.result(10)
    both = await asyncio.gather(*(ensure_topics(fresh_broker.bootstrap, 4, retention_days=30) for _ in range(2)))
    assert both == [[], []]
    assert (_partitions(fresh_broker)).items() >= {"job.cancel": 4, "dead.letter": 4}.items()


async def test_a_topic_with_other_settings_is_reported_and_not_changed(fresh_broker: LocalBroker) -> None:
    admin = AdminClient({"bootstrap.servers": fresh_broker.bootstrap})
    retention = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    altered = admin.incremental_alter_configs(
        [ConfigResource(ConfigResource.Type.TOPIC, "job.completed", incremental_configs=[retention])]
    )
    for done in (*altered.values(), *admin.create_partitions([NewPartitions("kms.audit", 6)]).values()):
        done.result(10)
    deadline = time.monotonic() + 10  # the broker takes up what its controller decided a moment later
    while _partitions(fresh_broker)["kms.audit"] != 6 or _settings(fresh_broker, "job.completed")["retention.ms"] != "1000":
        assert time.monotonic() < deadline
    differences = await ensure_topics(fresh_broker.bootstrap, 4, retention_days=30)
    said = {(difference.topic, difference.setting, difference.wanted, difference.found) for difference in differences}
    assert {("kms.audit", "partitions", "4", "6"), ("job.completed", "retention.ms", "-1", "1000")} <= said
    assert {topic for topic, *_ in said} == {"kms.audit", "job.completed"}
    assert (_partitions(fresh_broker))["kms.audit"] == 6
    assert (_settings(fresh_broker, "job.completed"))["retention.ms"] == "1000"


async def _row(broker: LocalBroker, topic: str, *groups: str) -> TopicRow:
    return next(row for row in await topic_table(broker.bootstrap, groups) if row.topic == topic)


async def _commit(broker: LocalBroker, group: str, offsets: dict[TopicPartition, int]) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    consumer.assign(list(offsets))
    await consumer.commit(offsets)
    await consumer.stop()


async def test_the_lag_is_what_a_group_has_still_to_read(fresh_broker: LocalBroker) -> None:
    group, place = f"lag-{uuid.uuid4()}", TopicPartition("em.measured", 2)
    producer = AIOKafkaProducer(bootstrap_servers=fresh_broker.bootstrap, transactional_id=group)
    await producer.start()
    async with producer.transaction():
        for number in range(10):
            await producer.send(place.topic, b"%d" % number, partition=place.partition)
    await producer.stop()
    await _commit(fresh_broker, group, {place: 4})
    row = await _row(fresh_broker, place.topic, group, "another")
    assert (row.partitions, row.offsets) == (4, 11)
    assert row.lag == {group: 7}, "6 records and the marker that ends their transaction"
    await _commit(fresh_broker, group, {place: 10})
    assert (await _row(fresh_broker, place.topic, group)).lag == {group: 0}, "a marker alone is no work"


async def test_a_broker_that_is_not_there_is_said() -> None:
    for asked in (ensure_topics(f"127.0.0.1:{free_port()}", 4, 30), topic_table(f"127.0.0.1:{free_port()}")):
        with pytest.raises(BrokerUnavailableError, match="quantumai up"):
            await asked
