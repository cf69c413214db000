"""Headers, ids and digests: what an auditor binds an event by."""

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import digest, headers, output_id, tick_id, timestamp
from schemas.errors import UndecodableError
from schemas.jobs import JobRouted, JobStatus

_TIME = "2026-01-02T03:04:05.000006+00:00"
_ATTRIBUTES = ("ce_id", "ce_type", "ce_source", "ce_time")
_VALUES = st.fixed_dictionaries({name: st.binary(max_size=12) for name in _ATTRIBUTES})


def test_the_headers_are_those_of_the_kafka_binding_in_binary_mode():
    assert dict(headers(JobRouted, "id-1", "/agents/scheduler", _TIME)) == {
        "ce_specversion": b"1.0",
        "ce_id": b"id-1",
        "ce_type": b"ai.quantumai.job.routed",
        "ce_source": b"/agents/scheduler",
        "ce_time": _TIME.encode(),
        "content-type": b"application/avro",
    }


def test_a_trace_is_carried_and_is_no_part_of_the_digest():
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    traced = headers(JobRouted, "id-1", "/a", _TIME, trace)
    assert ("traceparent", trace.encode()) in traced
    assert digest(traced, b"k", b"v") == digest(headers(JobRouted, "id-1", "/a", _TIME), b"k", b"v")


def test_ce_time_is_rfc_3339_in_utc():
    assert timestamp().endswith("+00:00")


@given(first=_VALUES, second=_VALUES, keys=st.tuples(st.binary(max_size=5), st.binary(max_size=5)), value=st.binary(max_size=20))
def test_only_equal_attributes_key_and_value_have_equal_digests(first, second, keys, value):
    same = first == second and keys[0] == keys[1]
    assert (digest(first.items(), keys[0], value) == digest(second.items(), keys[1], value)) == same


@pytest.mark.parametrize("name", _ATTRIBUTES)
def test_swapping_one_header_between_two_events_changes_both_digests(name):
    one = dict(headers(JobRouted, "id-1", "/one", _TIME))
    other = dict(headers(JobStatus, "id-2", "/other", "2027-01-02T03:04:05+00:00"))
    swapped = one | {name: other[name]}, other | {name: one[name]}
    assert digest(swapped[0].items(), b"k", b"v") != digest(one.items(), b"k", b"v")
    assert digest(swapped[1].items(), b"k", b"v") != digest(other.items(), b"k", b"v")


def test_bytes_cannot_be_moved_from_one_attribute_to_the_next():
    one = headers(JobRouted, "id-1", "/a", _TIME)
    moved = [
        (name, content + b"/" if name == "ce_type" else content[1:] if name == "ce_source" else content) for name, content in one
    ]
    assert b"".join(content for _, content in one) == b"".join(content for _, content in moved)
    assert digest(one, b"k", b"v") != digest(moved, b"k", b"v")


def test_the_order_of_headers_and_headers_of_others_do_not_matter():
    one = headers(JobRouted, "id-1", "/a", _TIME)
    assert digest([*reversed(one), ("x-proxy", b"1")], b"k", b"v") == digest(one, b"k", b"v")


def test_a_header_that_stands_twice_is_refused():
    with pytest.raises(UndecodableError, match="'ce_id' stands twice"):
        digest([*headers(JobRouted, "id-1", "/a", _TIME), ("ce_id", b"id-2")], b"k", b"v")


@pytest.mark.parametrize("name", _ATTRIBUTES)
def test_a_missing_attribute_is_refused_by_name(name):
    left = [(key, value) for key, value in headers(JobRouted, "id-1", "/a", _TIME) if key != name]
    with pytest.raises(UndecodableError, match=name):
        digest(left, b"k", b"v")


def test_the_digest_is_pinned_so_that_old_manifests_keep_verifying():
    parts = [b"id-1", b"ai.quantumai.job.routed", b"/a", _TIME.encode(), b"key", b"value"]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert digest(headers(JobRouted, "id-1", "/a", _TIME), b"key", b"value") == hashlib.sha256(framed).digest()


def test_the_ids_of_outputs_are_pinned_so_that_a_replay_by_a_later_version_says_the_same():
    assert output_id("em.recommended", 3, 41, JobRouted, 0) == "75d52b7e-8680-5902-a484-1c88543268a1"
    assert tick_id("executor", 3, "job-1", "DONE") == "24d8b8e2-56d6-555f-be18-14d6192d4c7c"


@given(
    inputs=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.integers(0, 99),
            st.integers(0, 10**6),
            st.sampled_from([JobRouted, JobStatus]),
            st.integers(0, 9),
        ),
        unique=True,
        min_size=2,
    )
)
def test_different_outputs_have_different_ids_and_all_are_uuids(inputs):
    ids = [output_id(*each) for each in inputs]
    assert len(set(ids)) == len(inputs)
    assert all(uuid.UUID(each).version == 5 for each in ids)
    assert ids == [output_id(*each) for each in inputs]
