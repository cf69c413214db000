"""Transactions on a real broker: all or nothing, one writer at a time, in order, of any size that an event may have."""

import asyncio
import uuid

import pytest
from aiokafka import TopicPartition

from schemas.cloudevents import headers, timestamp
from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter
from schemas.manifests import KmsAudit
from schemas.record import now
from schemas.topics import MAX_EVENT_BYTES
from streams import transaction
from streams.broker import free_port
from streams.connection import connected, reader
from streams.handling import Outgoing
from streams.transaction import TransactionError, Transactions
from streams.watchdog import committed_offsets

SOURCE = TopicPartition("job.cancel", 1)
LARGEST_BATCH = 512 * 1024


@pytest.fixture
def group():
    return f"transactions-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def writing(broker, group):
    """Makes transactions of the same id, each the next owner of the partition."""
    made = []

    async def next_owner():
        made.append(Transactions(broker.bootstrap, group, SOURCE))
        await made[-1].fence()
        return made[-1]

    yield next_owner
    for each in made:
        await each.stop(2)


def outgoing(record, partition=1):
    kind = type(record)
    return Outgoing(
        kind.topic, partition, record.key, encode(record), headers(kind, str(uuid.uuid4()), "/test", timestamp()), record
    )


def audit(group, number, detail=""):
    return outgoing(
        KmsAudit(kid=f"{group}-{number}", actor=group, action="test", outcome="SUCCESS", algorithm="none", detail=detail)
    )


async def committed(broker, group, count=1):
    """What readers of committed records see of a group: the numbers, in order; there may be more than the `count` awaited."""
    for _ in range(50):  # a commit is answered before its markers stand in all partitions
        found = [int(record.kid.rpartition("-")[2]) for record in await records(broker, KmsAudit) if record.actor == group]
        if len(found) >= count:
            break
        await asyncio.sleep(0.1)
    return found


async def records(broker, kind):
    found = []
    async with connected(reader(broker.bootstrap, [kind.topic]), broker.bootstrap) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        async with asyncio.timeout(30):
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [decode(kind, message.value) for message in batch]
    return found


async def test_outputs_and_offsets_are_there_together(broker, group, writing):
    owner = await writing()
    await owner.commit([audit(group, number) for number in range(3)], {SOURCE: 17})
    assert await committed(broker, group, 3) == [0, 1, 2]
    assert await committed_offsets(broker.bootstrap, group, [SOURCE]) == {SOURCE: 17}


async def test_a_transaction_that_was_begun_ahead_is_the_same(broker, group, writing):
    owner = await writing()
    for number in range(3):
        owner.begin()
        owner.begin()
        await owner.commit([audit(group, number)], {SOURCE: number + 1})
    await owner.commit([audit(group, 3)], {SOURCE: 4})
    assert await committed(broker, group, 4) == [0, 1, 2, 3]
    assert await committed_offsets(broker.bootstrap, group, [SOURCE]) == {SOURCE: 4}


async def test_the_next_owner_ends_a_transaction_that_was_only_begun(broker, group, writing):
    first = await writing()
    first.begin()
    await asyncio.sleep(0.5)
    second = await writing()
    await second.commit([audit(group, 1)], {SOURCE: 1})
    with pytest.raises(TransactionError):
        await first.commit([audit(group, 2)], {SOURCE: 2})
    assert await committed(broker, group) == [1]
    assert await committed_offsets(broker.bootstrap, group, [SOURCE]) == {SOURCE: 1}


async def test_who_was_fenced_cannot_commit_what_it_begins(broker, group, writing):
    first = await writing()
    await writing()
    first.begin()
    with pytest.raises(TransactionError, match="ProducerFenced"):
        await first.commit([audit(group, 1)], {SOURCE: 1})
    assert await committed(broker, group, 0) == []


async def test_the_earlier_owner_of_a_partition_cannot_commit(broker, group, writing):
    first = await writing()
    await first.commit([audit(group, 1)], {SOURCE: 1})
    second = await writing()
    with pytest.raises(TransactionError, match="outcome is unknown"):
        await first.commit([audit(group, 2)], {SOURCE: 2})
    await second.commit([audit(group, 3)], {SOURCE: 3})
    assert await committed(broker, group, 2) == [1, 3]
    assert await committed_offsets(broker.bootstrap, group, [SOURCE]) == {SOURCE: 3}


async def test_an_owner_that_is_fenced_in_mid_transaction_leaves_nothing(broker, group, writing):
    first = await writing()
    sent, go_on, commit = asyncio.Event(), asyncio.Event(), first._producer.commit_transaction

    async def late():
        sent.set()
        await go_on.wait()
        await commit()

    first._producer.commit_transaction = late
    committing = asyncio.create_task(first.commit([audit(group, number) for number in range(5)], {SOURCE: 5}))
    await sent.wait()
    second = await writing()
    go_on.set()
    with pytest.raises(TransactionError):
        await committing
    assert await committed(broker, group, 0) == []
    assert await committed_offsets(broker.bootstrap, group, [SOURCE]) == {}
    await second.commit([audit(group, 9)], {SOURCE: 9})
    assert await committed(broker, group) == [9]


async def test_more_than_a_batch_holds_arrives_in_order(broker, group, writing):
    owner = await writing()
    small = [audit(group, number, "x" * 1000) for number in range(2000)]
    large = [audit(group, 2000 + number, "y" * (LARGEST_BATCH - 20_000)) for number in range(4)]
    assert sum(len(event.value) for event in small) > 3 * LARGEST_BATCH
    await owner.commit([*small, *large], {})
    assert await committed(broker, group, 2004) == list(range(2004))


async def test_an_event_beyond_what_clients_may_send_passes_among_others(broker, group, writing):
    """An agent's own event embeds a whole input: 1.05 MiB here, far over a batch."""
    owner = await writing()
    content = bytes(int(1.05 * MAX_EVENT_BYTES))
    letter = DeadLetter(
        agent=group,
        original_topic="job.cancel",
        original_partition=1,
        original_offset=0,
        original_key=None,
        original_value=content,
        original_timestamp=now(),
        reason="too much",
        exception="x",
        attempts=1,
    )
    small = [letter.model_copy(update={"original_value": b"small", "original_offset": offset}) for offset in (1, 2)]
    await owner.commit([outgoing(small[0]), outgoing(letter), outgoing(small[1])], {})
    found = []
    async with asyncio.timeout(10):
        while len(found) < 3:
            found = [each for each in await records(broker, DeadLetter) if each.agent == group]
    assert [len(letter.original_value) for letter in found] == [5, len(content), 5]


async def test_a_broker_that_is_not_there_is_said_in_time(group, monkeypatch):
    monkeypatch.setattr(transaction, "FENCE_SECONDS", 1.0)
    nowhere = Transactions(f"127.0.0.1:{free_port()}", group, SOURCE)
    with pytest.raises(TransactionError, match="producer could not be started"):
        await nowhere.fence()
    await nowhere.stop(1)
