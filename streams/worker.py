"""Runs one declared agent until it is told to stop. Crash-only: whatever cannot be answered for ends the process.

Exit codes: 0 after SIGTERM or SIGINT, 3 when a transaction failed or the group stalled (start me again), 1 for the rest.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, NoReturn

import uvloop
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams import faust_app, metrics
from streams.agent import Agent
from streams.connection import connected, reader
from streams.errors import BrokerUnavailableError, StreamsError, TopicMismatchError
from streams.faust_app import Fetched
from streams.handling import Handling
from streams.health import Health, serve
from streams.partition import PartitionOwner
from streams.restore import Follower
from streams.settings import Settings
from streams.transaction import TransactionError
from streams.views import LatestByKey
from streams.watchdog import StalledError, Watchdog, committed_offsets

logger = logging.getLogger(__name__)

START_AGAIN = 3
READY_SECONDS = 60.0
"""How long broker and topics may take to appear."""

STOP_SECONDS = 8.0
"""How long a graceful stop may take; a broker that is gone must not hold up the end."""

QUIET_SECONDS = 30.0


def run(agent: Agent, settings: Settings) -> int:
    """Runs the agent and returns the exit code.

    Raises:
        StreamsError: it cannot even start, in a sentence.
    """
    _configure_logging()
    return uvloop.run(_run(agent, settings))


async def _run(agent: Agent, settings: Settings) -> int:
    return await _Worker(agent, settings).run()


class _Worker:
    """The life of one worker process: wait, prepare, join, serve, stop."""

    def __init__(self, agent: Agent, settings: Settings) -> None:
        self._agent, self._brokers, self._settings = agent, settings.brokers, settings
        self._health = Health(agent.name)
        self._owners: dict[TopicPartition, PartitionOwner] = {}
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._partitions: dict[str, int] = {}

    async def run(self) -> int:
        agent = self._agent
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._finish, 0)
        server = serve(self._settings.metrics_host, self._settings.metrics_port, self._health)
        logger.info("%s: http://%s:%d/metrics", agent.name, self._settings.metrics_host, server.server_port)
        app = faust_app.create(agent, self._brokers, self)
        beat = asyncio.create_task(self._beat())
        try:
            if await self._or_end(self._prepare()):
                await self._or_end(self._serve(app))  # Faust waits without end for a broker that went away while it joins
            return await self._end
        finally:
            beat.cancel()
            self._health.waiting_for = "stopping"
            await self._stop(app)
            server.shutdown()

    async def _prepare(self) -> bool:
        """Everything before the group is joined: broker, topics, domain, views."""
        self._health.waiting_for = f"waiting for the broker at {self._brokers} and its topics"
        self._partitions = await _topics(self._brokers, self._agent.topics)
        self._health.waiting_for = "preparing"
        if self._agent.start is not None:
            await asyncio.to_thread(self._agent.start)
        self._health.waiting_for = "reading its views"
        follower = Follower(self._brokers, [view for view in self._agent.views if isinstance(view, LatestByKey)])
        self._guard(follower.run(), "follower")
        await follower.complete.wait()
        self._health.waiting_for = "joining its consumer group"
        return True

    async def _serve(self, app: faust_app.App) -> bool:
        """Joins the group, and watches over it."""
        reads = {kind.topic: self._partitions[kind.topic] for kind in self._agent.reads}
        self._guard(Watchdog(self._brokers, self._agent.name, reads, self._mine).run(), "watchdog")
        await app.start()
        _spare_the_collector()
        self._guard(self._faust(app), "faust")
        return True

    async def _faust(self, app: faust_app.App) -> None:
        await app.wait_until_stopped()
        raise StreamsError(f"Faust stopped: {app.crash_reason!r}")

    async def _or_end(self, work: Any) -> bool:
        """The work's result, or False when the end comes first."""
        task = asyncio.ensure_future(work)
        await asyncio.wait([task, self._end], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return bool(task.result())
        task.cancel()
        return False

    def _guard(self, work: Any, name: str) -> None:
        """Runs for as long as the process; its end by an exception is the process's."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed(error)

    async def _beat(self) -> None:
        while True:
            self._health.beat()
            await asyncio.sleep(1)

    def _finish(self, code: int) -> None:
        if not self._end.done():
            self._end.set_result(code)

    def failed(self, error: BaseException) -> NoReturn:
        """The process must end, and at once: an outcome is unknown or nothing moves."""
        again = isinstance(error, TransactionError | StalledError | BrokerUnavailableError | KafkaError)
        logger.error("%s leaves: %s: %s", self._agent.name, type(error).__name__, error, exc_info=None if again else error)
        logging.shutdown()
        os._exit(START_AGAIN if again else 1)

    async def assigned(self, sources: Iterable[TopicPartition]) -> None:
        """Fences the earlier owners of all partitions, side by side; see `streams.faust_app.Owners`."""
        await self.revoked()
        handling = Handling(self._agent, self._partitions)
        owners = [PartitionOwner(self._agent, handling, self._brokers, source, self.failed) for source in sorted(sources)]
        try:
            await asyncio.gather(*(owner.fence() for owner in owners))
            committed = await committed_offsets(self._brokers, self._agent.name, [owner.source for owner in owners])
        except (StreamsError, KafkaError) as error:
            self.failed(error)
        for owner in owners:
            owner.start(committed.get(owner.source))
        self._owners = {owner.source: owner for owner in owners}
        metrics.REBALANCES.labels(self._agent.name).inc()
        metrics.ASSIGNED.labels(self._agent.name).set(len(owners))
        logger.info(
            "%s holds %s",
            self._agent.name,
            ", ".join(f"{source.topic}[{source.partition}]" for source in self._owners) or "nothing",
        )
        self._health.waiting_for = None

    async def revoked(self) -> None:
        """Ends what is under way; see `streams.faust_app.Owners`."""
        owners, self._owners = self._owners, {}
        try:
            await asyncio.gather(*(owner.release(STOP_SECONDS) for owner in owners.values()))
        except TransactionError as error:
            self.failed(error)

    def feed(self, fetched: Fetched) -> None:
        """See `streams.faust_app.Owners`."""
        owner = self._owners.get(fetched.source)
        if owner is not None:
            try:
                owner.feed(fetched)
            except TransactionError as error:
                self.failed(error)

    def full(self) -> set[TopicPartition]:
        """See `streams.faust_app.Owners`."""
        return {source for source, owner in self._owners.items() if owner.full}

    def _mine(self) -> tuple[set[TopicPartition], bool]:
        return set(self._owners), any(owner.busy_since is not None for owner in self._owners.values())

    async def _stop(self, app: faust_app.App) -> None:
        started = time.monotonic()
        last_resort = threading.Timer(STOP_SECONDS + 2, os._exit, [START_AGAIN])  # Faust's threads wait for a broker that is gone
        last_resort.daemon = True
        last_resort.start()
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.revoked()
                if app.started:
                    await app.stop()
        except TimeoutError:
            logger.warning(
                "%s: the broker did not take leave within %.0f s; its session will time out", self._agent.name, STOP_SECONDS
            )
        if self._agent.stop is not None:
            await asyncio.to_thread(self._agent.stop)
        logger.info("%s stopped in %.1f s", self._agent.name, time.monotonic() - started)


async def _topics(brokers: str, wanted: set[str]) -> dict[str, int]:
    """Waits for the broker and all topics: a worker that joins a group before it sees them is assigned nothing, for ever.

    Raises:
        BrokerUnavailableError: no broker answered in time.
        TopicMismatchError: the broker is there, topics are missing.
    """
    deadline, said = time.monotonic() + READY_SECONDS, False
    while True:
        problem: StreamsError
        try:
            async with connected(reader(brokers, ()), brokers) as consumer:
                metadata = await consumer._client.fetch_all_metadata()
                found = {topic: len(metadata.partitions_for_topic(topic) or ()) for topic in wanted}
            missing = sorted(topic for topic, count in found.items() if not count)
            if not missing:
                return found
            problem = TopicMismatchError(
                f"the topics {', '.join(missing)} do not exist at {brokers}: "
                "`quantumai up` makes them, or `python -m streams.make_topics`"
            )
        except BrokerUnavailableError as error:
            problem = error
        except KafkaError as error:
            problem = BrokerUnavailableError(f"the broker at {brokers} does not answer ({type(error).__name__}): is it running?")
        if time.monotonic() > deadline:
            raise problem
        if not said:
            logger.warning("waiting: %s", problem)
            said = True
        await asyncio.sleep(0.25)


def _spare_the_collector() -> None:
    """Leaves out of garbage collection what is here for good: to look through it again would stop all partitions for 0.1 s.

    What is made for a batch dies with it, by its counts of references; to look for cycles at every 700th object took a tenth of a
    large batch's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _configure_logging() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("streams").setLevel(logging.INFO)
    for noisy in ("aiokafka", "faust", "mode", "streams.faust_app"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_not_again)


_said: dict[tuple[str, str], float] = {}


def _not_again(record: logging.LogRecord) -> bool:
    """Lets a client's complaint through once in `QUIET_SECONDS`: aiokafka repeats it ten times a second while a broker is away."""
    if record.levelno < logging.ERROR or not record.name.startswith(("aiokafka", "faust", "mode")):
        return True
    kind, time_now = (record.name, str(record.msg)), time.monotonic()
    if time_now - _said.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
        return False
    _said[kind] = time_now
    return True
