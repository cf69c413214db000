"""Following jobs: one background reader for all jobs that a client waits for, and the way back for older ones."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime

from aiokafka import AIOKafkaConsumer

from schemas.jobs import JobRequested
from schemas.record import Record
from streams.connection import close, connect, reader
from streams.errors import BrokerUnavailableError, StreamsError
from streams.job_ids import not_before
from streams.messages import Received, kind_of, typed
from streams.progress import FOLLOWED, Job
from streams.ranges import Position, Span, spans
from streams.records import fetch, messages

_ALL: tuple[type[Record], ...] = (JobRequested, *FOLLOWED)

_REMEMBERED = 10_000
"""Jobs that are kept although nobody waits for them; older ones are read back when asked for."""


_STILL_SECONDS = 5.0
"""A job that is requested again under its id is not run again: when nothing happens for so long, what happened before is read."""


class UnknownJobError(StreamsError):
    """No record of the job stands in the topics."""


@dataclass(eq=False)
class _Tracked:
    job: Job
    whole: bool
    watchers: set["asyncio.Queue[Job | Exception]"] = field(default_factory=set)

    def show(self, job: Job) -> None:
        if job is not self.job:
            self.job = job
            for queue in self.watchers:
                queue.put_nowait(job)


class Follower:
    """Reads what happens to jobs from the moment it is started, without a consumer group."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._tracked: OrderedDict[str, _Tracked] = OrderedDict()
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Begins at the present ends of the topics; does nothing when it runs.

        Raises:
            BrokerUnavailableError, TopicMismatchError: as `streams.records.read`.
        """
        async with self._starting:
            if self._task is not None:
                if self._task.done():
                    self._task.result()
                return
            consumer = await connect(reader(self._brokers, [kind.topic for kind in FOLLOWED]), self._brokers)
            try:
                ranges = await spans(consumer, self._brokers, "end", None)
            except StreamsError:
                await close(consumer)
                raise
            self._consumer = consumer
            self._task = asyncio.create_task(self._follow(consumer, ranges), name="quantumai-follower")

    async def stop(self) -> None:
        """Stops reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._consumer is not None:
            await close(self._consumer)
            self._consumer = None

    def announce(self, request: JobRequested) -> None:
        """Tracks a job that is about to be requested: nothing of it can stand in the topics yet."""
        self._track(request.job_id, whole=True).show(Job(request.job_id, request))

    async def watch(self, job_id: str, since: datetime | None = None) -> AsyncGenerator[Job, None]:
        """The job now and after each change, until it is over. `since`: when to begin to look for an older job.

        Raises:
            UnknownJobError: nothing is known of it.
        """
        await self.start()
        tracked = self._track(job_id, whole=False)
        announced = tracked.whole
        if not announced:
            await self._complete(tracked, since)
        queue: asyncio.Queue[Job | Exception] = asyncio.Queue()
        tracked.watchers.add(queue)
        try:
            job = tracked.job
            yield job
            while not job.over:
                try:
                    async with asyncio.timeout(_STILL_SECONDS if announced else None):
                        changed = await queue.get()
                except TimeoutError:
                    with suppress(UnknownJobError, BrokerUnavailableError):  # not there yet, or a broker that will be back
                        await self._complete(tracked, since)
                        announced = False
                    continue
                if isinstance(changed, Exception):
                    raise changed
                job = changed
                yield job
        finally:
            tracked.watchers.discard(queue)

    async def _complete(self, tracked: _Tracked, since: datetime | None) -> None:
        """Adds what stands in the topics; what came live meanwhile is there already, and an older record changes nothing."""
        job_id = tracked.job.job_id
        records = await self._look_back(job_id, since)
        self._tracked[job_id] = tracked  # it may have been forgotten meanwhile
        for record in records:
            tracked.show(tracked.job.fold(record))
        tracked.whole = True

    async def _look_back(self, job_id: str, since: datetime | None) -> list[Record]:
        """The job's records in the topics.

        Raises:
            UnknownJobError: there are none.
        """
        start: Position = since or not_before(job_id) or "beginning"
        topics = [kind.topic for kind in _ALL]
        records: list[Record] = []
        key = job_id.encode()
        async with aclosing(messages(self._brokers, topics, start)) as batches:
            async for batch in batches:
                events = (typed(kind_of(message.topic), message) for message in batch if message.key == key)
                records += [event.record for event in events if isinstance(event, Received)]
        if not records:
            where = f" since {start:%Y-%m-%d %H:%M %Z}" if isinstance(start, datetime) else ""
            raise UnknownJobError(f"no job {job_id} was requested{where}: `quantumai jobs` lists those that were")
        return records

    def _track(self, job_id: str, whole: bool) -> _Tracked:
        tracked = self._tracked.get(job_id)
        if tracked is None:
            tracked = self._tracked[job_id] = _Tracked(Job(job_id), whole)
            self._forget()
        self._tracked.move_to_end(job_id)
        return tracked

    def _forget(self) -> None:
        if len(self._tracked) > 2 * _REMEMBERED:
            for job_id in [job_id for job_id, tracked in self._tracked.items() if not tracked.watchers][:_REMEMBERED]:
                del self._tracked[job_id]

    async def _follow(self, consumer: AIOKafkaConsumer, ranges: dict[tuple[str, int], Span]) -> None:
        try:
            async for batch in fetch(consumer, self._brokers, ranges):
                for message in batch:
                    tracked = self._tracked.get((message.key or b"").decode("utf-8", "replace"))
                    if tracked is not None and isinstance(event := typed(kind_of(message.topic), message), Received):
                        tracked.show(tracked.job.fold(event.record))
        except Exception as error:
            for tracked in self._tracked.values():
                for queue in tracked.watchers:
                    queue.put_nowait(error)
            raise
