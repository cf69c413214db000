"""Encoding and decoding: lossless, readable by the Avro project's own library, and closed to what is broken."""

import io
import json
import struct
from contextlib import suppress
from typing import Annotated

import avro.io
import avro.schema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_strategies import records
from pydantic import BaseModel, Field, ValidationError, field_validator

from schemas.avro import fingerprint, schema_of
from schemas.binary_reader import reader
from schemas.codec import HEADER_BYTES, MARKER, decode, encode, explain, topic_of
from schemas.errors import InvalidRecordError, UndecodableError
from schemas.jobs import JobCompleted, JobRequested
from schemas.topics import TOPICS

_KINDS = [topic.record for topic in TOPICS.values()]
_ANY = st.one_of(*(records(kind) for kind in _KINDS))
_OFFICIAL = {kind: avro.io.DatumReader(avro.schema.parse(json.dumps(schema_of(kind)))) for kind in _KINDS}
# given an int, the official writer may choose the branch "double" of a method's parameters, and round it
_WITHOUT_PARAMETERS = [kind for kind in _KINDS if 'parameters"' not in json.dumps(schema_of(kind))]
_relaxed = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

JOB = JobRequested(job_id="job-1", circuits=("OPENQASM 3.0; qubit q;",), max_cost_usd=1.5)
COMPLETED = JobCompleted(
    job_id="job-1",
    tenant="default",
    status="DONE",
    shots=1,
    seeds={"simulation": 1},
    method="raw",
    method_version="1",
    parameters={},
    backend="b",
    calibration_id="c",
    vendor_job_id=None,
    circuit_hash="h",
    result_hash="h",
    queue_seconds=0.0,
    execution_seconds=0.0,
    cost_usd=0.0,
    software={},
    routed_event_id="r",
)


def _plain(value):
    """Models and tuples as the official library would return them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.topic)
@given(data=st.data())
@_relaxed
def test_what_we_encode_we_and_the_avro_project_decode(kind, data):
    record = data.draw(records(kind))
    encoded = encode(record)
    assert encoded[:HEADER_BYTES] == MARKER + fingerprint(schema_of(kind))
    assert decode(kind, encoded) == record
    body = io.BytesIO(encoded[HEADER_BYTES:])
    assert _OFFICIAL[kind].read(avro.io.BinaryDecoder(body)) == _plain(record.model_dump())
    assert not body.read()


@pytest.mark.parametrize("kind", _WITHOUT_PARAMETERS, ids=lambda kind: kind.topic)
@given(data=st.data())
@settings(_relaxed, max_examples=10)
def test_what_the_avro_project_encodes_we_decode(kind, data):
    record = data.draw(records(kind))
    body = io.BytesIO()
    avro.io.DatumWriter(avro.schema.parse(json.dumps(schema_of(kind)))).write(
        _plain(record.model_dump()), avro.io.BinaryEncoder(body)
    )
    assert decode(kind, MARKER + fingerprint(schema_of(kind)) + body.getvalue()) == record


@given(record=_ANY)
@_relaxed
def test_encoding_is_deterministic_and_names_its_topic(record):
    again = type(record).model_validate(record.model_dump())
    assert encode(again) == encode(record)
    assert topic_of(encode(record)) is type(record)


@given(record=_ANY)
@settings(_relaxed, max_examples=15)
def test_an_event_cut_off_anywhere_is_refused(record):
    encoded = encode(record)
    for length in range(len(encoded)):
        with pytest.raises(UndecodableError):
            decode(type(record), encoded[:length])


@given(body=st.binary(max_size=400), kind=st.sampled_from(_KINDS))
@settings(_relaxed, max_examples=500)
def test_random_bytes_behind_a_valid_header_raise_the_named_errors_and_nothing_else(body, kind):
    with suppress(UndecodableError, InvalidRecordError):
        decode(kind, MARKER + fingerprint(schema_of(kind)) + body)


@given(record=_ANY, data=st.data())
@settings(_relaxed, max_examples=200)
def test_a_damaged_byte_raises_the_named_errors_and_nothing_else(record, data):
    encoded = bytearray(encode(record))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UndecodableError, InvalidRecordError):
        decode(type(record), bytes(encoded))


@given(value=st.one_of(st.none(), st.binary(max_size=60)))
def test_bytes_that_are_no_single_object_are_refused(value):
    with pytest.raises(UndecodableError):
        decode(JobRequested, value)


def test_an_unknown_fingerprint_is_refused_and_the_known_ones_are_named():
    encoded = encode(JOB)
    with pytest.raises(UndecodableError, match=fingerprint(schema_of(JobRequested)).hex()):
        decode(JobRequested, MARKER + b"\0" * 8 + encoded[HEADER_BYTES:])
    with pytest.raises(UndecodableError, match="no topic"):
        topic_of(MARKER + b"\0" * 8)


def test_another_topics_event_is_refused():
    with pytest.raises(UndecodableError, match=r"job\.cancel"):
        decode(TOPICS["job.cancel"].record, encode(JOB))


def test_bytes_left_over_are_refused():
    with pytest.raises(UndecodableError, match="3 bytes left over"):
        decode(JobRequested, encode(JOB) + b"abc")


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -1.0])
def test_well_formed_avro_with_a_value_that_the_model_refuses(poison):
    encoded = encode(JOB)
    good = struct.pack("<d", 1.5)
    assert encoded.count(good) == 1
    with pytest.raises(InvalidRecordError, match="max_cost_usd"):
        decode(JobRequested, encoded.replace(good, struct.pack("<d", poison)))


def test_an_explanation_names_the_field_and_keeps_the_value_to_itself():
    with pytest.raises(InvalidRecordError) as caught:
        decode(JobRequested, encode(JOB.model_copy(update={"tenant": "secret value!"})))
    assert "tenant" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_explanation_says_each_fault_once_where_it_is_and_in_plain_words():
    class Told(BaseModel):
        items: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
        either: dict[str, bool | float | list[float]]
        word: str

        @field_validator("word")
        @classmethod
        def refuse(cls, word: str) -> str:
            raise ValueError("it is no word")

    with pytest.raises(ValidationError) as caught:
        Told(items=(-1,), either={"one": "text", "two": 1.5, "three": [1, "text"]}, word="x")
    assert explain(caught.value).split("; ") == [
        "items.0: Input should be greater than or equal to 0",
        "either.one: Input should be bool or float or list[float]",
        "either.three: Input should be bool or float or list[float]",
        "word: it is no word",
    ]


@pytest.mark.parametrize("bits", range(63))
def test_integers_are_right_where_their_encoding_grows(bits):
    for seed in (2**bits - 1, 2**bits):
        job = JOB.model_copy(update={"seed": seed})
        body = avro.io.BinaryDecoder(io.BytesIO(encode(job)[HEADER_BYTES:]))
        assert _OFFICIAL[JobRequested].read(body)["seed"] == seed == decode(JobRequested, encode(job)).seed


def test_an_integer_beyond_64_bits_is_refused_when_written():
    encode(JOB.model_copy(update={"shots": 2**63 - 1}))
    with pytest.raises(InvalidRecordError, match="64 bits"):
        encode(JOB.model_copy(update={"shots": 2**63}))


def test_numbers_keep_their_kind_in_parameters():
    parameters = {"flag": True, "one": 1, "half": 0.5, "whole": 1.0, "name": "x", "many": [1.0, 3.0], "none": []}
    completed = COMPLETED.model_copy(update={"parameters": parameters})
    decoded = decode(JobCompleted, encode(completed)).parameters
    assert decoded == parameters
    assert {name: type(value) for name, value in decoded.items()} == {name: type(value) for name, value in parameters.items()}


def test_blocks_that_say_their_size_are_read():
    """Avro 1.12, Arrays: a negative count is followed by the block's size in bytes; ours never writes one."""
    schema = {
        "type": "record",
        "name": "R",
        "namespace": "n",
        "fields": [{"name": "a", "type": {"type": "array", "items": "string"}}],
    }
    in_two_blocks = b"\x03\x08" + b"\x02x" + b"\x02y" + b"\x01\x04" + b"\x02z" + b"\x00"
    official = avro.io.DatumReader(avro.schema.parse(json.dumps(schema))).read(avro.io.BinaryDecoder(io.BytesIO(in_two_blocks)))
    assert reader(schema)(in_two_blocks, 0) == (official, len(in_two_blocks)) == ({"a": ["x", "y", "z"]}, len(in_two_blocks))


def test_a_number_of_more_than_64_bits_is_refused():
    schema = {"type": "record", "name": "R", "namespace": "n", "fields": [{"name": "a", "type": "long"}]}
    largest = b"\xfe" + b"\xff" * 8 + b"\x01"
    assert reader(schema)(largest, 0) == ({"a": 2**63 - 1}, 10)
    for body in (b"\xfe" + b"\xff" * 8 + b"\x03", b"\xff" * 10 + b"\x01"):
        with pytest.raises(ValueError, match="more than 64 bits"):
            reader(schema)(body, 0)


def test_a_record_of_known_values_is_the_record():
    built = JobRequested.unchecked(dict(JOB))
    assert built == JOB
    assert (encode(built), built.model_dump(), hash(built.job_id)) == (encode(JOB), JOB.model_dump(), hash(JOB.job_id))
    assert built.model_copy(update={"shots": 7}).shots == 7
