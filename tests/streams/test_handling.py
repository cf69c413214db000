"""Inputs to outputs, without a broker: nothing is lost, nothing is said that was not declared, ids never change."""

import uuid
from dataclasses import dataclass, field

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import digest, headers, timestamp
from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter
from schemas.errors import InputError
from schemas.jobs import JobCancel, JobStatus
from schemas.manifests import KmsAudit, LogCheckpoint, ManifestRequested
from schemas.record import now
from streams.agent import Agent
from streams.errors import DeclarationError
from streams.handling import Handling
from streams.partitioning import partition_of
from streams.views import HeldByKey

COUNTS = {"kms.audit": 4, "dead.letter": 4, "manifest.requested": 4, "job.status": 4, "log.checkpoint": 4}


@dataclass
class Message:
    value: bytes | None
    key: bytes | None = b"key"
    offset: int = 0
    topic: str = "job.cancel"
    partition: int = 3
    timestamp: int = 1_700_000_000_000
    headers: list = field(default_factory=lambda: headers(JobCancel, str(uuid.uuid4()), "/test", timestamp()))


def cancel(name: str) -> JobCancel:
    return JobCancel(job_id=name, cancelled_by="test", reason="because")


def message(name: str, offset: int = 0, **values) -> Message:
    return Message(encode(cancel(name)), key=name.encode(), offset=offset, **values)


def audit(record: JobCancel) -> KmsAudit:
    return KmsAudit(kid=record.job_id, actor="test", action="copy", outcome="SUCCESS", algorithm="none")


def handling(handle=audit, **values) -> Handling:
    return Handling(Agent("test", reads=[JobCancel], writes=values.pop("writes", [KmsAudit]), handle=handle, **values), COUNTS)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_keys_go_where_the_java_client_sends_them(key, hashed):
    """Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert partition_of(key, 97) == (hashed & 0x7FFFFFFF) % 97


@given(st.binary(max_size=70))
def test_keys_of_any_length_go_where_aiokafka_sends_them(key):
    assert partition_of(key, 2**31) == murmur2(key) & 0x7FFFFFFF


def test_a_replayed_input_has_the_same_output_ids():
    twice = [handling().handle([message("a", 7)]).outgoing[0].headers[1] for _ in range(2)]
    assert twice[0] == twice[1]
    assert handling().handle([message("a", 8)]).outgoing[0].headers[1] != twice[0]


def test_an_output_with_the_input_key_stays_in_the_input_partition():
    outgoing = handling().handle([message("a", partition=3)]).outgoing[0]
    assert (outgoing.key, outgoing.partition) == (b"a", 3)


def test_an_output_with_another_key_goes_where_its_key_belongs():
    outgoing = handling(lambda record: audit(cancel("other"))).handle([message("a", partition=3)]).outgoing[0]
    assert outgoing.partition == partition_of(b"other", 4)


@given(poison=st.lists(st.one_of(st.none(), st.binary(max_size=60)), min_size=1, max_size=5), data=st.data())
def test_what_cannot_be_decoded_is_dead_lettered_whole_and_the_rest_is_answered(poison, data):
    good = [message(f"job-{number}") for number in range(20)]
    bad = [Message(value, headers=[("h", b"\x00\xff"), ("empty", b"")]) for value in poison]
    inputs = data.draw(st.permutations(good + bad))
    for offset, each in enumerate(inputs):
        each.offset = offset
    handled = handling().handle(inputs)
    assert (handled.done, handled.dead, handled.failure) == (len(inputs), len(bad), None)
    letters = {
        decode(DeadLetter, out.value).original_offset: decode(DeadLetter, out.value)
        for out in handled.outgoing
        if out.topic == "dead.letter"
    }
    assert letters.keys() == {each.offset for each in bad}
    for each in bad:
        letter = letters[each.offset]
        assert (letter.original_value, letter.original_key) == (each.value, each.key)
        assert [(header.key, header.value) for header in letter.original_headers] == each.headers
        assert letter.reason
    assert [out.record.kid for out in handled.outgoing if out.topic == "kms.audit"] == [
        decode(JobCancel, each.value).job_id for each in inputs if each in good
    ]


def test_an_input_error_is_dead_lettered_at_once_with_its_reason():
    def refuse(record):
        raise InputError("no such thing")

    handled = handling(refuse).handle([message("a", 5)])
    letter = handled.outgoing[0].record
    assert (letter.reason, letter.exception, letter.attempts) == ("no such thing", "schemas.errors.InputError", 1)
    assert handled.failure is None


def test_any_other_error_stops_before_its_input_and_keeps_what_was_done():
    def fails_at_b(record):
        if record.job_id == "b":
            raise OSError("later")
        return audit(record)

    handled = handling(fails_at_b).handle([message("a", 0), message("b", 1), message("c", 2)])
    assert handled.done == 1
    assert [out.record.kid for out in handled.outgoing] == ["a"]
    assert isinstance(handled.failure, OSError)


def test_a_batch_that_fails_is_answered_one_by_one():
    def batch(partition, records):
        if any(record.job_id == "bad" for record in records):
            raise InputError("bad one")
        return [audit(record) for record in records]

    wrapped = handling(batch, batch=True)
    inputs = [message("a", 0), message("bad", 1), message("c", 2)]
    answered, dead = [], 0
    while inputs:
        handled = wrapped.handle(inputs)
        answered += [out.record.kid for out in handled.outgoing if out.topic == "kms.audit"]
        dead += handled.dead
        inputs = inputs[handled.done :]
    assert (answered, dead) == (["a", "c"], 1)


def test_batch_outputs_belong_to_their_inputs_however_the_batch_was_cut():
    wrapped = handling(lambda partition, records: [audit(record) for record in records], batch=True)
    inputs = [message(name, offset) for offset, name in enumerate("abcd")]
    whole = [out.headers[1] for out in wrapped.handle(inputs).outgoing]
    cut = [out.headers[1] for out in wrapped.handle(inputs[:1]).outgoing + wrapped.handle(inputs[1:]).outgoing]
    assert whole == cut
    assert len(set(whole)) == 4


def test_an_undeclared_output_is_an_error_of_ours_not_of_the_input():
    handled = handling(lambda record: record).handle([message("a")])
    assert isinstance(handled.failure, DeclarationError)
    assert handled.done == 0


def test_a_manifest_binds_the_event_that_is_published_with_it():
    def manifest(cause, output):
        return ManifestRequested(
            subject=output.record.kid,
            payload_type="test",
            payload=cause.event_id.encode(),
            event_topic="kms.audit",
            event_id=output.event_id,
            event_digest=output.digest,
        )

    given_input = message("a")
    event, request = handling(attest={KmsAudit: manifest}).handle([given_input]).outgoing
    assert request.record.event_digest == digest(event.headers, event.key, event.value)
    assert request.record.event_id.encode() == dict(event.headers)["ce_id"]
    assert request.record.payload == dict(given_input.headers)["ce_id"]


def test_outputs_too_large_for_their_topic_dead_letter_the_input():
    handled = handling(
        lambda record: KmsAudit(kid="a", actor="a", action="a", outcome="SUCCESS", algorithm="", detail="x" * 5_000_000)
    ).handle([message("a")])
    assert handled.dead == 1
    assert "over the topic's limit" in handled.outgoing[0].record.reason


def status(name: str, **values) -> JobStatus:
    return JobStatus(job_id=name, tenant="t", state="QUEUED", backend="b", queued_at=now(), routed_event_id="e", **values)


def test_a_held_view_sees_the_outputs_of_one_input_before_the_next():
    view = HeldByKey(JobStatus)
    view.assign(3)
    seen = []

    def handle(record):
        seen.append(len(view.partition(3)))
        return status(record.job_id)

    handling(handle, writes=[JobStatus], views=[view], same_partition=[JobStatus]).handle([message(name) for name in "abc"])
    assert seen == [0, 1, 2]


def test_a_held_view_never_shows_outputs_that_were_not_published():
    view = HeldByKey(JobStatus)
    view.assign(3)
    wrapped = handling(
        lambda record: [status("a"), cancel("undeclared")], writes=[JobStatus], views=[view], same_partition=[JobStatus]
    )
    assert wrapped.handle([message("a")]).failure is not None
    assert not view.partition(3)


def test_a_tick_says_the_same_under_the_same_id():
    wrapped = handling(
        tick=lambda partition: [status("a")],
        writes=[KmsAudit, JobStatus],
        tick_subject=lambda record: (record.job_id, record.state),
    )
    first, second = wrapped.tick(2)[0], wrapped.tick(2)[0]
    assert first.headers[1] == second.headers[1]


@pytest.mark.parametrize(
    "values",
    [{"reads": []}, {"tick": lambda partition: None}, {"same_partition": [LogCheckpoint]}, {"batch": True, "handle_event": True}],
)
def test_a_declaration_that_contradicts_itself_is_refused(values):
    with pytest.raises(DeclarationError):
        Agent("test", **{"reads": [JobCancel], "writes": [KmsAudit], "handle": audit, **values})
