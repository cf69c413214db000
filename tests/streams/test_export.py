"""Exports: every byte kept, readable by another Avro library, whole or refused."""

import asyncio
import json
import os

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from avro.datafile import DataFileReader
from avro.io import DatumReader
from fake_pipeline import job_fields, pipeline, routed
from fastavro import writer
from kms_events import Log, software_keys

from kms.manifest import routed_manifest
from schemas.cloudevents import Event
from schemas.codec import encode
from schemas.jobs import JobRequested
from schemas.topics import TOPICS
from streams.errors import BrokerUnavailableError, TopicMismatchError
from streams.evidence import AUDITED, LOGS, SIGNER
from streams.export import SCHEMA, Bundle, BundleError, export
from streams.records import messages

ODD = [("ce_id", b"e"), ("ce_id", b"twice"), ("empty", b""), ("zwölf", b"\x00\xff")]


@pytest.fixture(scope="module")
def keys():
    return software_keys()


@pytest.fixture
async def filled(fresh_broker, keys):
    """A broker with a signed job, and messages that are odd in every way."""
    async with pipeline(fresh_broker.bootstrap, Log(keys)) as agents:
        for number in range(3):
            await agents.complete(JobRequested(**job_fields(job_id=f"job-{number}")))
        await agents.raw("dead.letter", b"\xff\x00", b"\x00" * 1000, ODD)
        await agents.raw("dead.letter", b"key alone", None)
        await agents.raw("dead.letter", None, b"value alone")
    return fresh_broker


async def _stored(broker, topics):
    return [message async for batch in messages(broker.bootstrap, topics) for message in batch]


async def test_every_byte_of_every_message_is_kept(filled, tmp_path):
    file, counts = tmp_path / "all.avro", []
    written = await export(filled.bootstrap, file, topics=list(TOPICS), progress=counts.append)
    bundle = Bundle(file)
    found, stored = list(bundle), await _stored(filled, list(TOPICS))
    assert sorted(found, key=lambda m: m.place) == sorted(stored, key=lambda m: m.place)
    assert any(message.headers == tuple(ODD) and message.key == b"\xff\x00" for message in found)
    assert {b"key alone", None} == {message.key for message in found if message.topic == "dead.letter" and not message.headers}
    assert written == bundle.count == len(stored) == counts[-1]
    assert list(bundle) == found  # it can be read again
    assert not list(tmp_path.glob("*.part"))


async def test_another_avro_library_reads_it(filled, tmp_path):
    """The oracle: Apache's own implementation."""
    file = tmp_path / "all.avro"
    await export(filled.bootstrap, file, topics=["dead.letter"])
    with DataFileReader(file.open("rb"), DatumReader()) as reader:
        records = list(reader)
        assert reader.codec == "deflate"
        assert json.loads(reader.meta["quantumai.evidence"])["whole"] is True
    found = list(Bundle(file))
    assert [(r["topic"], r["partition"], r["offset"], r["timestamp_ms"], r["key"], r["value"]) for r in records] == [
        (m.topic, m.partition, m.offset, m.timestamp_ms, m.key, m.value) for m in found
    ]
    assert [tuple((h["key"], h["value"]) for h in r["headers"]) for r in records] == [m.headers for m in found]


async def test_only_the_evidence_and_the_topics_asked_for_are_in_it(filled, tmp_path):
    await export(filled.bootstrap, tmp_path / "few.avro")
    assert {message.topic for message in Bundle(tmp_path / "few.avro")} <= {*AUDITED, *LOGS}
    await export(filled.bootstrap, tmp_path / "more.avro", topics=["job.status"])
    assert {m.topic for m in Bundle(tmp_path / "more.avro")} == {"job.routed", "job.completed", *LOGS, "job.status"}


async def test_a_range_of_time_is_a_part_and_the_file_says_so(filled, keys, tmp_path):
    [first, *_] = sorted((m for m in await _stored(filled, ["job.routed"])), key=lambda m: m.timestamp_ms)
    await export(filled.bootstrap, tmp_path / "late.avro", start=first.timestamp)
    late = Bundle(tmp_path / "late.avro")
    assert late.evidence.whole is False
    routed_then = [message for message in late if message.topic == "job.routed"]
    assert all(late.evidence.is_settled(message) == (message.timestamp >= first.timestamp) for message in routed_then)


async def test_the_trust_root_stands_in_the_header_for_reference(filled, tmp_path):
    (tmp_path / "trust.json").write_text('{"format": 1}')
    await export(filled.bootstrap, tmp_path / "x.avro", trust=tmp_path / "trust.json")
    assert Bundle(tmp_path / "x.avro").trust == '{"format": 1}'


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.99])
async def test_a_file_cut_off_anywhere_is_refused(filled, tmp_path, kept):
    file = tmp_path / "cut.avro"
    await export(filled.bootstrap, file, topics=list(TOPICS))
    os.truncate(file, int(file.stat().st_size * kept))
    with pytest.raises(BundleError, match=r"cut\.avro is (no export|damaged|cut off)"):
        list(Bundle(file))


async def test_a_file_cut_between_two_blocks_is_refused(filled, tmp_path, monkeypatch):
    """There is nothing broken in it: only the count in the header tells."""
    monkeypatch.setattr("streams.export._BLOCK_BYTES", 4000)
    file = tmp_path / "cut.avro"
    await export(filled.bootstrap, file, topics=list(TOPICS))
    whole = file.read_bytes()
    with DataFileReader(file.open("rb"), DatumReader()) as reader:
        sync = reader.sync_marker
    file.write_bytes(whole[: whole.rindex(sync, 0, -20) + len(sync)])
    with pytest.raises(BundleError, match=r"is cut off: \d+ of \d+ messages are there"):
        list(Bundle(file))


async def test_files_that_are_no_export_are_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    for name, why in (("text", "is no export"), ("empty", "is no export"), ("missing", "cannot be read: No such file")):
        with pytest.raises(BundleError, match=why):
            Bundle(tmp_path / name)


@pytest.mark.parametrize(
    ("codec", "why"),
    [("deflate", "more than 1,048,576 bytes"), ("null", "at most 1,048,576 are read"), ("xz", "compressed in another way")],
)
async def test_a_block_that_stands_for_more_than_is_read_is_refused_without_reading_it(codec, why, tmp_path, monkeypatch):
    """A file of 100 KB could otherwise take all memory."""
    monkeypatch.setattr("streams.bounded_blocks.MAX_BLOCK_BYTES", 1 << 20)
    evidence = json.dumps({"whole": True, "settled": [], "logs": [], "before": [], "after": []})
    header = {"quantumai.count": "1", "quantumai.evidence": evidence, "quantumai.exported_at": "", "quantumai.trust": ""}
    message = {"topic": "other", "partition": 0, "offset": 0, "timestamp_ms": 0, "key": None, "headers": []}
    file = tmp_path / "bomb.avro"
    for size, read in ((1 << 16, codec != "xz"), (1 << 21, False)):
        with file.open("wb") as out:
            writer(out, SCHEMA, [{**message, "value": bytes(size)}], codec=codec, metadata=header)
        if read:
            assert [len(found.value) for found in Bundle(file)] == [size]
            continue
        with pytest.raises(BundleError, match=why):
            list(Bundle(file))


async def test_a_file_that_cannot_be_written_is_said_and_leaves_nothing(filled, tmp_path):
    with pytest.raises(BundleError, match="cannot be written: No such file or directory"):
        await export(filled.bootstrap, tmp_path / "nowhere" / "x.avro")


async def test_what_is_no_file_is_not_replaced_and_a_link_is_followed(filled, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError, match="is no file"):
        await export(filled.bootstrap, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to(tmp_path / "x.avro")
    await export(filled.bootstrap, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and list(Bundle(tmp_path / "x.avro"))


async def test_a_topic_that_is_not_there_is_named(filled, tmp_path):
    with pytest.raises(TopicMismatchError, match=r"no topic 'job\.route'; the platform's own are"):
        await export(filled.bootstrap, tmp_path / "x.avro", topics=["job.route"])


async def test_an_export_that_fails_leaves_the_old_file_alone(filled, tmp_path):
    file = tmp_path / "x.avro"
    file.write_text("the old one")

    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await export(filled.bootstrap, file, progress=stop)
    assert file.read_text() == "the old one"
    assert not list(tmp_path.glob("*.part"))


async def test_the_export_waits_for_a_signer_that_is_behind(filled, keys, tmp_path):
    """The signer answers a while after the export began: its manifest must be in the file."""
    request = routed_manifest(None, Event(routed(JobRequested(**job_fields(job_id="behind"))), "e-behind", b"d" * 32))
    async with pipeline(filled.bootstrap) as agents:
        asked = await agents.raw("manifest.requested", b"behind", encode(request))
        exporting = asyncio.create_task(export(filled.bootstrap, tmp_path / "x.avro"))
        await asyncio.sleep(2.5)
        [signed, _] = Log(keys, partition=9).sign([request])
        assert not exporting.done()
        await agents.raw("manifest.signed", b"behind", encode(signed))
        await _commit(filled, TopicPartition(asked.topic, asked.partition), asked.offset + 1)
        await exporting
    assert encode(signed) in [message.value for message in Bundle(tmp_path / "x.avro")]


async def test_a_signer_that_does_not_run_is_not_waited_for_for_ever(filled, tmp_path, monkeypatch):
    monkeypatch.setattr("streams.evidence._PATIENCE_SECONDS", 1.0)
    async with pipeline(filled.bootstrap) as agents:
        await agents.raw("manifest.requested", b"unsigned", b"not signed by anybody")
    async with asyncio.timeout(15):
        await export(filled.bootstrap, tmp_path / "x.avro")


async def _commit(broker, place, offset):
    """What the signer's transaction does to its group's offsets."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=SIGNER, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([place])
    await consumer.commit({place: offset})
    await consumer.stop()


async def test_no_broker_is_one_sentence(tmp_path):
    with pytest.raises(BrokerUnavailableError):
        await export("127.0.0.1:1", tmp_path / "x.avro")
    assert not list(tmp_path.iterdir())
