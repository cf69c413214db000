"""Faust's pitfalls that a setting decides (numbers as in docs/architecture.md): each is set, or refused at the start."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult

from benchmarks.chain import CHAIN
from streams.errors import SettingsError
from streams.faust_app import SESSION_SECONDS, Fetched, create, refuse_unsafe_environment

SOURCE = TopicPartition("threat.observed", 0)


@pytest.fixture
def app():
    return create(CHAIN["first"], "127.0.0.1:1", owners=None)


@pytest.mark.parametrize("variable", ["PROCESSING_GUARANTEE", "PRODUCER_THREADED", "STREAM_ACK_EXCEPTIONS"])
def test_what_would_lose_or_double_events_is_refused_by_name(variable):
    with pytest.raises(SettingsError, match=f"{variable} is set.*Unset it"):
        refuse_unsafe_environment({variable: "1"})


def test_the_environment_cannot_change_the_app(monkeypatch):
    monkeypatch.setenv("BROKER_SESSION_TIMEOUT", "60")
    monkeypatch.setenv("CONSUMER_AUTO_OFFSET_RESET", "latest")
    conf = create(CHAIN["first"], "127.0.0.1:1", owners=None).conf
    assert conf.broker_session_timeout == SESSION_SECONDS
    assert conf.consumer_auto_offset_reset == "earliest"


def test_pitfalls_1_2_7_10_are_settled_by_settings(app):
    assert [agent.concurrency for agent in app.agents.values()] == [1]
    assert not app.in_transaction
    assert app.conf.broker_session_timeout == SESSION_SECONDS <= 10
    assert not app.conf.topic_allow_declare
    assert app.conf.topic_disable_leader
    assert not app.conf.web_enabled
    assert not app.conf.web_tables_enabled


async def test_pitfall_13_the_group_reads_committed_records_only(app):
    consumer = app.consumer
    assert consumer._thread._create_worker_consumer(app.transport)._isolation_level == "read_committed"


async def test_faust_commits_nothing_by_itself(app):
    consumer = app.consumer
    consumer._commit = pytest.fail  # what Faust's own commit would call
    assert await consumer.commit() is True


class Records:
    """What aiokafka keeps of one fetched partition: numbers stand for the messages."""

    def __init__(self, start, end):
        self.next_fetch_offset, self._end = start, end

    def __iter__(self):
        while self.next_fetch_offset < self._end:
            self.next_fetch_offset += 1
            yield self.next_fetch_offset - 1


class Group:
    """The member of a group as aiokafka and Faust drive it, without a broker."""

    def __init__(self, app):
        self._app, self.thread = app, app.consumer._thread
        self._consumer = self.thread._consumer = self.thread._create_worker_consumer(app.transport)
        self._consumer._subscription.subscribe({SOURCE.topic})
        self._fetcher = self._consumer._fetcher = Fetcher(self._consumer._client, self._consumer._subscription)
        self._fetcher._fetch_task.cancel()

    def assign(self, generation, position):
        self._consumer._subscription.assign_from_subscribed([SOURCE])
        self._app.consumer_generation_id = generation
        self._consumer._subscription.seek(SOURCE, position)

    def begin_rebalance(self):
        self._consumer._subscription.begin_reassignment()
        self._app.consumer.stop_flow()

    def end_rebalance(self):
        self._app.consumer.resume_flow()

    def arrive(self, start, end):
        assignment = self._consumer._subscription.subscription.assignment
        records = Records(start, end)
        self._fetcher._records[SOURCE] = FetchResult(SOURCE, assignment=assignment, partition_records=records, backoff=0)
        for waiter in self._fetcher._fetch_waiters:
            waiter.set_result(None)


async def test_a_fetch_that_a_rebalance_overtakes_takes_nothing_from_the_next_owner(app):
    group = Group(app)
    group.assign(generation=1, position=100)
    overtaken = asyncio.create_task(group.thread._fetch({SOURCE}))
    await asyncio.sleep(0)
    group.begin_rebalance()
    group.assign(generation=2, position=50)
    group.arrive(50, 60)
    assert all(not fetched.messages for fetched in (await overtaken)[1])
    group.end_rebalance()
    assert await group.thread._fetch({SOURCE}) == (2, [Fetched(SOURCE, list(range(50, 60)), 50, 60)])


async def test_nothing_is_taken_while_a_rebalance_is_under_way(app):
    group = Group(app)
    group.assign(generation=1, position=100)
    group.arrive(100, 110)
    group._consumer._subscription.begin_reassignment()
    assert (await asyncio.wait_for(group.thread._fetch({SOURCE}), 1))[1] == []


async def test_a_fetch_waits_for_what_arrives(app):
    group = Group(app)
    group.assign(generation=1, position=100)
    fetch = asyncio.create_task(group.thread._fetch({SOURCE}))
    await asyncio.sleep(0)
    group.arrive(100, 103)
    assert await fetch == (1, [Fetched(SOURCE, [100, 101, 102], 100, 103)])
