"""The worker as a process, against a real broker: what it promises under bad input, rebalances, aborts and signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from contextlib import contextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from schemas.cloudevents import headers, timestamp
from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter
from schemas.jobs import JobCancel
from schemas.manifests import KmsAudit
from streams import watchdog
from streams.admin import ensure_topics
from streams.broker import LocalBroker, free_port
from streams.connection import connected, reader, writer
from streams.watchdog import StalledError, Watchdog, committed_offsets


@contextmanager
def sample(name, brokers, group=None, **environment):
    """A worker process of tests/streams/sample_agents.py; yields it with its group and metrics port."""
    port, group = free_port(), group or f"{name}-{uuid.uuid4().hex[:8]}"
    variables = {**os.environ, "QUANTUMAI_BROKERS": brokers, "QUANTUMAI_METRICS_PORT": str(port), **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.streams.sample_agents", name, group], env=variables, stderr=subprocess.PIPE, text=True
    )
    process.group, process.port = group, port
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until_ready(process, timeout=40):
    deadline = time.monotonic() + timeout
    while get(process.port, "/healthz")[0] != 200:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, get(process.port, "/healthz")
        time.sleep(0.1)


def event(name, by="test"):
    record = JobCancel(job_id=name, cancelled_by=by, reason="because")
    return record.key, encode(record), headers(JobCancel, str(uuid.uuid4()), "/test", timestamp())


async def send(brokers, events):
    async with connected(writer(brokers), brokers) as producer:
        sent = [await producer.send(JobCancel.topic, key=key, value=value, headers=head) for key, value, head in events]
        await asyncio.gather(*sent)


async def collect(brokers, kind, wanted, count, timeout=40):
    """The records of a topic that `wanted` takes, until there are `count` of them and then for another second."""
    found, deadline = [], time.monotonic() + timeout
    async with connected(reader(brokers, [kind.topic]), brokers) as consumer:
        while time.monotonic() < deadline:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    record = decode(kind, message.value)
                    if wanted(record):
                        found.append(record)
                        if len(found) == count:
                            deadline = min(deadline, time.monotonic() + 1)
    return found


def by(name):
    return lambda record: record.actor == name


async def test_events_come_out_once_lag_is_zero_and_sigterm_ends_it(broker):
    mark = uuid.uuid4().hex
    with sample("copy", broker.bootstrap) as worker:
        until_ready(worker)
        await send(broker.bootstrap, [event(f"{mark}-{number}", mark) for number in range(500)])
        found = await collect(broker.bootstrap, KmsAudit, by(mark), 500)
        assert Counter(record.kid for record in found) == {f"{mark}-{number}": 1 for number in range(500)}
        await asyncio.sleep(watchdog.ASK_SECONDS * 2 + 1)
        lines = get(worker.port, "/metrics")[1].splitlines()
        lags = [float(line.split()[-1]) for line in lines if line.startswith("quantumai_consumer_lag{")]
        assert lags == [0.0] * 4
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0


async def test_one_in_a_thousand_poisoned_is_in_dead_letter_byte_by_byte_and_the_agent_goes_on(broker):
    mark = uuid.uuid4().hex
    events = [event(f"{mark}-{number}", mark) for number in range(4000)]
    poison = {number: os.urandom(40) for number in range(0, 4000, 1000)}
    for number, value in poison.items():
        events[number] = (f"{mark}-{number}".encode(), value, [("mark", mark.encode())])
    with sample("copy", broker.bootstrap) as worker:
        await send(broker.bootstrap, events)
        good = await collect(broker.bootstrap, KmsAudit, by(mark), 3996)
        letters = await collect(
            broker.bootstrap,
            DeadLetter,
            lambda letter: (
                letter.agent == worker.group and letter.original_headers and letter.original_headers[0].value == mark.encode()
            ),
            4,
        )
    assert len(good) == 3996
    assert {letter.original_key.decode(): letter.original_value for letter in letters} == {
        f"{mark}-{number}": value for number, value in poison.items()
    }


async def test_failures_are_retried_in_order_and_given_up_after_the_last_attempt(broker):
    mark = uuid.uuid4().hex[:8]
    names = [f"twice-{mark}", f"never-{mark}", f"refuse-{mark}", f"good-{mark}"]
    with sample("moody", broker.bootstrap) as worker:
        until_ready(worker)
        await send(broker.bootstrap, [event(name, mark) for name in names])
        good = await collect(broker.bootstrap, KmsAudit, by(mark), 2)
        letters = await collect(
            broker.bootstrap,
            DeadLetter,
            lambda letter: letter.agent == worker.group and letter.original_key in [name.encode() for name in names],
            2,
        )
    assert {record.kid for record in good} == {f"twice-{mark}", f"good-{mark}"}
    assert {letter.original_key.decode(): (letter.attempts, letter.reason) for letter in letters} == {
        f"never-{mark}": (6, "I never work"),
        f"refuse-{mark}": (1, "this input can never be handled"),
    }


async def test_a_worker_that_joins_and_one_that_is_killed_double_and_lose_nothing(fresh_broker):
    """Pitfalls 1, 5, 7 and 11: slow events, rebalances and kill -9 half-way."""
    mark = uuid.uuid4().hex
    names = [f"{mark}-{number}" for number in range(2000)]
    with sample("slow", fresh_broker.bootstrap) as first:
        until_ready(first)
        await send(fresh_broker.bootstrap, [event(name, mark) for name in names])
        await asyncio.sleep(1)
        with sample("slow", fresh_broker.bootstrap, group=first.group) as second:
            until_ready(second)
            await asyncio.sleep(2)
            first.kill()
            found = await collect(fresh_broker.bootstrap, KmsAudit, by(mark), len(names), timeout=60)
    assert Counter(record.kid for record in found) == Counter(names)


async def test_an_outage_of_ours_ends_the_worker_and_blames_no_input(broker):
    mark = uuid.uuid4().hex
    await send(broker.bootstrap, [event(mark, mark)])
    with sample("outage", broker.bootstrap) as broken:
        assert broken.wait(60) == 1
        assert "the token is gone" in broken.stderr.read()
    with sample("copy", broker.bootstrap, group=broken.group):
        found = await collect(broker.bootstrap, KmsAudit, by(mark), 1)
    assert [record.kid for record in found] == [mark]


async def test_records_of_an_aborted_transaction_are_never_acted_upon(broker):
    """Pitfall 13, seen from the second hop: whoever reads what a transaction wrote and took back."""
    mark = uuid.uuid4().hex
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=mark)
    await producer.start()
    with sample("copy", broker.bootstrap) as worker:
        until_ready(worker)
        for name, commit in (("aborted", False), ("committed", True), ("aborted-again", False), ("last", True)):
            await producer.begin_transaction()
            for number in range(50):
                key, value, head = event(f"{mark}-{name}-{number}", mark)
                await (await producer.send(JobCancel.topic, key=key, value=value, headers=head))
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        found = await collect(broker.bootstrap, KmsAudit, by(mark), 100)
    await producer.stop()
    assert Counter(record.kid.split("-", 1)[1].rsplit("-", 1)[0] for record in found) == {"committed": 50, "last": 50}


def test_a_broker_that_is_down_at_the_start_is_said_in_a_sentence():
    with sample("copy", f"127.0.0.1:{free_port()}", TEST_READY_SECONDS="1") as worker:
        assert worker.wait(30) == 1
        assert "no Kafka broker answers at 127.0.0.1" in worker.stderr.read()


def test_health_says_what_it_waits_for():
    with sample("copy", f"127.0.0.1:{free_port()}") as worker:
        deadline = time.monotonic() + 20
        status, body = 0, ""
        while "waiting for the broker" not in body and time.monotonic() < deadline:
            time.sleep(0.1)
            status, body = get(worker.port, "/healthz")
    assert status == 503
    assert "waiting for the broker" in json.loads(body)["problem"]


def test_sigterm_ends_a_worker_whose_broker_is_gone(tmp_path):
    """Pitfall 6: Faust alone was still there after 60 s."""
    with LocalBroker(tmp_path) as broker:
        asyncio.run(ensure_topics(broker.bootstrap, 4, retention_days=30))
        with sample("copy", broker.bootstrap) as worker:
            until_ready(worker)
            broker.kill()
            time.sleep(1)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) in (0, 3)


def test_sigterm_ends_a_worker_that_has_not_joined_its_group_yet(broker):
    with sample("copy", broker.bootstrap, TEST_NEVER_JOINS="1") as worker:
        deadline = time.monotonic() + 40
        while "joining" not in get(worker.port, "/healthz")[1]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) in (0, 3)


class TestWatchdog:
    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch):
        monkeypatch.setattr(watchdog, "STALL_SECONDS", 1.0)
        monkeypatch.setattr(watchdog, "ASK_SECONDS", 0.2)

    def watch(self, broker, busy=False):
        return Watchdog(broker.bootstrap, f"stalled-{uuid.uuid4().hex}", {"job.cancel": 4}, lambda: (set(), busy))

    async def test_lag_without_progress_ends_the_process(self, broker):
        """Pitfall 12: an empty assignment while events wait."""
        await send(broker.bootstrap, [event("waiting")])
        with pytest.raises(StalledError, match="no progress"):
            await asyncio.wait_for(self.watch(broker).run(), 20)

    async def test_a_busy_worker_is_left_alone(self, broker):
        await send(broker.bootstrap, [event("waiting")])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.watch(broker, busy=True).run(), 4)


async def test_offsets_of_an_unknown_group_are_absent_not_zero(broker):
    assert await committed_offsets(broker.bootstrap, "nobody", [TopicPartition("job.cancel", 0)]) == {}
