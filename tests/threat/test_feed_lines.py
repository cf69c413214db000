"""Timestamps, lines and mappings: the codecs of feeds, against Python's own datetime, splitlines and hand-written events."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter
from schemas.threats import ThreatObserved
from threat.errors import LineError
from threat.feeds.answer import answer
from threat.feeds.lines import MAX_LINE_BYTES, Line, LineSplitter, documents, unended
from threat.feeds.normalise import normalise
from threat.feeds.timestamps import moment

TIMES = st.integers(102_470_400_000_000, 95_617_584_000_000_000).map(
    lambda since: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since)
)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EVE = {"timestamp": "2021-06-06T15:59:46.457984+0200", "event_type": "alert", "src_ip": "192.0.2.1", "src_port": 4, "proto": "TCP"}


@given(TIMES, OFFSETS)
def test_a_time_is_read_in_every_form_in_which_feeds_write_it(when: datetime, zone: timezone) -> None:
    local = when.astimezone(zone)
    whole, millisecond = when.replace(microsecond=0), when.replace(microsecond=when.microsecond // 1000 * 1000)
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(local.isoformat()) == when
    assert moment(local.strftime("%Y-%m-%dT%H:%M:%S.%f%z")) == when
    assert moment(when.isoformat().replace("+00:00", "Z")) == when
    assert moment(int(whole.timestamp())) == whole
    assert moment(since // timedelta(milliseconds=1)) == millisecond
    assert moment(since // timedelta(microseconds=1)) == when
    assert abs(moment(since / timedelta(seconds=1)) - when) <= timedelta(microseconds=20)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no timestamp"),
        (True, "no time"),
        ([], "no time"),
        ("yesterday", "no ISO 8601"),
        ("2021-06-06T15:59:46", "no time zone"),
        (0, "1970"),
        (-5, "1970"),
        (1e300, "1970"),
        (10**30, "1970"),
        ("1969-12-31T23:59:59Z", "1970"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(LineError, match=reason):
        moment(value)


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 30), min_size=1))
def test_lines_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"\n".join(pieces)
    splitter, lines, place = LineSplitter(), [], 0
    while place < len(data):
        cut = cuts[place % len(cuts)]
        lines += splitter.feed(data[place : place + cut])
        place += cut
    expected = data.split(b"\n")
    assert [line.content for line in lines] == expected[:-1]
    assert [data[line.offset : line.end - 1] for line in lines] == expected[:-1]
    assert [line.number for line in lines] == list(range(1, len(expected)))
    rest = splitter.rest()
    assert (rest.content if rest else b"") == (expected[-1] if expected[-1].strip() else b"")


@pytest.mark.parametrize("chunk", [1 << 16, 1 << 20, 1 << 23])
def test_a_line_over_the_limit_is_known_by_head_length_and_hash_and_the_next_is_read(chunk: int) -> None:
    long = b"x" * (MAX_LINE_BYTES + 77)
    data = b"first\n" + long + b"\nlast\n"
    splitter, lines = LineSplitter(), list[Line]()
    for place in range(0, len(data), chunk):
        lines += splitter.feed(data[place : place + chunk])
    first, second, third = lines
    assert (first.content, third.content, third.number, third.offset) == (b"first", b"last", 3, len(data) - 5)
    assert second.content == long[:4096] and second.fault is not None
    assert f"{len(long):,} bytes" in second.fault and hashlib.sha256(long).hexdigest() in second.fault


def test_a_printed_document_is_one_line_and_a_cut_one_is_said_to_be() -> None:
    event = json.dumps({"class_uid": 4001, "time": 1729052821, "src_endpoint": {"ip": "192.0.2.7"}}, indent=2).encode()
    opened: list[Line] = []
    lines = documents(LineSplitter().feed(event + b"\n{\n1\n" + event + b"\n{\n"), opened)
    whole, cut, again = lines
    assert json.loads(whole.content)["class_uid"] == 4001 and whole.fault is None and again.content == whole.content
    assert cut.fault is not None and "cut off" in cut.fault
    rest = unended(opened)
    assert rest is not None and rest.fault is not None and "ends before" in rest.fault


def test_suricata_becomes_ocsf_with_the_worst_severity_highest() -> None:
    seen = {}
    for severity in (1, 2, 3):
        line = json.dumps({**EVE, "alert": {"severity": severity}, "flow": {"bytes_toserver": 60}}).encode()
        event = normalise(line, "here")
        ocsf = json.loads(event.ocsf)
        seen[severity] = event.severity_id
        assert (event.class_uid, event.source, event.entity, event.raw) == (4001, "suricata", "192.0.2.1", line)
        assert ocsf["traffic"]["bytes_out"] == 60 and ocsf["time"] == 1622987986458 and ocsf["type_uid"] == 400106
    assert seen == {1: 4, 2: 3, 3: 2}


def test_an_event_is_written_in_one_order_whatever_process_writes_it() -> None:
    """A set's order changes from process to process; a line read again must make the same bytes."""
    line = {**EVE, "flow": {"bytes_toserver": 1}, "alert": {"severity": 1}, "dest_ip": "192.0.2.2", "app_proto": "tls"}
    objects = [name for name, value in json.loads(normalise(json.dumps(line).encode(), "1").ocsf).items() if type(value) is dict]
    assert len(objects) > 4 and objects == sorted(objects)


def test_the_three_shapes_of_zeek_say_the_same() -> None:
    flat = {
        "ts": 1588205199.5,
        "uid": "C1",
        "id.orig_h": "192.0.2.1",
        "id.orig_p": 7,
        "id.resp_h": "192.0.2.2",
        "conn_state": "REJ",
    }
    streamed = {key.replace("id.", "id_"): value for key, value in flat.items()}
    shapes = ({"_path": "conn", **flat}, {"conn": flat}, {"@stream": "conn", **streamed})
    first, *others = [json.loads(normalise(json.dumps(shape).encode(), "here").ocsf) for shape in shapes]
    assert first["activity_id"] == 5 and first["src_endpoint"] == {"ip": "192.0.2.1", "port": 7}
    assert all(other == first for other in others)


def test_a_refused_kerberos_ticket_is_a_failed_authentication() -> None:
    line = {"kerberos": {"ts": 1588205199.5, "id.orig_h": "::1", "request_type": "TGS", "success": False, "client": "bob"}}
    event = normalise(json.dumps(line).encode(), "here")
    ocsf = json.loads(event.ocsf)
    assert (event.class_uid, event.entity, ocsf["status_id"], ocsf["activity_id"]) == (3002, "0::1", 2, 4)


@pytest.mark.parametrize("time", [1729052821, 1729052821000])
def test_ocsf_times_in_seconds_and_in_milliseconds_are_the_same_time(time: int) -> None:
    event = normalise(json.dumps({"class_uid": 4001, "time": time, "src_endpoint": {"ip": "192.0.2.7"}}).encode(), "here")
    assert event.observed_at == datetime(2024, 10, 16, 4, 27, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (json.dumps(EVE).encode()[:30], "cut off"),
        (json.dumps(EVE).encode("utf-16"), "UTF-16"),
        (json.dumps(EVE).encode().replace(b"TCP", b"\xe9"), "not UTF-8"),
        (b"#separator \\x09", "tab-separated"),
        (b"[1]", "no object"),
        (b'{"a":1,"b":2}', "neither Suricata"),
        (b'{"event_type":"dns"}', "no timestamp"),
        (b'{"class_uid":2004,"time":1729052821}', "neither 4001"),
        (json.dumps({**EVE, "src_port": 70000}).encode(), "src_endpoint.port"),
        (json.dumps({**EVE, "src_ip": 7}).encode(), "src_endpoint.ip"),
        (json.dumps({**EVE, "flow": {"bytes_toserver": "many"}}).encode(), "bytes_toserver"),
        (b'{"class_uid":[4001],"time":1729052821}', "neither 4001"),
        (b'{"class_uid":4001,"time":1729052821,"traffic":[]}', "traffic"),
        (b'{"_path":7,"ts":1.0}', "name of its log"),
        (b'{"class_uid":4001,"time":1729052821,"activity_id":18446744073709551611}', "activity_id is 18446744073709551611"),
        (b'{"class_uid":4001,"time":1729052821,"activity_id":100}', "OCSF's are 0 to 99"),
        (b'{"class_uid":4001,"time":1729052821,"severity_id":-1}', "severity_id"),
        (b'{"class_uid":4001,"time":1729052821,"x":' + b'{"x":' * 300 + b"1" + b"}" * 301, "recursion"),
        (b'{"_path":"conn","ts":1588205199.8,"duration":1e307}', "duration"),
        (b'{"_path":"conn","ts":1588205199.8,"duration":18446744073709551615}', "duration"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter_with_its_place_and_the_reason(line: bytes, reason: str) -> None:
    letter = answer(Line(12, 345, 345 + len(line), line), "feed", "eve.json", "auto")
    assert isinstance(letter, DeadLetter) and letter.original_value == line
    assert letter.reason.startswith("eve.json line 12 (byte 345): ") and reason in letter.reason


NAMES = [
    *("timestamp", "event_type", "src_ip", "flow", "alert", "severity", "_path", "ts", "class_uid", "time", "src_endpoint"),
    *("ip", "port", "activity_id", "user", "metadata"),
]
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)


ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, True, "80", 80, 80.0, 65536, -1, 99, 100, 2**63, 2**64 - 1, "a", [], {}, 1e300]
)


@given(st.fixed_dictionaries({"ip": ODD, "port": ODD, "hostname": ODD}), ODD, ODD)
def test_what_is_made_without_the_model_is_what_the_model_makes(
    side: dict[str, object], activity: object, severity: object
) -> None:
    fields = {"class_uid": 4001, "time": 1729052821, "src_endpoint": side, "activity_id": activity, "severity_id": severity}
    line = json.dumps(fields).encode()
    found = answer(Line(1, 0, len(line), line), "feed", "any", "auto")
    if isinstance(found, ThreatObserved):
        assert ThreatObserved.model_validate(found.model_dump()) == found
        assert decode(ThreatObserved, encode(found)) == found


@given(st.recursive(LEAVES, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.sampled_from(NAMES), kids), max_leaves=12))
def test_any_json_is_an_event_or_a_dead_letter(value: object) -> None:
    try:
        line = json.dumps(value).encode()
    except ValueError:
        return
    assert encode(answer(Line(1, 0, len(line), line), "feed", "any", "auto"))
