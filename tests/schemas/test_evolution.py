"""Released schemas stay readable: BACKWARD_TRANSITIVE, checked by the Avro project's rules and by reading generated data."""

import copy
import json
import random
import struct
from io import BytesIO
from pathlib import Path

import avro.schema
import fastavro
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from fastavro.utils import generate_many

import schemas
from schemas import codec
from schemas.avro import fingerprint, schema_of
from schemas.codec import MARKER, decode
from schemas.errors import UndecodableError
from schemas.jobs import JobCancel
from schemas.topics import TOPICS

_RELEASED = sorted((Path(schemas.__file__).parent / "released").glob("*/*.avsc"))


def _assert_readable(written: dict, current: dict) -> None:
    """The current schema reads whatever the older one wrote."""
    verdict = ReaderWriterCompatibilityChecker().get_compatibility(
        reader=avro.schema.parse(json.dumps(current)), writer=avro.schema.parse(json.dumps(written))
    )
    assert verdict.compatibility is SchemaCompatibilityType.compatible, verdict.messages
    random.seed(1)
    for record in generate_many(written, 20):
        body = BytesIO()
        fastavro.schemaless_writer(body, written, record)
        body.seek(0)
        fastavro.schemaless_reader(body, written, current)


@pytest.mark.parametrize("path", _RELEASED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_released_schema_bears_its_fingerprint_as_name_and_is_readable_for_ever(path):
    written = json.loads(path.read_text())
    assert path.stem == fingerprint(written).hex(), "a released schema was edited: restore it, and release the change as a new one"
    assert path.parent.name in TOPICS, "a released topic has no record any more"
    _assert_readable(written, schema_of(TOPICS[path.parent.name].record))


def _changed(change) -> dict:
    schema = copy.deepcopy(schema_of(JobCancel))
    change(schema["fields"])
    return schema


def test_a_field_added_with_a_default_is_accepted():
    newer = _changed(lambda fields: fields.append({"name": "tenant", "type": "string", "default": "default"}))
    _assert_readable(schema_of(JobCancel), newer)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.append({"name": "tenant", "type": "string"}),
        lambda fields: fields[0].update(type="long"),
        lambda fields: fields[0].update(name="id"),
    ],
    ids=["a field without a default", "another type", "another name"],
)
def test_a_change_that_breaks_old_data_is_refused(change):
    with pytest.raises(AssertionError):
        _assert_readable(schema_of(JobCancel), _changed(change))


@pytest.fixture
def an_older_schema(monkeypatch):
    """JobCancel as it was before `reason` existed in another order and with a field since dropped; as if it had been released."""
    older = _changed(lambda fields: (fields.reverse(), fields.append({"name": "dropped", "type": "string"})))
    monkeypatch.setattr(codec, "released_schemas", lambda kind: [older] if kind is JobCancel else [])
    codec._readers.cache_clear()
    yield older
    codec._readers.cache_clear()


def _older_bytes(schema: dict, record: dict) -> bytes:
    body = BytesIO()
    fastavro.schemaless_writer(body, schema, record)
    return MARKER + fingerprint(schema) + body.getvalue()


def test_an_event_of_a_released_schema_decodes_into_the_current_record(an_older_schema):
    record = JobCancel(job_id="job-1", cancelled_by="me", reason="wrong circuit")
    assert decode(JobCancel, _older_bytes(an_older_schema, record.model_dump() | {"dropped": "x"})) == record


def test_a_broken_event_of_a_released_schema_is_refused_at_every_length(an_older_schema):
    record = JobCancel(job_id="job-1", cancelled_by="me", reason="wrong circuit")
    whole = _older_bytes(an_older_schema, record.model_dump() | {"dropped": "x"})
    for length in range(len(whole)):
        with pytest.raises(UndecodableError):
            decode(JobCancel, whole[:length])
    with pytest.raises(UndecodableError):
        decode(JobCancel, whole + struct.pack("B", 0))
