"""Reading ranges of topics: every offset gap, every kind of position, and what cannot be decoded."""

import asyncio
import time
import uuid
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer
from fake_pipeline import job_fields, pipeline, routed

from schemas import cloudevents
from schemas.codec import encode
from schemas.errors import UndecodableError
from schemas.jobs import JobRequested, JobRouted
from streams.connection import connected, reader
from streams.errors import BrokerUnavailableError, StreamsError, TopicMismatchError
from streams.messages import Received, Undecodable, kind_of
from streams.records import messages, read, tail


@pytest.fixture
async def topic(broker):
    """An empty topic of its own, three partitions."""
    name = f"records-{uuid.uuid4()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 3, 1)])
    await admin.close()
    return name


async def _all(*arguments, **options):
    return [message async for batch in messages(*arguments, **options) for message in batch]


async def test_a_range_that_ends_with_transaction_markers_ends(broker, topic):
    """The last offset is a marker that no record ever has; aborted records leave more of them."""
    async with pipeline(broker.bootstrap) as agents:
        for number in range(20):
            await agents.raw(topic, b"k", b"%d" % number, partition=number % 3)
        await agents.producer.begin_transaction()
        await agents.producer.send(topic, b"never", partition=0)
        await agents.producer.flush()
        await agents.producer.abort_transaction()
    async with asyncio.timeout(10):
        found = await _all(broker.bootstrap, [topic])
    assert sorted(int(message.value) for message in found) == list(range(20))
    for partition in range(3):
        offsets = [message.offset for message in found if message.partition == partition]
        assert offsets == list(range(0, 2 * len(offsets), 2))  # every other one is a marker


async def test_a_topic_of_nothing_but_aborted_records_is_empty_and_ends(broker, topic):
    async with pipeline(broker.bootstrap) as agents:
        await agents.producer.begin_transaction()
        await agents.producer.send(topic, b"never", partition=1)
        await agents.producer.flush()
        await agents.producer.abort_transaction()
    async with asyncio.timeout(10):
        assert await _all(broker.bootstrap, [topic]) == []
        assert [message async for message in tail(broker.bootstrap, topic, 5)] == []


async def test_what_a_transaction_still_open_has_written_is_not_waited_for(broker, topic):
    async with pipeline(broker.bootstrap) as agents:
        await agents.raw(topic, b"k", b"before", partition=0)
        await agents.producer.begin_transaction()
        await agents.producer.send(topic, b"open", partition=0)
        await agents.producer.flush()
        async with asyncio.timeout(8):
            assert [message.value for message in await _all(broker.bootstrap, [topic])] == [b"before"]
        await agents.producer.abort_transaction()


async def test_what_comes_after_the_start_is_left_for_the_next_read(broker, topic):
    async with pipeline(broker.bootstrap) as agents:
        for number in range(5):
            await agents.raw(topic, b"k", b"%d" % number, partition=0)
        found = []
        async with aclosing(messages(broker.bootstrap, [topic])) as batches:
            async for batch in batches:
                await agents.raw(topic, b"k", b"late", partition=0)
                found += batch
    assert [message.value for message in found] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_time_stands_for_the_first_record_stamped_then_or_later(broker, topic):
    started = datetime(2026, 1, 1, tzinfo=UTC)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for minute in range(60):
        stamp = int((started + timedelta(minutes=minute)).timestamp() * 1000)
        producer.produce(topic, b"%d" % minute, partition=minute % 3, timestamp=stamp)
    producer.flush(10)

    async def between(start, stop):
        return sorted(int(message.value) for message in await _all(broker.bootstrap, [topic], start, stop))

    minutes = [started + timedelta(minutes=minute) for minute in range(61)]
    assert await between(minutes[10], minutes[20]) == list(range(10, 20))
    assert await between("beginning", minutes[5]) == list(range(5))
    assert await between(datetime(1, 1, 1, tzinfo=UTC), minutes[5]) == list(range(5))
    assert await between("beginning", datetime(1960, 1, 1, tzinfo=UTC)) == []
    assert await between(minutes[55] - timedelta(seconds=1), "end") == list(range(55, 60))
    assert await between(minutes[60], "end") == []
    assert await between(minutes[20], minutes[10]) == []
    [first] = await _all(broker.bootstrap, [topic], minutes[7], minutes[8])
    assert (first.timestamp, first.place) == (minutes[7], f"{topic}/1/2")
    with pytest.raises(StreamsError, match="has no time zone"):
        await between(datetime(2026, 1, 1), "end")  # noqa: DTZ001 - what is refused


async def test_offsets_are_cut_to_what_there_is(broker, topic):
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(10):
        producer.produce(topic, b"%d" % number, partition=1)
    producer.flush(10)

    async def between(start, stop, **options):
        return [int(message.value) for message in await _all(broker.bootstrap, [topic], start, stop, **options)]

    assert await between(3, 6) == [3, 4, 5]
    assert await between(8, 999) == [8, 9]
    assert await between(999, "end") == []
    assert await between(0, "end", partitions=[1]) == list(range(10))
    assert await between(0, "end", partitions=[0]) == []
    with pytest.raises(TopicMismatchError, match="no partition 7: the topic has the partitions 0 to 2"):
        await between(0, "end", partitions=[7])


async def test_following_goes_on_with_what_comes(broker, topic):
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, b"0", partition=2)
    producer.flush(10)
    found = []
    async with asyncio.timeout(15), aclosing(messages(broker.bootstrap, [topic], follow=True)) as batches:
        async for batch in batches:
            found += [int(message.value) for message in batch]
            if len(found) == 5:
                break
            producer.produce(topic, b"%d" % (found[-1] + 1), partition=found[-1] % 3)
            producer.flush(10)
    assert found == [0, 1, 2, 3, 4]


async def test_the_tail_is_the_newest_over_all_partitions_whatever_the_gaps(broker, topic):
    async with pipeline(broker.bootstrap) as agents:
        for number in range(30):
            await agents.raw(topic, b"k", b"%d" % number, partition=number % 2)
    last = [int(message.value) async for message in tail(broker.bootstrap, topic, 7)]
    assert last == list(range(23, 30))
    assert len([message async for message in tail(broker.bootstrap, topic, 100)]) == 30
    assert [message async for message in tail(broker.bootstrap, topic, 0)] == []


async def test_the_tail_goes_on_without_a_gap_when_it_follows(broker, topic):
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(3):
        producer.produce(topic, b"%d" % number, partition=0)
    producer.flush(10)
    found = []
    async with asyncio.timeout(15), aclosing(tail(broker.bootstrap, topic, 2, follow=True)) as last:
        async for message in last:
            found.append(int(message.value))
            if found[-1] < 5:
                producer.produce(topic, b"%d" % (found[-1] + 3), partition=0)
                producer.flush(10)
            else:
                break
    assert found == [1, 2, 4, 5]


async def test_a_record_comes_with_its_exact_bytes_and_what_makes_it_an_event(broker):
    job = JobRequested(**job_fields(job_id=f"exact-{uuid.uuid4()}"))
    record = routed(job)
    headers = cloudevents.headers(JobRouted, "e-1", "/agents/fake", cloudevents.timestamp())
    async with pipeline(broker.bootstrap) as agents:
        sent = await agents.raw("job.routed", record.key, encode(record), headers)
    [event] = [e async for e in read(broker.bootstrap, JobRouted, sent.offset, sent.offset + 1, partitions=[sent.partition])]
    assert isinstance(event, Received)
    assert (event.record, event.event_id, event.key, event.value) == (record, "e-1", record.key, encode(record))
    assert event.headers == tuple(headers)
    assert event.digest == cloudevents.digest(headers, record.key, encode(record))
    assert event.timestamp_ms == sent.timestamp


@pytest.mark.parametrize(
    ("value", "headers", "why"),
    [
        (b"\xff" * 40, [("ce_id", b"e")], "not Avro single-object encoding"),
        (b"\xc3\x01" + b"\x07" * 40, [("ce_id", b"e")], "no schema of this topic has the fingerprint"),
        (None, [("ce_id", b"e")], "not Avro single-object encoding"),
        ("cut", [("ce_id", b"e")], "the Avro body is broken"),
        ("whole", [], "the header ce_id is missing"),
    ],
)
async def test_what_cannot_be_decoded_is_seen_and_does_not_stop_the_rest(broker, value, headers, why):
    whole = encode(routed(JobRequested(**job_fields(job_id="broken"))))
    value = {"cut": whole[:-9], "whole": whole}.get(value, value) if isinstance(value, str) else value
    good = cloudevents.headers(JobRouted, "e-2", "/agents/fake", cloudevents.timestamp())
    async with pipeline(broker.bootstrap) as agents:
        first = await agents.raw("job.routed", b"broken", value, headers)
        second = await agents.raw("job.routed", b"broken", whole, good)
    events = [e async for e in read(broker.bootstrap, JobRouted, first.offset, second.offset + 1, partitions=[first.partition])]
    broken, fine = events
    assert isinstance(broken, Undecodable)
    assert isinstance(fine, Received)
    assert why in broken.reason
    assert (broken.key, broken.value, broken.headers) == (b"broken", value, tuple(headers))
    if value is None:
        with pytest.raises(UndecodableError, match="tombstone"):
            broken.digest  # noqa: B018 - it raises


async def test_topics_that_are_not_there_are_named(broker):
    with pytest.raises(TopicMismatchError, match=r"has no topic .no\.such\.topic.; the platform's own are calibration"):
        await _all(broker.bootstrap, ["no.such.topic"])
    with pytest.raises(TopicMismatchError, match=r"no topic is called 'nothing'; there are calibration.updated"):
        kind_of("nothing")


async def test_a_broker_that_dies_midway_ends_the_read(fresh_broker, monkeypatch):
    monkeypatch.setattr("streams.records.ANSWER_SECONDS", 2.0)
    producer = Producer({"bootstrap.servers": fresh_broker.bootstrap})
    for _ in range(400):
        producer.produce("threat.observed", b"x" * 60_000, partition=0)
    producer.flush(20)
    count, started = 0, time.monotonic()
    with pytest.raises(BrokerUnavailableError, match="nothing came for 2 s"):
        async with aclosing(messages(fresh_broker.bootstrap, ["threat.observed"])) as batches:
            async for batch in batches:
                if not count:
                    fresh_broker.kill()
                    started = time.monotonic()
                count += len(batch)
    assert 0 < count < 400
    assert time.monotonic() - started < 10


async def test_readers_join_no_group(broker):
    async with connected(reader(broker.bootstrap, ["job.routed"]), broker.bootstrap):
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        before = await admin.list_consumer_groups()
        await _all(broker.bootstrap, ["job.routed"])
        assert await admin.list_consumer_groups() == before
        await admin.close()
