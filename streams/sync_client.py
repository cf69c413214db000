"""The SDK without `async`, for notebooks and scripts: the same client on an event loop of its own, in a thread.

with SyncClient() as client:
    print(client.run("examples/jobs/ghz5.json").expectations)
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from schemas.jobs import JobCompleted, JobRequested
from schemas.manifests import KmsAudit
from schemas.mitigation import EmMeasured
from schemas.record import Record
from schemas.threats import ThreatObserved
from streams.client import Client
from streams.errors import StreamsError
from streams.messages import Received
from streams.progress import Job
from streams.ranges import Position
from streams.settings import Settings

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class SyncClient:
    """`streams.client.Client`, method for method; works inside a notebook, whose own loop is running. Use `with` or `close`."""

    def __init__(self, settings: Settings | str | None = None, source: str = "/clients/python") -> None:
        self._client = Client(settings, source)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="quantumai-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        try:
            self._await(self._client.__aenter__())
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections and ends the thread."""
        if self._thread.is_alive():
            self._await(self._client.__aexit__())
            self._end_thread()

    def submit(self, job: JobRequested | Path | str | None = None, **fields: Any) -> str:
        """See `Client.submit`."""
        return self._await(self._client.submit(job, **fields))

    def result(self, job_id: str, timeout: float | None = None, since: datetime | None = None) -> JobCompleted:
        """See `Client.result`."""
        return self._await(self._client.result(job_id, timeout, since))

    def run(self, job: JobRequested | Path | str | None = None, *, timeout: float | None = None, **fields: Any) -> JobCompleted:
        """See `Client.run`."""
        return self._await(self._client.run(job, timeout=timeout, **fields))

    def status(self, job_id: str, since: datetime | None = None) -> Job:
        """See `Client.status`."""
        return self._await(self._client.status(job_id, since))

    def watch(self, job_id: str, since: datetime | None = None) -> Iterator[Job]:
        """See `Client.watch`."""
        return self._iterate(self._client.watch(job_id, since))

    def cancel(self, job_id: str, reason: str) -> None:
        """See `Client.cancel`."""
        self._await(self._client.cancel(job_id, reason))

    def jobs(self, since: datetime | None = None) -> list[Job]:
        """See `Client.jobs`."""
        return self._await(self._client.jobs(since))

    def records(
        self, kind: type[R], start: Position = "beginning", stop: Position = "end", *, follow: bool = False
    ) -> Iterator[Received[R]]:
        """See `Client.records`."""
        return self._iterate(self._client.records(kind, start, stop, follow=follow))

    def publish_threat(self, *threats: ThreatObserved) -> None:
        """See `Client.publish_threat`."""
        self._await(self._client.publish_threat(*threats))

    def publish_audit(self, *audits: KmsAudit) -> None:
        """See `Client.publish_audit`."""
        self._await(self._client.publish_audit(*audits))

    def publish_measured(self, results: Iterable[EmMeasured]) -> int:
        """See `Client.publish_measured`."""
        return self._await(self._client.publish_measured(results))

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise StreamsError("this client is closed: make another")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:  # a notebook's stop button
            future.cancel()
            raise

    def _iterate(self, source: AsyncGenerator[T, None]) -> Iterator[T]:
        async def following() -> tuple[bool, Any]:
            try:
                return True, await anext(source)
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                more, item = self._await(following())
                if not more:
                    return
                yield item
        finally:
            self._await(source.aclose())

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
