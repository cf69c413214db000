"""The `.avsc` files, the fingerprints and the models say the same."""

import json
from pathlib import Path

import avro.schema
import pytest
from fastavro.schema import to_parsing_canonical_form

import schemas
from schemas.avro import fingerprint, schema_of
from schemas.record import Part
from schemas.topics import TOPICS

_AVSC = Path(schemas.__file__).parent / "avsc"
_EMPTY = 0xC15D213AA4D7A795
_MASK = 2**64 - 1


def _specified_fingerprint(data: bytes) -> bytes:
    """CRC-64-AVRO from the pseudo-code of the Avro 1.12 specification, "Schema Fingerprints"; little-endian."""
    table = []
    for i in range(256):
        fp = i
        for _ in range(8):
            fp = (fp >> 1) ^ (_EMPTY & -(fp & 1) & _MASK)
        table.append(fp)
    fp = _EMPTY
    for byte in data:
        fp = (fp >> 8) ^ table[(fp ^ byte) & 0xFF]
    return fp.to_bytes(8, "little")


def _fields(schema: dict) -> dict:
    return {field["name"]: field for field in schema["fields"]}


@pytest.mark.parametrize(
    ("schema", "crc64"),
    [  # from Apache Avro's share/test/data/schema-tests.txt
        ("null", 7195948357588979594),
        ("boolean", -6970731678124411036),
        ("int", 8247732601305521295),
        ("long", -3434872931120570953),
        ("float", 5583340709985441680),
        ("double", -8181574048448539266),
        ("bytes", 5746618253357095269),
        ("string", -8142146995180207161),
        ({"type": "array", "items": "null"}, -589620603366471059),
        ({"type": "map", "values": "string"}, -8732877298790414990),
        ({"type": "fixed", "name": "foo", "size": 15}, 1756455273707447556),
    ],
)
def test_fingerprints_are_those_of_the_avro_projects_own_test_data(schema, crc64):
    assert fingerprint(schema) == (crc64 & _MASK).to_bytes(8, "little")


@pytest.mark.parametrize("topic", TOPICS)
def test_fingerprints_follow_the_pseudo_code_of_the_specification(topic):
    schema = schema_of(TOPICS[topic].record)
    assert fingerprint(schema) == _specified_fingerprint(to_parsing_canonical_form(schema).encode())


@pytest.mark.parametrize("topic", TOPICS)
def test_the_avro_projects_library_has_the_same_canonical_form(topic):
    schema = schema_of(TOPICS[topic].record)
    # its Python library leaves {"type":"long"} where a logical type was stripped; the specification's [PRIMITIVES] wants "long"
    official = avro.schema.parse(json.dumps(schema)).canonical_form.replace('{"type":"long"}', '"long"')
    assert _specified_fingerprint(official.encode()) == fingerprint(schema)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_avsc_file_is_what_the_model_says(topic):
    written = json.loads((_AVSC / f"{topic}.avsc").read_text())
    assert written == schema_of(TOPICS[topic].record), "run `python -m schemas.release`"


def test_there_is_one_avsc_file_for_each_topic_and_no_other():
    assert {path.stem for path in _AVSC.iterdir()} == set(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_schema_has_exactly_the_fields_of_its_model_and_its_defaults(topic):
    model = TOPICS[topic].record
    fields = _fields(schema_of(model))
    assert list(fields) == list(model.model_fields)
    for name, info in model.model_fields.items():
        if "default" in fields[name]:
            assert not info.is_required()
        else:
            assert info.is_required() or info.default_factory is not None


def test_a_record_that_stands_twice_is_defined_once():
    text = json.dumps(schema_of(TOPICS["job.routed"].record))
    assert text.count('"name": "Recommendation"') == 1
    assert text.count('"name": "JobRequested"') == 1


def test_a_type_without_an_avro_counterpart_is_refused_by_name():
    class Odd(Part):
        when: complex

    with pytest.raises(TypeError, match="complex"):
        schema_of(Odd)
