"""topics, tail, replay and dead-letters on a real broker."""

import asyncio
import json
import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer
from fake_pipeline import dead_letter, job_fields, routed

from schemas.jobs import JobRequested
from schemas.topics import TOPICS
from streams.records import messages


def _lines(said):
    assert said.exit_code == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def _read(broker, topic):
    async def run():
        return [message async for batch in messages(broker.bootstrap, [topic]) for message in batch]

    return asyncio.run(run())


@pytest.fixture
def decided(publish):
    """Five decisions, and their job ids."""
    jobs = [JobRequested(**job_fields(job_id=f"t-{uuid.uuid4()}")) for _ in range(5)]

    async def decide(agents):
        for job in jobs:
            await agents.publish(routed(job))

    publish(decide)
    return [job.job_id for job in jobs]


def test_topics_lists_every_topic(on):
    said = on("topics")
    assert said.exit_code == 0
    for topic in TOPICS:
        assert f" {topic} " in said.stdout
    assert {row["topic"] for row in json.loads(on("topics", "--json").stdout)} == set(TOPICS)


def test_the_tail_is_readable_json_newest_last(on, decided):
    found = _lines(on("tail", "job.routed", "-n", 3))
    assert [line["key"] for line in found] == decided[-3:]
    assert found[0]["record"]["scores"][0]["backend"] == "fake_lima"
    assert found[0]["headers"]["ce_type"] == "ai.quantumai.job.routed"
    assert set(decided) <= {line["key"] for line in _lines(on("tail", "job.routed", "--from", "5m"))}


def test_bytes_are_text_where_they_are_text_and_what_cannot_be_read_is_shown(on, publish):
    letter = dead_letter("em.recommended", 1, b"key", b"\xff\xfe", [("a", b"text")], agent=f"a-{uuid.uuid4()}")

    async def bury(agents):
        await agents.publish(letter)
        return await agents.raw("job.cancel", b"\xff", b"no Avro")

    publish(bury)
    [line] = [line for line in _lines(on("replay", "dead.letter")) if line["record"]["agent"] == letter.agent]
    assert line["record"]["original_value"] == {"base64": "//4="}
    assert (line["record"]["original_key"], line["record"]["original_headers"][0]["value"]) == ("key", "text")
    [line] = _lines(on("tail", "job.cancel", "-n", 1))
    assert (line["key"], line["record"], line["value"]) == ({"base64": "/w=="}, None, "no Avro")
    assert line["undecodable"]


def test_a_topic_that_is_not_there_is_said(on):
    said = on("tail", "job.route")
    assert (said.exit_code, "has no topic 'job.route'; the platform's own are" in said.stderr) == (1, True)


def test_replay_prints_a_range_and_says_how_many(on, decided):
    said = on("replay", "job.routed", "--from", "5m", "--to", "end")
    assert set(decided) <= {line["key"] for line in _lines(said)}
    assert f"{len(said.stdout.splitlines()):,} messages of job.routed" in said.stderr
    assert _lines(on("replay", "job.routed", "--from", "end")) == []
    assert len({line["partition"] for line in _lines(on("replay", "job.routed", "--from", "0", "--to", "1"))}) <= 4


def test_replay_into_a_topic_copies_every_byte(on, broker, decided):
    into = f"copy-{uuid.uuid4()}"
    said = on("replay", "job.routed", "--into", into)
    original, copied = _read(broker, "job.routed"), _read(broker, into)
    assert f"{len(original):,} messages of job.routed copied into {into}" in said.stderr

    def essence(found):
        return sorted((m.partition, m.timestamp_ms, m.key or b"", m.value or b"", m.headers) for m in found)

    assert essence(copied) == essence(original)
    for partition in range(4):
        assert [m.value for m in copied if m.partition == partition] == [m.value for m in original if m.partition == partition]
    assert [line["record"]["job_id"] for line in _lines(on("tail", into, "-n", 1))] == decided[-1:]


def test_replay_into_a_topic_of_fewer_partitions_keeps_what_it_can(on, broker, decided):
    into = f"narrow-{uuid.uuid4()}"

    asyncio.run(_make(broker, NewTopic(into, 1, 1)))
    assert on("replay", "job.routed", "--into", into).exit_code == 0
    assert len(_read(broker, into)) == len(_read(broker, "job.routed"))


@pytest.mark.parametrize(("into", "why"), [("job.routed", "into itself"), ("job.requested", "the platform's own")])
def test_replay_into_a_topic_that_agents_read_is_refused(on, broker, decided, into, why):
    before = len(_read(broker, into))
    said = on("replay", "job.routed", "--into", into)
    assert (said.exit_code, why in said.stderr) == (1, True)
    assert len(_read(broker, into)) == before


@pytest.mark.parametrize(
    ("into", "why"),
    [("__consumer_offsets", "Kafka's own"), ("", "invalid"), ("a b", "invalid"), ("small", "does not take a message")],
)
def test_replay_into_a_topic_that_cannot_take_it_is_one_sentence(on, broker, decided, into, why):
    asyncio.run(_make(broker, NewTopic("small", 1, 1, topic_configs={"max.message.bytes": "100"})))
    said = on("replay", "job.routed", "--into", into)
    assert (said.exit_code, why in said.stderr, said.stderr.count("\n")) == (1, True, 1), said.stderr


def test_a_message_without_key_and_value_cannot_be_copied_and_is_named(on, broker):
    topic = f"hollow-{uuid.uuid4()}"
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    asyncio.run(_make(broker, NewTopic(topic, 1, 1)))
    producer.produce(topic)
    producer.flush(10)
    said = on("replay", topic, "--into", f"{topic}-copy")
    assert (said.exit_code, f"{topic}/0/0 has neither key nor value" in said.stderr) == (1, True)
    assert _lines(on("replay", topic))[0]["record"] is None


async def _make(broker, topic):
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([topic])
    await admin.close()


def test_dead_letters_are_listed_shown_and_retried(on, broker, publish):
    key, agent = f"k-{uuid.uuid4()}".encode(), f"agent-{uuid.uuid4()}"
    letter = dead_letter("em.recommended", 42, key, b"\x00bad", [("ce_id", b"e-9")], agent=agent, reason="[odd] reason")

    async def bury(agents):
        await agents.publish(letter)

    publish(bury)
    listed = on("dead-letters", "list", "--agent", agent)
    assert (listed.exit_code, "[odd] reason" in listed.stdout, f"/{letter.original_partition}/42" in listed.stdout) == (
        0,
        True,
        True,
    )
    [line] = _lines(on("dead-letters", "list", "--agent", agent, "--json"))
    name = f"{line['partition']}:{line['offset']}"
    assert name in listed.stdout
    shown = json.loads(on("dead-letters", "show", name).stdout)
    assert (shown["record"]["reason"], shown["record"]["original_value"]) == ("[odd] reason", {"base64": "AGJhZA=="})
    assert on("dead-letters", "retry", name).stdout == "1 sent again\n"
    assert on("dead-letters", "retry", "--all", "--agent", agent, "--since", "5m").stdout == "1 sent again\n"
    assert on("dead-letters", "retry", "--all", "--agent", agent, "--topic", "job.requested").stdout == "0 sent again\n"
    assert [m.value for m in _read(broker, "em.recommended") if m.key == key] == [b"\x00bad", b"\x00bad"]
    missing = on("dead-letters", "show", "0:123456")
    assert (missing.exit_code, "there is no dead letter 0:123456" in missing.stderr) == (1, True)
