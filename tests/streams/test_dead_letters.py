"""Dead letters: found, and sent again byte for byte to where they came from."""

import uuid

import pytest
from fake_pipeline import dead_letter, pipeline

from schemas.cloudevents import digest
from schemas.jobs import EmRecommended
from streams.dead_letters import RETRY_HEADER, DeadLetterError, dead_letters, find, name, retry
from streams.messages import Received
from streams.partitioning import partition_of
from streams.records import read

HEADERS = [("ce_id", b"e-1"), ("ce_type", b"t"), ("ce_source", b"s"), ("ce_time", b"now"), ("odd", b"\x00\xff")]


async def _bury(broker, **changes):
    """A dead letter of an agent of its own, as `find` and `dead_letters` give it."""
    key, agent = f"k-{uuid.uuid4()}".encode(), f"agent-{uuid.uuid4()}"
    fields = {"topic": "em.recommended", "key": key, "value": b"\xc3\x01\x00broken", "headers": HEADERS, **changes}
    letter = dead_letter(fields["topic"], 7, fields["key"] or b"", fields["value"], fields["headers"], agent=agent)
    letter = letter.model_copy(
        update={"original_key": fields["key"], **({"original_partition": 3} if "partition" in changes else {})}
    )
    async with pipeline(broker.bootstrap) as agents:
        await agents.publish(letter)
    [found] = [event async for event in dead_letters(broker.bootstrap, agent=agent)]
    assert found.record == letter
    return found


async def _retried(broker, topic_kind, key):
    return [event async for event in read(broker.bootstrap, topic_kind) if event.key == key]


async def test_a_retry_publishes_the_original_bytes_key_and_headers_where_they_came_from(broker):
    letter = await _bury(broker)
    assert await retry(broker.bootstrap, [letter]) == 1
    [again] = await _retried(broker, EmRecommended, letter.record.original_key)
    assert (again.value, again.partition) == (b"\xc3\x01\x00broken", partition_of(letter.record.original_key, 4))
    assert again.headers == (*HEADERS, (RETRY_HEADER, f"dead.letter/{letter.partition}/{letter.offset}".encode()))
    assert again.event_id == "e-1"
    assert again.digest == digest(HEADERS, letter.record.original_key, again.value)


async def test_a_second_retry_has_the_header_once(broker):
    """A header that stands twice makes an event undecodable for ever."""
    letter = await _bury(broker, headers=[*HEADERS, (RETRY_HEADER, b"dead.letter/0/0")])
    await retry(broker.bootstrap, [letter])
    [again] = await _retried(broker, EmRecommended, letter.record.original_key)
    assert [value for header, value in again.headers if header == RETRY_HEADER] == [letter.place.encode()]
    assert len(again.digest) == 32


async def test_a_letter_goes_to_the_partition_that_it_came_from_even_where_its_key_says_otherwise(broker):
    key = next(key for key in (b"p-%d" % number for number in range(100)) if partition_of(key, 4) != 3)
    letter = await _bury(broker, key=key, partition=3)
    await retry(broker.bootstrap, [letter])
    assert {event.partition for event in await _retried(broker, EmRecommended, key)} == {3}


async def test_a_tombstone_can_be_retried_but_not_nothing_at_all(broker):
    tombstone = await _bury(broker, value=None)
    assert await retry(broker.bootstrap, [tombstone]) == 1
    [again] = await _retried(broker, EmRecommended, tombstone.record.original_key)
    assert again.value is None
    with pytest.raises(DeadLetterError, match="neither key nor value"):
        await retry(broker.bootstrap, [tombstone, await _bury(broker, key=None, value=None)])
    assert len(await _retried(broker, EmRecommended, tombstone.record.original_key)) == 1


async def test_letters_are_found_by_name_agent_and_topic(broker):
    letter = await _bury(broker)
    found = await find(broker.bootstrap, name(letter))
    assert isinstance(found, Received)
    assert found.record == letter.record
    by_topic = [event.record async for event in dead_letters(broker.bootstrap, topic="em.recommended")]
    assert letter.record in by_topic
    assert letter.record not in [event.record async for event in dead_letters(broker.bootstrap, topic="job.requested")]
    assert [event async for event in dead_letters(broker.bootstrap, agent="nobody")] == []


@pytest.mark.parametrize("wanted", ["x", "1", "1:x", ":", "-1:0", "0:99999999"])
async def test_a_name_of_no_letter_is_refused(broker, wanted):
    with pytest.raises(DeadLetterError, match=r"dead-letters list"):
        await find(broker.bootstrap, wanted)
