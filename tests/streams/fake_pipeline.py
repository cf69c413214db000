"""Stands in for the agents: publishes the records that they would, in transactions, and manifests signed in software."""

import asyncio
import uuid
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from kms.manifest import completed_manifest, routed_manifest
from schemas import cloudevents
from schemas.codec import encode
from schemas.dead_letter import DeadLetter, Header
from schemas.jobs import BackendScore, Expectation, JobCompleted, JobRequested, JobRouted, JobStatus
from schemas.mitigation import Recommendation
from schemas.record import now
from streams.client import Client
from streams.partitioning import partition_of

BELL = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nh q[0];\ncx q[0], q[1];\n'
PARITY = {"name": "parity", "terms": [{"pauli": "ZZ", "coefficient": 1.0}]}


def job_fields(**changes):
    return {"circuits": (BELL,), "observables": (PARITY,), **changes}


def score(backend, *blocked):
    return BackendScore(
        backend=backend,
        calibration_id="a" * 64,
        method="zne",
        expected_fidelity=0.9,
        expected_error=0.1,
        cost_usd=0.5,
        availability_penalty=1.0,
        crypto_compatibility=0.0 if blocked else 1.0,
        score=0.0 if blocked else 1.8,
        wait_seconds=0.0,
        execution_seconds=0.1,
        blocked=blocked,
    )


def advice(backend):
    return Recommendation(
        backend=backend,
        calibration_id="a" * 64,
        method="zne",
        method_version="1",
        parameters={"scale_factors": [1.0, 3.0]},
        shot_overhead=2.0,
        total_shots=8192,
        circuit_count=2,
        expected_error=0.1,
        expected_fidelity=0.9,
        fidelity_low=0.8,
        fidelity_high=1.0,
        confidence=0.9,
        execution_seconds=0.1,
        reason="shallow",
    )


def routed(job: JobRequested, backend="fake_lima", reasons=("fake_lima has the highest score",)) -> JobRouted:
    return JobRouted(
        job_id=job.job_id,
        decision="ROUTED" if backend else "REJECTED",
        job=job,
        backend=backend,
        recommendation=advice(backend) if backend else None,
        scores=(score(backend),) if backend else (score("fake_lima", "no route offers QKD"),),
        reasons=reasons,
        scoring_policy="score-v1",
        model_version="m1",
    )


def status(job: JobRequested, state) -> JobStatus:
    return JobStatus(
        job_id=job.job_id,
        tenant=job.tenant,
        state=state,
        backend="fake_lima",
        queued_at=now(),
        routed_event_id="e",
    )


def completed(job: JobRequested, outcome="DONE", error=None) -> JobCompleted:
    return JobCompleted(
        job_id=job.job_id,
        tenant=job.tenant,
        status=outcome,
        expectations=(Expectation(circuit=0, observable="parity", value=0.98, standard_error=0.01, raw_value=0.9),),
        shots=8192,
        seeds={"job": job.seed},
        method="zne",
        method_version="1",
        parameters={},
        backend="fake_lima",
        calibration_id="a" * 64,
        vendor_job_id="v-1",
        circuit_hash=job.circuit_hash,
        result_hash="b" * 64,
        queue_seconds=0.1,
        execution_seconds=0.2,
        cost_usd=0.5,
        error=error,
        software={"qiskit": "2"},
        routed_event_id="e",
    )


def dead_letter(topic, offset, key, value, headers, *, agent="policy", reason="the Avro body is broken"):
    return DeadLetter(
        agent=agent,
        original_topic=topic,
        original_partition=partition_of(key, 4),
        original_offset=offset,
        original_key=key,
        original_value=value,
        original_headers=tuple(Header(key=name, value=content) for name, content in headers),
        original_timestamp=now(),
        reason=reason,
        exception="schemas.errors.UndecodableError",
        attempts=1,
    )


class Pipeline:
    """Publishes as agents do. `log` (see tests/kms/kms_events.Log) signs a manifest of each routed and completed job."""

    def __init__(self, producer: AIOKafkaProducer, log=None):
        self.producer, self.log = producer, log

    async def publish(self, *records, partition=None):
        """One transaction: the records, and their manifests as the signer would publish them."""
        async with self.producer.transaction():
            for record in records:
                event = await self._send(record, partition)
                attest = {JobRouted: routed_manifest, JobCompleted: completed_manifest}.get(type(record))
                if self.log is not None and attest is not None:
                    for signed in self.log.sign([attest(None, event)]):
                        await self._send(signed, self.log.partition)

    async def abort(self, *records):
        await self.producer.begin_transaction()
        for record in records:
            await self._send(record, None)
        await self.producer.flush()
        await self.producer.abort_transaction()

    async def raw(self, topic, key, value, headers=(), partition=None):
        async with self.producer.transaction():
            sent = await self.producer.send(topic, value, key=key, headers=list(headers), partition=partition)
        return await sent

    async def complete(self, job, pause=0.0):
        for record in (routed(job), status(job, "QUEUED"), status(job, "RUNNING")):
            await self.publish(record)
            await asyncio.sleep(pause)
        await self.publish(status(job, "DONE"), completed(job))

    async def _send(self, record, partition):
        event_id = str(uuid.uuid4())
        headers = cloudevents.headers(type(record), event_id, "/agents/fake", cloudevents.timestamp())
        value = encode(record)
        await self.producer.send(record.topic, value, key=record.key, headers=headers, partition=partition)
        return cloudevents.Event(record, event_id, cloudevents.digest(headers, record.key, value))


@asynccontextmanager
async def pipeline(brokers, log=None):
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, transactional_id=f"fake-{uuid.uuid4()}", max_request_size=8_000_000, linger_ms=2
    )
    await producer.start()
    try:
        yield Pipeline(producer, log)
    finally:
        await producer.stop()


@asynccontextmanager
async def answering(brokers, answer):
    """Calls `answer(pipeline, job)` for every job that is requested from now on."""
    async with pipeline(brokers) as agents, Client(brokers) as client:
        started = now()

        async def serve():
            async for event in client.records(JobRequested, started, follow=True):
                await answer(agents, event.record)

        serving = asyncio.create_task(serve())
        try:
            yield agents
        finally:
            serving.cancel()
            await asyncio.wait([serving])
