"""verify and export: what holds is believed, and each kind of tampering is found, with a broker and without."""

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
from fake_pipeline import job_fields, pipeline, routed
from fastavro import reader
from fastavro.write import Writer
from kms_events import Log, software_keys, trusting

from schemas import cloudevents
from schemas.codec import encode
from schemas.jobs import JobRequested, JobRouted
from schemas.record import now
from streams.export import SCHEMA


@pytest.fixture(scope="module")
def keys():
    return software_keys()


@pytest.fixture
def audited(quantumai, fresh_broker, keys, monkeypatch, tmp_path):
    """The command on a broker of this module's own, with its trust root in the home."""
    monkeypatch.setenv("QUANTUMAI_BROKERS", fresh_broker.bootstrap)
    (tmp_path / "home").mkdir()
    trusting(keys).save(tmp_path / "home" / "trust.json")
    return quantumai


@pytest.fixture(scope="module")
def log(fresh_broker, keys):
    """The log of partition 0, with six signed events."""
    log = Log(keys, clock=now)

    async def run(agents):
        for number in range(3):
            await agents.complete(JobRequested(**job_fields(job_id=f"job-{number}")))

    _run(fresh_broker, run, log)
    return log


def _run(broker, work, log=None):
    async def run():
        async with pipeline(broker.bootstrap, log) as agents:
            return await work(agents)

    return asyncio.run(run())


@pytest.fixture
def exported(audited, log, tmp_path):
    file = tmp_path / "bundle.avro"
    said = audited("export", file)
    assert said.exit_code == 0, said.stderr
    return file


def _rewrite(file, change):
    """Writes the export again with its messages changed, as an attacker would who keeps the header's count right."""
    with file.open("rb") as source:
        opened = reader(source)
        metadata = {name: value for name, value in opened.metadata.items() if name.startswith("quantumai.")}
        entries = change(list(opened))
    metadata["quantumai.count"] = f"{len(entries):019d}"
    with file.open("wb") as target:
        writer = Writer(target, SCHEMA, codec="deflate", metadata=metadata)
        for entry in entries:
            writer.write(entry)
        writer.flush()


def test_an_empty_platform_has_nothing_to_verify(audited, fresh_broker):
    said = audited("verify")
    assert (said.exit_code, "there is nothing to verify" in said.stdout) == (1, True)


def test_topics_that_hold_verify(audited, log):
    said = audited("verify")
    assert said.exit_code == 0, said.output
    assert "6 manifests, 6 checkpoints" in said.stdout
    assert "6 events matched with their manifests" in said.stdout
    assert "test.example/0" in said.stdout


def test_every_checkpoints_signatures_can_be_asked_for(audited, exported):
    for what in ((), (exported,)):
        newest, all_of_them = audited("verify", *what), audited("verify", *what, "--every-signature")
        assert "6 checkpoints (1 with their signatures)" in newest.stdout
        assert (all_of_them.exit_code, "6 checkpoints (6 with their signatures)" in all_of_them.stdout) == (0, True)


def test_an_exported_file_verifies_without_a_broker_or_a_home(audited, exported, keys, monkeypatch, tmp_path):
    monkeypatch.setenv("QUANTUMAI_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("QUANTUMAI_HOME", str(tmp_path / "nowhere"))
    trusting(keys).save(tmp_path / "mine.json")
    said = audited("verify", exported, "--trust", tmp_path / "mine.json")
    assert (said.exit_code, "all of it holds" in said.stdout) == (0, True)


def test_a_trust_root_of_other_keys_believes_nothing(audited, exported, tmp_path):
    trusting(software_keys()).save(tmp_path / "other.json")
    for what in ((), (exported,)):
        said = audited("verify", *what, "--trust", tmp_path / "other.json")
        assert (said.exit_code, "broken:" in said.stdout) == (1, True)


def test_no_trust_root_is_one_sentence(audited, tmp_path):
    said = audited("verify", "--trust", tmp_path / "none.json")
    assert (said.exit_code, "there is no trust root at" in said.stderr) == (1, True)


def _flip(entry):
    value = bytearray(entry["value"])
    value[-1] ^= 1
    return {**entry, "value": bytes(value)}


@pytest.mark.parametrize("topic", ["job.routed", "job.completed", "manifest.signed", "log.checkpoint"])
def test_one_flipped_bit_is_found(audited, exported, topic):
    places = []

    def change(entries):
        places.extend(index for index, entry in enumerate(entries) if entry["topic"] == topic)
        return [_flip(entry) if index == places[1] else entry for index, entry in enumerate(entries)]

    _rewrite(exported, change)
    said = audited("verify", exported)
    assert (said.exit_code, "broken" in said.stdout) == (1, True), said.output


@pytest.mark.parametrize("topic", ["job.routed", "job.completed", "manifest.signed", "log.checkpoint"])
@pytest.mark.parametrize("which", [0, -1])
def test_one_dropped_message_is_found(audited, exported, topic, which):
    def change(entries):
        places = [index for index, entry in enumerate(entries) if entry["topic"] == topic]
        return [entry for index, entry in enumerate(entries) if index != places[which]]

    _rewrite(exported, change)
    said = audited("verify", exported)
    assert (said.exit_code, "broken" in said.stdout) == (1, True), said.output


def test_swapped_headers_are_found(audited, exported):
    """Two events of the same kind, each with the other's headers: the values are untouched."""

    def change(entries):
        one, two = [index for index, entry in enumerate(entries) if entry["topic"] == "job.routed"][:2]
        entries[one]["headers"], entries[two]["headers"] = entries[two]["headers"], entries[one]["headers"]
        return entries

    _rewrite(exported, change)
    said = audited("verify", exported)
    assert (said.exit_code, "its value, key or headers were changed" in said.stdout) == (1, True)


def test_a_part_in_time_verifies_although_its_edges_cut_through_logs(audited, fresh_broker, log, tmp_path):
    first = _run(fresh_broker, lambda agents: agents.raw("job.status", b"mark", b"x"))

    async def more(agents):
        await agents.complete(JobRequested(**job_fields(job_id=f"late-{uuid.uuid4()}")))

    _run(fresh_broker, more, log)
    start = _iso(first.timestamp)
    said = audited("verify", "--from", start)
    assert said.exit_code == 0, said.output
    assert "2 manifests" in said.stdout
    part = tmp_path / "part.avro"
    assert audited("export", part, "--from", start).exit_code == 0
    assert audited("verify", part).exit_code == 0
    until = audited("verify", "--to", start)
    assert until.exit_code == 0, until.output


def _iso(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def test_an_event_without_a_manifest_is_found_in_the_topics(audited, fresh_broker, log):
    """Last: it stays in the topics of this module."""
    job = JobRequested(**job_fields(job_id="smuggled"))
    headers = cloudevents.headers(JobRouted, str(uuid.uuid4()), "/agents/fake", cloudevents.timestamp())
    _run(fresh_broker, lambda agents: agents.raw("job.routed", job.key, encode(routed(job)), headers))
    said = audited("verify")
    assert (said.exit_code, "has no (further) manifest in any log" in said.stdout) == (1, True)


def test_undecodable_messages_in_the_logs_are_named(audited, fresh_broker, log):
    sent = _run(fresh_broker, lambda agents: agents.raw("manifest.signed", b"k", b"no Avro", partition=1))
    said = audited("verify")
    assert (said.exit_code, f"manifest.signed/1/{sent.offset} cannot be read" in said.stdout) == (1, True)
