"""Faust, made exactly-once: its consumer group, agents and life cycle; our fetching by batches and our transactions.

Faust's own consumer delivers event by event with two tasks each, commits by itself and reads uncommitted; the three
classes here change that and nothing else. `docs/architecture.md` lists the pitfalls that each setting answers.
"""

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faust
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver

from streams.agent import Agent
from streams.errors import SettingsError

logger = logging.getLogger(__name__)

SESSION_SECONDS = 10.0
"""A killed worker's partitions are handed on after this (Faust: 60 s). No heartbeat is sent while a partition is taken over."""

FETCH_SECONDS = 0.25
MAX_FETCH_BYTES = 8 * 1024 * 1024
MAX_FETCH_RECORDS = 5000

_FORBIDDEN: Mapping[str, str] = {
    "PROCESSING_GUARANTEE": "Faust's exactly_once sends outside any transaction; the worker has transactions of its own",
    "PRODUCER_THREADED": "Faust's threaded producer is broken; the worker has producers of its own",
    "STREAM_ACK_EXCEPTIONS": "Faust acknowledges failed events whatever it says; the worker dead-letters them",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """Messages of one partition, as they came from the broker.

    Attributes:
        messages: aiokafka ConsumerRecords in order; may be empty.
        start: the offset from which they were fetched.
        end: the next offset that will be fetched; offsets between that hold no message are control or aborted records.
    """

    source: TopicPartition
    messages: Sequence[Any]
    start: int
    end: int


class Owners(Protocol):
    """Whoever answers for the partitions (`streams.worker`)."""

    async def assigned(self, sources: Iterable[TopicPartition]) -> None:
        """These are ours now; called before their positions are read, so it must fence earlier owners."""

    async def revoked(self) -> None:
        """Nothing is ours any more."""

    def feed(self, fetched: Fetched) -> None:
        """Takes what was fetched."""

    def full(self) -> set[TopicPartition]:
        """Partitions that must not be fetched from until they have caught up."""


class _Thread(driver.AIOKafkaConsumerThread):
    """Runs the aiokafka consumer; reads committed records only, and says where it stands with what it fetched."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # Faust sets it only with its own exactly_once; the fetcher reads it at start
        return consumer

    async def fetch(self, partitions: set[TopicPartition]) -> tuple[int, list[Fetched]]:
        """Waits a little for messages of `partitions`; they come with the group's generation that they were fetched for."""
        generation, fetched = await self.call_thread(self._fetch, partitions)
        return int(generation), list(fetched)

    async def _fetch(self, partitions: set[TopicPartition]) -> tuple[int, list[Fetched]]:
        """Waits first and then takes without waiting: a rebalance meanwhile would have these taken from under their next owner."""
        consumer: Any = self._ensure_consumer()
        if not consumer._fetcher._records.keys() & partitions:
            await _arrival(consumer._fetcher)
        if consumer._subscription.reassignment_in_progress:
            return self.app.consumer_generation_id, []
        before = _positions(consumer)
        records = await self._fetch_records(consumer, partitions, timeout=0, max_records=MAX_FETCH_RECORDS)
        after = _positions(consumer)
        fetched = [Fetched(source, records.get(source, ()), start, after.get(source, start)) for source, start in before.items()]
        return self.app.consumer_generation_id, fetched


async def _arrival(fetcher: Any) -> None:
    """Returns when something has come from the broker, or after `FETCH_SECONDS`."""
    waiter = fetcher._create_fetch_waiter()
    await asyncio.wait([waiter], timeout=FETCH_SECONDS)
    waiter.cancel()


def _positions(consumer: Any) -> dict[TopicPartition, int]:
    """The next offset to be fetched of every assigned partition that has one yet."""
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return {}
    states = {source: subscription.assignment.state_value(source) for source in subscription.assignment.tps}
    return {source: state._position for source, state in states.items() if state is not None and state._position is not None}


class _Consumer(driver.Consumer):
    """Hands whole fetched batches to the owners, and leaves commits to their transactions."""

    app: "App"
    _thread: _Thread

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: offsets are committed with the outputs; a commit here would move them backwards."""
        return True

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Takes the partitions over before Faust seeks to what is committed."""
        await self.app.owners.assigned({TopicPartition(*source) for source in assigned})
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Finishes what is under way, before others take the partitions over."""
        await super().on_partitions_revoked(revoked)
        await self.app.owners.revoked()

    async def verify_all_partitions_active(self) -> None:
        """Nothing: Faust's check asks for its own commits; `streams.watchdog` asks the broker."""

    async def _drain_messages(self, fetcher: Any) -> None:
        owners = self.app.owners
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            if not self.flow_active:
                await self.can_resume_flow.wait()
                continue
            wanted = {TopicPartition(*source) for source in self._get_active_partitions()} - owners.full()
            if not wanted:
                await asyncio.sleep(0.02)
                continue
            try:
                generation, batches = await self._thread.fetch(wanted)
            except self.consumer_stopped_errors:
                return
            if self.flow_active and generation == self.app.consumer_generation_id:
                for fetched in batches:
                    owners.feed(fetched)


class _Transport(driver.Transport):
    Consumer = _Consumer


class App(faust.App):
    """A Faust app with one agent; `owners` answer for the partitions."""

    owners: Owners

    def _create_directories(self) -> None:
        """None: Faust makes a folder for tables in the current directory, and there are no tables."""


def create(agent: Agent, brokers: str, owners: Owners) -> App:
    """The Faust app of one declared agent.

    Raises:
        SettingsError: the environment asks Faust for something that loses or doubles events.
    """
    refuse_unsafe_environment(os.environ)
    app = App(
        agent.name,
        env={},  # every setting stands here; Faust would take others from the environment
        broker=[f"kafka://{address}" for address in brokers.split(",")],
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 3,
        broker_request_timeout=20.0,
        broker_max_poll_records=MAX_FETCH_RECORDS,
        consumer_max_fetch_size=MAX_FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=10_000,
        stream_recovery_delay=0.0,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        web_tables_enabled=False,
        producer_linger=0.02,
    )
    app.owners = owners
    app.transport = _Transport(app.conf.broker, app, loop=app.loop)
    topic = app.topic(*(kind.topic for kind in agent.reads), value_serializer="raw", key_serializer="raw")

    @app.agent(topic, name=agent.name, concurrency=1)
    async def answer(stream: Any) -> None:
        """Faust joins the group for what its agents read; the batches go straight to the owners, not through its stream."""
        async for _ in stream:
            raise AssertionError("an event came through Faust's own stream")

    return app


def refuse_unsafe_environment(environment: Mapping[str, str]) -> None:
    """Faust takes settings from the environment too; those that break exactly-once are refused by name.

    Raises:
        SettingsError: one of them is set.
    """
    for name, why in _FORBIDDEN.items():
        for variable in (name, f"FAUST_{name}"):
            if variable in environment:
                raise SettingsError(f"{variable} is set, which this worker refuses: {why}. Unset it.")
