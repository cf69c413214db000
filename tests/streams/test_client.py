"""The SDK against a real broker; agents are stood in for by what they would publish."""

import asyncio
import subprocess
import sys
import textwrap
import time

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from fake_pipeline import BELL, PARITY, answering, completed, dead_letter, job_fields, pipeline, routed, status

from schemas.cloudevents import CONTENT_TYPE
from schemas.codec import decode
from schemas.errors import InputError
from schemas.jobs import JobCancel, JobCompleted, JobRequested
from schemas.threats import ThreatObserved
from schemas.topics import MAX_EVENT_BYTES
from streams import follower
from streams.broker import free_port
from streams.client import Client
from streams.errors import BrokerUnavailableError, EventTooLargeError, StreamsError
from streams.follower import UnknownJobError
from streams.job_ids import job_id, not_before
from streams.messages import Received
from streams.progress import JobFailedError, JobRejectedError, JobTimeoutError
from streams.settings import Settings
from streams.sync_client import SyncClient


async def _raw(broker, topic, key):
    """All records of a key, by a plain consumer."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        found = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += [record for record in batch if record.key == key]
        return found
    finally:
        await consumer.stop()


async def test_a_job_is_published_with_cloudevents_headers_and_a_trace(broker):
    async with Client(broker.bootstrap, source="/clients/test") as client:
        submitted = await client.submit(**job_fields(name="Bell pair", shots=100))
    [record] = await _raw(broker, "job.requested", submitted.encode())
    job = decode(JobRequested, record.value)
    assert (job.job_id, job.shots, job.circuits) == (submitted, 100, (BELL,))
    headers = dict(record.headers)
    assert headers["ce_type"] == b"ai.quantumai.job.requested"
    assert headers["ce_source"] == b"/clients/test"
    assert headers["content-type"] == CONTENT_TYPE
    version, trace, span, flags = headers["traceparent"].decode().split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")


async def test_a_job_file_can_be_submitted_and_changed_by_fields(broker, tmp_path):
    file = tmp_path / "bell.qasm"
    file.write_text(BELL)
    async with Client(broker.bootstrap) as client:
        submitted = await client.submit(file, shots=7)
    [record] = await _raw(broker, "job.requested", submitted.encode())
    assert (decode(JobRequested, record.value).shots, submitted.startswith("bell-")) == (7, True)


async def test_a_result_is_awaited_and_comes_soon(broker):
    async with answering(broker.bootstrap, lambda agents, job: agents.complete(job)), Client(broker.bootstrap) as client:
        await client.run(timeout=20, **job_fields())
        took = []
        for _ in range(10):
            started = time.perf_counter()
            result = await client.run(timeout=20, **job_fields())
            took.append(time.perf_counter() - started)
        assert isinstance(result, JobCompleted)
        assert result.expectations[0].value == 0.98
    assert sorted(took)[5] < 0.5  # four transactions of the stand-in included


async def test_many_jobs_are_awaited_at_once_and_none_gets_the_result_of_another(broker):
    async with answering(broker.bootstrap, lambda agents, job: agents.complete(job)), Client(broker.bootstrap) as client:
        results = await asyncio.gather(*[client.run(timeout=60, **job_fields(seed=seed)) for seed in range(40)])
    assert [result.seeds["job"] for result in results] == list(range(40))


async def test_every_change_of_a_job_is_seen(broker):
    async with answering(broker.bootstrap, lambda agents, job: agents.complete(job)), Client(broker.bootstrap) as client:
        submitted = await client.submit(**job_fields())
        states = [job.state async for job in client.watch(submitted)]
    assert states[-1] == "DONE"
    assert [state for state in states if state in ("QUEUED", "RUNNING", "DONE")] in (
        ["QUEUED", "RUNNING", "DONE"],
        ["QUEUED", "RUNNING", "DONE", "DONE"],  # status and result come from different topics
    )


async def test_a_rejection_tells_all_reasons(broker):
    reasons = ("no route of any backend offers QKD", "the cost limit is below every price")

    async def reject(agents, job):
        await agents.publish(routed(job, backend=None, reasons=reasons))

    async with answering(broker.bootstrap, reject), Client(broker.bootstrap) as client:
        with pytest.raises(JobRejectedError, match=r"rejected: no route.*; the cost limit") as caught:
            await client.run(timeout=20, **job_fields())
    assert caught.value.reasons == reasons
    assert caught.value.job.routed.scores[0].blocked == ("no route offers QKD",)


@pytest.mark.parametrize("state", ["ERROR", "CANCELLED"])
async def test_a_job_that_ends_otherwise_says_why(broker, state):
    async def fail(agents, job):
        await agents.publish(routed(job), completed(job, state, "the backend lost it"))

    async with answering(broker.bootstrap, fail), Client(broker.bootstrap) as client:
        with pytest.raises(JobFailedError, match=f"ended as {state}: the backend lost it") as caught:
            await client.run(timeout=20, **job_fields())
    assert not isinstance(caught.value, JobRejectedError)


async def test_a_dead_lettered_job_is_not_waited_for_for_ever_and_can_still_complete(broker):
    async def bury(agents, job):
        await agents.publish(dead_letter("em.recommended", 3, job.key, b"x", (), agent="scheduler", reason="no calibration"))

    async with answering(broker.bootstrap, bury) as agents, Client(broker.bootstrap) as client:
        submitted = await client.submit(**job_fields())
        with pytest.raises(JobFailedError, match="the scheduler agent could not handle it: no calibration"):
            await client.result(submitted, timeout=20)
        await agents.complete((await client.status(submitted)).request)
        await asyncio.sleep(0.5)
        assert (await client.result(submitted, timeout=20)).status == "DONE"


async def test_a_dead_letter_of_a_jobs_manifest_does_not_end_the_job(broker):
    async with pipeline(broker.bootstrap) as agents, Client(broker.bootstrap) as client:
        submitted = await client.submit(**job_fields())
        await agents.publish(dead_letter("manifest.requested", 1, submitted.encode(), b"x", (), agent="signer"))
        with pytest.raises(JobTimeoutError, match="was REQUESTED after 1 s"):
            await client.result(submitted, timeout=1)


@pytest.mark.parametrize("named", [True, False])
async def test_another_client_reads_an_old_result_back(broker, named):
    """Whether the id says when it was made, or begins nowhere in particular."""
    async with pipeline(broker.bootstrap) as agents, Client(broker.bootstrap) as client:
        given = {} if named else {"job_id": f"mine-{time.time_ns()}"}
        submitted = await client.submit(**job_fields(**given))
        job = JobRequested(**job_fields(job_id=submitted))
        await agents.complete(job)
    async with Client(broker.bootstrap) as late:
        assert (await late.result(submitted, timeout=20)).status == "DONE"
        assert (await late.status(submitted)).state == "DONE"
        with pytest.raises(UnknownJobError, match="no job nobody-asked was requested"):
            await late.result("nobody-asked", timeout=20)


async def test_a_job_that_is_requested_again_under_its_id_has_the_result_that_it_had(broker, monkeypatch):
    monkeypatch.setattr(follower, "_STILL_SECONDS", 0.3)

    async def answer(agents, job):
        if job.shots == 100:  # the executor runs no id twice
            await agents.complete(job)
        else:
            await agents.publish(routed(job))

    async with answering(broker.bootstrap, answer):
        async with Client(broker.bootstrap) as client:
            first = await client.run(timeout=20, **job_fields(shots=100))
        async with Client(broker.bootstrap) as client:
            assert await client.run(timeout=20, **job_fields(job_id=first.job_id, shots=200)) == first


async def test_two_clients_wait_for_the_same_job(broker):
    async with pipeline(broker.bootstrap) as agents, Client(broker.bootstrap) as one, Client(broker.bootstrap) as two:
        submitted = await one.submit(**job_fields())
        job = (await two.status(submitted)).request
        waiting = asyncio.gather(*[client.result(submitted, timeout=20) for client in (one, two, two)])
        await asyncio.sleep(0.2)
        await agents.complete(job)
        first, second, third = await waiting
    assert first == second == third


async def test_aborted_results_are_never_seen(broker):
    async with pipeline(broker.bootstrap) as agents, Client(broker.bootstrap) as client:
        submitted = await client.submit(**job_fields())
        job = (await client.status(submitted)).request
        await agents.abort(completed(job, "ERROR", "never happened"))
        await agents.publish(status(job, "RUNNING"))
        with pytest.raises(JobTimeoutError, match="was RUNNING"):
            await client.result(submitted, timeout=1)
    async with Client(broker.bootstrap) as late:
        assert (await late.status(submitted)).state == "RUNNING"


async def test_a_cancel_names_who_and_why(broker):
    async with Client(broker.bootstrap) as client:
        submitted = await client.submit(**job_fields())
        await client.cancel(submitted, "changed my mind")
        with pytest.raises(UnknownJobError):
            await client.cancel("nobody-asked", "no")
    [record] = await _raw(broker, "job.cancel", submitted.encode())
    cancel = decode(JobCancel, record.value)
    assert (cancel.job_id, cancel.reason, bool(cancel.cancelled_by)) == (submitted, "changed my mind", True)


async def test_jobs_are_listed_oldest_first_with_where_they_are(broker):
    async with pipeline(broker.bootstrap) as agents, Client(broker.bootstrap) as client:
        started = not_before(job_id())
        ids = [await client.submit(**job_fields(name=f"listed-{number}")) for number in range(3)]
        await agents.complete((await client.status(ids[1])).request)
        listed = {job.job_id: job for job in await client.jobs(started)}
    assert [job for job in listed if job in ids] == ids
    assert [listed[job].state for job in ids] == ["REQUESTED", "DONE", "REQUESTED"]
    assert listed[ids[1]].backend == "fake_lima"


@pytest.mark.parametrize("over", [1, 100_000])
async def test_an_event_over_the_limit_is_refused_with_limit_and_size(broker, over):
    async with Client(broker.bootstrap) as client:
        with pytest.raises(EventTooLargeError, match=r"1,0\d\d,\d{3} bytes|1,1\d\d,\d{3} bytes") as caught:
            await client.submit(circuits=("/" * (MAX_EVENT_BYTES + over),))
        assert "1,048,576 (1 MiB)" in str(caught.value)
        accepted = await client.submit(circuits=("/" * (MAX_EVENT_BYTES - 2000),))
    assert len(await _raw(broker, "job.requested", accepted.encode())) == 1


@pytest.mark.parametrize(
    "fields", [{"circuits": ()}, {"circuits": (BELL,), "shots": float("nan")}, {"circuits": (BELL,), "shotss": 1}]
)
async def test_a_job_that_cannot_be_is_refused_before_it_is_sent(broker, fields):
    async with Client(broker.bootstrap) as client:
        with pytest.raises(InputError, match="cannot be requested: "):
            await client.submit(**fields)


async def test_threats_are_published(broker):
    threat = ThreatObserved(event_id="t-1", entity="host-1", class_uid=4001, source="zeek", ocsf="{}", raw=b"\xff\x00")
    async with Client(broker.bootstrap) as client:
        await client.publish_threat(threat)
        found = [event.record async for event in client.records(ThreatObserved)]
    assert threat in found


async def test_a_broker_that_is_down_is_one_sentence_soon():
    started = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker answers at .*: start the local platform") as caught:
        async with Client(f"127.0.0.1:{free_port()}"):
            pass
    assert time.monotonic() - started < 12
    assert "\n" not in str(caught.value)


async def test_a_broker_that_goes_away_does_not_hang_a_submit(fresh_broker, monkeypatch):
    monkeypatch.setattr("streams.client.ANSWER_SECONDS", 2.0)
    async with Client(fresh_broker.bootstrap) as client:
        await client.submit(**job_fields())
        fresh_broker.kill()
        started = time.monotonic()
        with pytest.raises(BrokerUnavailableError):
            await client.submit(**job_fields())
        assert time.monotonic() - started < 4
    fresh_broker.start()


async def test_a_result_survives_a_restart_of_the_broker(fresh_broker):
    async with Client(fresh_broker.bootstrap) as client:
        submitted = await client.submit(**job_fields())
        waiting = asyncio.create_task(client.result(submitted, timeout=60))
        await asyncio.sleep(0.2)
        fresh_broker.kill()
        await asyncio.to_thread(fresh_broker.start)
        async with pipeline(fresh_broker.bootstrap) as agents:
            await agents.complete(JobRequested(**job_fields(job_id=submitted)))
        assert (await waiting).status == "DONE"


async def test_the_synchronous_client_does_the_whole_round(broker):
    async with answering(broker.bootstrap, lambda agents, job: agents.complete(job)):
        result, states, found = await asyncio.to_thread(_round, broker.bootstrap)
    assert (result.status, states[-1]) == ("DONE", "DONE")
    assert result.job_id in found


def _round(brokers):
    with SyncClient(Settings(brokers=brokers)) as client:
        result = client.run(timeout=20, circuits=(BELL,), observables=(PARITY,))
        states = [job.state for job in client.watch(result.job_id)]
        found = [event.record.job_id for event in client.records(JobCompleted)]
        assert any(job.job_id == result.job_id for job in client.jobs())
    return result, states, found


async def test_the_synchronous_client_works_inside_a_running_loop(broker):
    """As in a notebook, whose cells run inside a loop; and it can be closed twice."""
    client = SyncClient(broker.bootstrap)
    with client:
        submitted = client.submit(**job_fields())
        assert client.status(submitted).state == "REQUESTED"
        for event in client.records(JobRequested):
            assert isinstance(event, Received)
            break
    client.close()
    for use in (client.jobs, lambda: next(client.records(JobRequested))):
        with pytest.raises(StreamsError, match="this client is closed"):
            use()


def test_a_synchronous_client_without_a_broker_leaves_no_thread_that_keeps_the_process():
    program = f"""
        from streams.sync_client import SyncClient
        from streams.errors import BrokerUnavailableError
        try:
            SyncClient("127.0.0.1:{free_port()}").__enter__()
        except BrokerUnavailableError:
            print("refused")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == "refused"


async def test_the_partition_of_a_job_is_that_of_every_kafka_client(broker):
    """Ours is aiokafka's default partitioner, the oracle librdkafka's murmur2_random."""
    placed = {}
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
    async with Client(broker.bootstrap) as client:
        for _ in range(5):
            submitted = await client.submit(**job_fields())
            producer.produce(
                "job.cancel", b"x", submitted.encode(), on_delivery=lambda _, m: placed.update({m.key(): m.partition()})
            )
            producer.flush(10)
            [record] = await _raw(broker, "job.requested", submitted.encode())
            assert TopicPartition("", record.partition).partition == placed[submitted.encode()]
