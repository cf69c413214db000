"""The owner of one input partition: takes what was fetched, answers for it, commits, ticks. One thing at a time.

Life of an owner: `fence` (nobody else may write for this partition any more), `restore` (what it holds of its own topics),
then batches and ticks until `release`. A rebalance makes new owners; nothing is carried over.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from aiokafka import TopicPartition

from schemas.errors import OutageError
from streams import metrics
from streams.agent import Agent
from streams.faust_app import Fetched
from streams.handling import Handled, Handling, Incoming
from streams.restore import restore
from streams.transaction import TransactionError, Transactions
from streams.views import Held

logger = logging.getLogger(__name__)

BATCH_EVENTS = 3000
BACKLOG_EVENTS = 8000
"""Above this many waiting events the partition is not fetched from: back-pressure."""

ATTEMPTS = 6
BACKOFF_SECONDS = 0.1
"""Doubles at each attempt: 0.1 + 0.2 + 0.4 + 0.8 + 1.6 s before an input is given up."""

IDLE_COMMIT_SECONDS = 1.0
"""When an owner without inputs commits past control records, so that a lag of 0 means that nothing is left."""


class PartitionOwner:
    """Answers for one input partition from assignment to revocation."""

    def __init__(
        self, agent: Agent, handling: Handling, brokers: str, source: TopicPartition, failed: Callable[[BaseException], None]
    ) -> None:
        self._agent, self._handling, self._brokers, self.source = agent, handling, brokers, source
        self._failed = failed
        self._transactions = Transactions(brokers, agent.name, source)
        self._held = [view for view in agent.views if isinstance(view, Held)] if source.topic == agent.reads[0].topic else []
        self._backlog: deque[Incoming] = deque()
        self._waiting_since = 0.0
        self._wake = asyncio.Event()
        self._released = False
        self._task: asyncio.Task[None] | None = None
        self._ticks = agent.tick is not None and source.topic == agent.reads[0].topic
        self._next: int | None = None
        self._committed: int | None = None
        self.busy_since: float | None = None

    async def fence(self) -> None:
        """Takes over: an earlier owner's open transaction is ended. Before the position is read."""
        await self._transactions.fence()

    def start(self, committed: int | None) -> None:
        """Restores what is held and begins to answer, from the committed offset, or from where there is one."""
        self._next = self._committed = committed
        self._task = asyncio.create_task(self._run(), name=f"{self._agent.name}-{self.source.topic}-{self.source.partition}")

    @property
    def full(self) -> bool:
        """True when no more should be fetched until some are answered for."""
        return len(self._backlog) >= BACKLOG_EVENTS

    def feed(self, fetched: Fetched) -> None:
        """Takes what was fetched.

        Raises:
            TransactionError: there is a gap between what was fetched before and this; going on would lose events.
        """
        if self._next is None:
            self._next = fetched.start
        if fetched.start > self._next:
            raise TransactionError(f"{self.source}: fetched from {fetched.start}, but {self._next} comes next")
        if not self._backlog:
            self._waiting_since = time.monotonic()
        self._backlog.extend(message for message in fetched.messages if message.offset >= self._next)
        self._next = max(self._next, fetched.end)
        if self._backlog:
            self._wake.set()

    async def release(self, timeout: float) -> None:
        """Finishes the transaction under way and gives the partition up; what waits is left to the next owner."""
        self._released = True
        self._wake.set()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=timeout)
            if not done:
                raise TransactionError(f"{self._task.get_name()}: the batch under way did not end within {timeout} s")
        for view in self._held:
            view.revoke(self.source.partition)
        await self._transactions.stop()

    async def _run(self) -> None:
        try:
            await restore(self._brokers, self._held, self.source.partition)
            next_tick = next_idle = time.monotonic()
            while not self._released:
                self._wake.clear()
                if self._backlog:
                    if self._agent.linger:
                        self._transactions.begin()
                    pause = self._waiting_since + self._agent.linger - time.monotonic()
                    if pause > 0 and len(self._backlog) < BATCH_EVENTS:
                        await asyncio.sleep(pause)
                    await self._step([self._backlog.popleft() for _ in range(min(len(self._backlog), BATCH_EVENTS))])
                    next_idle = time.monotonic() + IDLE_COMMIT_SECONDS
                now = time.monotonic()
                if self._ticks and now >= next_tick and not self._released:
                    next_tick = now + self._agent.every
                    await self._tick()
                if now >= next_idle and not self._backlog and not self._released:
                    next_idle = now + IDLE_COMMIT_SECONDS
                    await self._commit_idle()
                if not self._backlog and not self._released:
                    await self._sleep(min(next_idle, next_tick) if self._ticks else next_idle)
        except Exception as error:
            self._failed(error)

    async def _sleep(self, until: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), max(0.001, until - time.monotonic()))

    async def _step(self, messages: list[Incoming]) -> None:
        """Answers for all messages, in one transaction unless some must be tried again."""
        attempts = 0
        while messages and not self._released:
            handled = await self._timed(lambda batch=messages: self._handling.handle(batch))  # type: ignore[misc]
            if handled.failure is not None and handled.done == 0:
                attempts += 1
                if attempts >= ATTEMPTS and isinstance(handled.failure, OutageError):
                    raise handled.failure
                if attempts >= ATTEMPTS:
                    logger.error("giving up on %s after %d attempts", _name(messages[0]), attempts, exc_info=handled.failure)
                    handled = Handled([self._handling.dead_letter(messages[0], handled.failure, attempts)], done=1, dead=1)
            if handled.done:
                attempts = 0
                await self._commit(handled, messages[handled.done - 1].offset + 1)
                messages = messages[handled.done :]
            elif handled.failure is not None:
                await self._back_off(messages[0], handled.failure, attempts)

    async def _back_off(self, message: Incoming, failure: Exception, attempts: int) -> None:
        pause = BACKOFF_SECONDS * 2 ** (attempts - 1)
        logger.warning(
            "%s failed (%s: %s); attempt %d in %.1f s", _name(message), type(failure).__name__, failure, attempts + 1, pause
        )
        metrics.RETRIES.labels(self._agent.name, message.topic).inc()
        await asyncio.sleep(pause)

    async def _timed(self, work: Callable[[], Handled]) -> Handled:
        self.busy_since = time.monotonic()
        try:
            with metrics.HANDLING.labels(self._agent.name).time():
                return await asyncio.to_thread(work) if self._agent.offload else work()
        finally:
            self.busy_since = None

    async def _tick(self) -> None:
        tick = self._handling.tick
        try:
            handled = await self._timed(lambda: Handled(tick(self.source.partition)))
        except Exception:
            logger.exception("%s: a tick failed; it comes again in %.2f s", self._agent.name, self._agent.every)
            metrics.RETRIES.labels(self._agent.name, "tick").inc()
            return
        if handled.outgoing:
            await self._commit(handled, None)

    async def _commit(self, handled: Handled, offset: int | None) -> None:
        name, topic = self._agent.name, self.source.topic
        with metrics.TRANSACTION.labels(name).time():
            await self._transactions.commit(handled.outgoing, {} if offset is None else {self.source: offset})
        if offset is not None:
            self._committed = offset
        if handled.done:
            metrics.EVENTS.labels(name, topic).inc(handled.done)
            metrics.BATCH.labels(name).observe(handled.done)
        if handled.dead:
            metrics.DEAD.labels(name, topic).inc(handled.dead)
        metrics.observe(name, handled.outgoing)

    async def _commit_idle(self) -> None:
        """Moves the committed offset past the control records behind the last input; all inputs have been answered for."""
        if self._next is not None and self._next != self._committed:
            position = self._next
            await self._transactions.commit([], {self.source: position})
            self._committed = position


def _name(message: Incoming) -> str:
    return f"{message.topic}[{message.partition}]@{message.offset}"
