"""The SDK: submit a job and await its result, read any topic as typed records, publish threat events.

async with Client() as client:
    job_id = await client.submit("examples/jobs/ghz5.json")
    result = await client.result(job_id, timeout=60)
"""

import asyncio
import getpass
import logging
import secrets
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from pydantic import ValidationError

from schemas import cloudevents
from schemas.codec import encode, explain
from schemas.errors import InvalidRecordError
from schemas.jobs import JobCancel, JobCompleted, JobRequested
from schemas.manifests import KmsAudit, ManifestRequested
from schemas.mitigation import EmMeasured
from schemas.record import Record
from schemas.threats import ThreatObserved
from schemas.topics import MAX_EVENT_BYTES
from streams.connection import ANSWER_SECONDS, close, connect, unavailable, writer
from streams.errors import EventTooLargeError, TopicMismatchError
from streams.follower import Follower
from streams.job_ids import job_id as new_job_id
from streams.jobfile import load_job
from streams.messages import Received
from streams.progress import FOLLOWED, Job, JobTimeoutError
from streams.ranges import Position
from streams.records import read
from streams.settings import Settings

R = TypeVar("R", bound=Record)

log = logging.getLogger(__name__)

_TOGETHER = 1000  # events that wait for the broker at a time
_MEASURED = uuid.UUID("6f0d1f6e-4c7e-5d0b-9f0e-2b6a8f1f7c55")  # namespace of the ids of em.measured events
_AUDITED = uuid.UUID("0d1c7b5a-3f0e-5a86-9a0e-7f3f5a0f2c11")  # and of kms.audit entries


class Client:
    """A connection to the platform, for `async with`.

    Args:
        settings: a broker's address, or settings; the environment's and the local platform's when not given.
        source: `ce_source` of what this client publishes.
    """

    def __init__(self, settings: Settings | str | None = None, source: str = "/clients/python") -> None:
        self.brokers = settings if isinstance(settings, str) else (settings or Settings.load()).brokers
        self._source = source
        self._producer: AIOKafkaProducer | None = None
        self._follower: Follower | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._writer()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._follower is not None:
            await self._follower.stop()
        if self._producer is not None:
            await close(self._producer)
        self._follower = self._producer = None

    async def submit(self, job: JobRequested | Path | str | None = None, **fields: Any) -> str:
        """Publishes a job and returns its id; once it returns, the broker has the job.

        Args:
            job: the job, or a job file (see `streams.jobfile`); None: the job is made of `fields`.
            fields: fields of `JobRequested`; given with a file they replace what the file says.

        Raises:
            InvalidRecordError: a field that cannot be.
            EventTooLargeError: over the limit of one event.
            BrokerUnavailableError: nobody took it.
        """
        request = _request(job, fields)
        event = self._event(request)
        (await self._following()).announce(request)
        await self._send(request, *event)
        return request.job_id

    async def result(self, job_id: str, timeout: float | None = None, since: datetime | None = None) -> JobCompleted:
        """Waits for a job's result, whoever submitted it and when; `since`: when to begin to look for it.

        Raises:
            JobRejectedError: the scheduler rejected it; `reasons` has all of them.
            JobFailedError: it ended as ERROR or CANCELLED, or an agent could not handle it.
            JobTimeoutError: it was not over after `timeout` seconds.
            UnknownJobError: nobody requested it.
        """
        job = Job(job_id)
        try:
            async with asyncio.timeout(timeout), aclosing(self.watch(job_id, since)) as changes:
                async for job in changes:  # noqa: B007 - the last one is wanted
                    pass
        except TimeoutError:
            raise JobTimeoutError(
                f"job {job_id} was {job.state} after {timeout:g} s; it goes on: ask for its result again"
            ) from None
        return job.result()

    async def run(
        self, job: JobRequested | Path | str | None = None, *, timeout: float | None = None, **fields: Any
    ) -> JobCompleted:
        """Submits a job and waits for its result; raises as `submit` and `result`."""
        return await self.result(await self.submit(job, **fields), timeout)

    async def status(self, job_id: str, since: datetime | None = None) -> Job:
        """What is known of a job now.

        Raises:
            UnknownJobError: nobody requested it.
        """
        async with aclosing(self.watch(job_id, since)) as changes:
            return await anext(changes)

    async def watch(self, job_id: str, since: datetime | None = None) -> AsyncGenerator[Job, None]:
        """The job now and after each change, until it is over.

        Raises:
            UnknownJobError: nobody requested it.
        """
        async with aclosing((await self._following()).watch(job_id, since)) as changes:
            async for job in changes:
                yield job

    async def cancel(self, job_id: str, reason: str) -> None:
        """Asks for a job to be cancelled; one that is over stays as it is.

        Raises:
            UnknownJobError: nobody requested it.
        """
        await self.status(job_id)
        cancel = JobCancel(job_id=job_id, cancelled_by=getpass.getuser(), reason=reason)
        await self._send(cancel, *self._event(cancel))

    async def jobs(self, since: datetime | None = None) -> list[Job]:
        """All jobs that were requested since then, or ever; oldest first."""
        start: Position = since or "beginning"
        requests = [event.record async for event in self.records(JobRequested, start)]
        requests.sort(key=lambda request: request.requested_at)
        jobs = {request.key: Job(request.job_id, request) for request in requests}
        for kind in FOLLOWED:
            async for event in self.records(kind, start):
                if event.key in jobs:
                    jobs[event.key] = jobs[event.key].fold(event.record)
        return list(jobs.values())

    async def records(
        self, kind: type[R], start: Position = "beginning", stop: Position = "end", *, follow: bool = False
    ) -> AsyncGenerator[Received[R], None]:
        """A topic's records from a time, an offset or an end; ends where the topic ended at the call, or never with `follow`.

        Records that cannot be decoded are counted in a warning; `streams.records.read` yields them too.
        """
        broken = 0
        async with aclosing(read(self.brokers, kind, start, stop, follow=follow)) as events:
            async for event in events:
                if isinstance(event, Received):
                    yield event
                else:
                    broken += 1
        if broken:
            log.warning("%d records of %s could not be decoded and were left out", broken, kind.topic)

    async def publish_threat(self, *threats: ThreatObserved) -> None:
        """Publishes security events; each is called by its own id, however often it is sent.

        Raises:
            EventTooLargeError: one is over the limit of one event; none is sent.
            BrokerUnavailableError: nobody took one of them.
        """
        events = [(threat, *self._event(threat, threat.event_id)) for threat in threats]
        await asyncio.gather(*(self._send(*event) for event in events))

    async def publish_audit(self, *audits: KmsAudit) -> None:
        """Publishes what was done with keys; an entry of a chain has the id of its place there, however often it is sent.

        Raises:
            EventTooLargeError: over the limit of one event.
            BrokerUnavailableError: nobody took one of them.
        """
        await asyncio.gather(*(self._send(audit, *self._event(audit, _audit_id(audit))) for audit in audits))

    async def request_manifest(self, request: ManifestRequested) -> None:
        """Asks the signer for a manifest; once it returns, the broker has the request.

        Raises:
            EventTooLargeError: over the limit of one event.
            BrokerUnavailableError: nobody took it.
        """
        await self._send(request, *self._event(request))

    async def publish_measured(self, results: Iterable[EmMeasured]) -> int:
        """Publishes what a nightly measured, and returns how many events that were; many are under way at a time.

        An event's id is made of the task and the observable: who publishes a night again sends the same ids.

        Raises:
            EventTooLargeError: over the limit of one event.
            BrokerUnavailableError: nobody took one of them.
        """
        sent = 0
        remaining = iter(results)
        while some := list(islice(remaining, _TOGETHER)):
            events = (
                (result, *self._event(result, uuid.uuid5(_MEASURED, f"{result.task_id}/{result.observable}"))) for result in some
            )
            await asyncio.gather(*(self._send(*event) for event in events))
            sent += len(some)
        return sent

    def _event(self, record: Record, event_id: uuid.UUID | str | None = None) -> tuple[bytes, list[tuple[str, bytes]]]:
        trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
        headers = cloudevents.headers(type(record), str(event_id or uuid.uuid4()), self._source, cloudevents.timestamp(), trace)
        value = encode(record)
        size = len(value) + sum(len(name) + len(content) for name, content in headers)
        if size > MAX_EVENT_BYTES:
            raise EventTooLargeError(
                f"this {record.topic} event has {size:,} bytes and one event may have {MAX_EVENT_BYTES:,} (1 MiB): send less in one"
            )
        return value, headers

    async def _send(self, record: Record, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        producer = await self._writer()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await producer.send_and_wait(record.topic, value, key=record.key, headers=headers)
        except UnknownTopicOrPartitionError as error:
            raise TopicMismatchError(f"the broker has no topic {record.topic}: `quantumai up` creates the topics") from error
        except (KafkaError, TimeoutError) as error:
            raise unavailable(self.brokers, error) from error

    async def _writer(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                self._producer = await connect(writer(self.brokers), self.brokers)
            return self._producer

    async def _following(self) -> Follower:
        async with self._opening:
            if self._follower is None:
                self._follower = Follower(self.brokers)
        await self._follower.start()
        return self._follower


def _audit_id(audit: KmsAudit) -> uuid.UUID | None:
    return uuid.uuid5(_AUDITED, f"{audit.chain}/{audit.sequence}") if audit.chain else None


def _request(job: JobRequested | Path | str | None, fields: dict[str, Any]) -> JobRequested:
    if isinstance(job, JobRequested) and not fields:
        return job
    if isinstance(job, Path | str):
        job = load_job(Path(job))
    given = {} if job is None else {name: getattr(job, name) for name in JobRequested.model_fields}
    try:
        return JobRequested(**{"job_id": new_job_id(str(fields.get("name", ""))), **given, **fields})
    except ValidationError as error:
        raise InvalidRecordError(f"this job cannot be requested: {explain(error)}") from error
