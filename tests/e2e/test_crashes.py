"""What dies while jobs run: executor, signer, broker, supervisor. Nothing is lost, doubled, or run twice by a vendor."""

import asyncio
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from kms_events import routed as routed_event
from local_platform import LocalPlatform, eventually, over, until, until_state

from kms.manifest import routed_manifest
from schemas import cloudevents
from schemas.cloudevents import Event, digest
from schemas.codec import encode
from schemas.jobs import JobCompleted, JobRouted
from schemas.manifests import ManifestRequested, ManifestSigned
from streams.client import Client
from streams.connection import connected, writer
from streams.errors import PlatformError
from streams.orphans import orphans
from streams.platform_status import status
from streams.progress import Job
from tests.e2e import vendor_worker
from tests.em.vendor_double import FolderVendor

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
ZZ = ({"name": "zz", "terms": [{"pauli": "ZZ", "coefficient": 1.0}]},)
BELL_JOB = {"circuits": (HEAD + "qubit[2] q;\nh q[0];\ncx q[0], q[1];\n",), "observables": ZZ, "shots": 500}
MANIFESTS = 3000


def layers(qubits: int, depth: int) -> str:
    """A circuit that takes a while to simulate."""
    turns = [f"rx(0.{layer + 1}{qubit}) q[{qubit}];" for layer in range(depth) for qubit in range(qubits)]
    pairs = [f"cx q[{qubit}], q[{qubit + 1}];" for qubit in range(qubits - 1)]
    return "\n".join([HEAD, f"qubit[{qubits}] q;", *[line for _ in range(depth) for line in (*turns[:qubits], *pairs)]])


SLOW_JOB = {
    "circuits": (layers(10, 5),),
    "observables": ({"name": "z", "terms": [{"pauli": "Z" * 10, "coefficient": 1.0}]},),
    "method": "raw",
    "backend": "fake_guadalupe",
}


class Vendor(FolderVendor):
    """The vendor's side, for the test; the executor has its own, in the same folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def order(self, word: str, given: bool = True) -> None:
        (self.folder / word).touch() if given else (self.folder / word).unlink(missing_ok=True)

    def tags(self) -> Counter[str]:
        log = self.folder / "submissions"
        return Counter(log.read_text().splitlines() if log.exists() else ())


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    return Vendor(tmp_path_factory.mktemp("vendor"))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, vendor: Vendor) -> Iterator[LocalPlatform]:
    local = LocalPlatform(tmp_path_factory.mktemp("platform"))
    try:
        start(local, vendor)
        yield local
    finally:
        local.down()


def start(local: LocalPlatform, vendor: Vendor) -> None:
    environment = {"TEST_VENDOR": str(vendor.folder), "QUANTUMAI_BACKENDS": "double,fake_manila,fake_guadalupe"}
    local.up(environment, vendor_worker.COMMAND)


@pytest.fixture(autouse=True)
def no_orders_left(vendor: Vendor) -> Iterator[None]:
    yield
    vendor.order("hold", False)
    vendor.order("die", False)


async def stands_once(local: LocalPlatform, job: Job) -> None:
    """One result, and one manifest of it; and whatever else was signed verifies."""
    report = await local.verify()  # waits for the signer
    assert report.errors == ()
    results = [event for event in await local.records(JobCompleted) if event.record.job_id == job.job_id]
    assert len(results) == 1
    about = [e.record.event_id for e in await local.records(ManifestSigned) if e.record.event_topic == JobCompleted.topic]
    assert about.count(results[0].event_id) == 1


class TestExecutor:
    async def test_killed_between_submission_and_answer_the_vendor_is_not_asked_again(
        self, local: LocalPlatform, vendor: Vendor
    ) -> None:
        before = local.process("executor").restarts
        vendor.order("die")
        async with Client(local.brokers) as client:
            job = await over(client, await client.submit(**BELL_JOB, backend="double"))
        assert job.state == "DONE", job.reasons
        assert job.completed is not None and vendor.tags()[job.completed.routed_event_id] == 1
        assert local.process("executor").restarts == before + 1
        await stands_once(local, job)

    async def test_killed_while_the_vendor_runs_the_next_one_attaches_to_the_run(
        self, local: LocalPlatform, vendor: Vendor
    ) -> None:
        vendor.order("hold")
        async with Client(local.brokers) as client:
            submitted = await client.submit(**BELL_JOB, backend="double")
            running = await until_state(client, submitted, "RUNNING")
            killed = local.kill("executor")
            await asyncio.to_thread(until, lambda: local.process("executor").pid not in (None, killed))
            vendor.order("hold", False)
            job = await over(client, submitted)
        assert job.state == "DONE" and job.completed is not None and running.status is not None
        assert job.completed.vendor_job_id == running.status.vendor_job_id
        assert vendor.tags()[job.completed.routed_event_id] == 1
        await stands_once(local, job)

    async def test_killed_while_it_simulates_the_run_begins_anew_with_the_same_result(self, local: LocalPlatform) -> None:
        async with Client(local.brokers) as client:
            submitted = await client.submit(**SLOW_JOB)
            running = await until_state(client, submitted, "RUNNING")
            local.kill("executor")
            job = await over(client, submitted)
            undisturbed = await client.run(timeout=60, **SLOW_JOB)
        assert job.state == "DONE" and job.completed is not None and running.status is not None
        assert job.completed.vendor_job_id != running.status.vendor_job_id, "it had ended before it was killed"
        assert job.completed.result_hash == undisturbed.result_hash
        await stands_once(local, job)

    async def test_a_running_job_that_is_withdrawn_is_cancelled_at_the_vendor(self, local: LocalPlatform, vendor: Vendor) -> None:
        vendor.order("hold")
        async with Client(local.brokers) as client:
            submitted = await client.submit(**BELL_JOB, backend="double")
            await until_state(client, submitted, "RUNNING")
            await client.cancel(submitted, "too expensive")
            job = await over(client, submitted, 30)
        assert job.state == "CANCELLED" and "too expensive" in " ".join(job.reasons)
        assert job.completed is not None and vendor.cancelled(job.completed.vendor_job_id or "")
        await stands_once(local, job)


class TestSigner:
    async def test_killed_twice_under_load_its_logs_have_no_gap_and_no_double(self, local: LocalPlatform) -> None:
        """Decisions that run nothing (REJECTED), with their manifests, as fast as they go."""
        loading = asyncio.create_task(load(local.brokers, MANIFESTS))
        for share in (0.1, 0.5):
            await self.signed(local, int(MANIFESTS * share))
            local.kill("signer")
        await loading
        asked = Counter(event.record.event_id for event in await local.records(ManifestRequested))
        await self.signed(local, sum(asked.values()))
        leaves = [event.record for event in await local.records(ManifestSigned)]
        assert Counter(leaf.event_id for leaf in leaves) == asked and set(asked.values()) == {1}
        logs = defaultdict(list)
        for leaf in leaves:
            logs[leaf.log_id].append(leaf.index)
        assert len(logs) == 4
        assert all(indices == list(range(len(indices))) for indices in logs.values())
        report = await local.verify()
        assert report.errors == () and report.matched == report.manifests == len(leaves)

    @staticmethod
    async def signed(local: LocalPlatform, count: int) -> None:
        async def enough() -> bool:
            return len(await local.records(ManifestSigned)) >= count

        await eventually(enough)


async def load(brokers: str, count: int) -> None:
    """Publishes decisions and the requests for their manifests, in steps."""
    async with connected(writer(brokers), brokers) as producer:
        for first in range(0, count, 250):
            sent = []
            for number in range(first, min(first + 250, count)):
                record = routed_event(number, decision="REJECTED", backend=None, recommendation=None).record
                event_id = cloudevents.output_id("load", 0, number, JobRouted, 0)
                headers = cloudevents.headers(JobRouted, event_id, "/test", cloudevents.timestamp())
                value = encode(record)
                manifest = routed_manifest(None, Event(record, event_id, digest(headers, record.key, value)))
                about = cloudevents.headers(ManifestRequested, f"{event_id}-m", "/test", cloudevents.timestamp())
                sent.append(await producer.send(record.topic, value, key=record.key, headers=headers))
                sent.append(await producer.send(manifest.topic, encode(manifest), key=manifest.key, headers=about))
            await asyncio.gather(*sent)
            await asyncio.sleep(0.1)


class TestBroker:
    async def test_killed_while_jobs_run_all_complete(self, local: LocalPlatform, vendor: Vendor) -> None:
        async with Client(local.brokers) as client:
            ids = [await client.submit(**BELL_JOB, backend=name) for name in ("double", "fake_manila") * 4]
            ids.append(await client.submit(**SLOW_JOB))
            await until_state(client, ids[0], "QUEUED", "RUNNING", "DONE")
        killed = local.kill("kafka")
        await asyncio.to_thread(until, lambda: status(local.home).ready and local.process("kafka").pid != killed)
        async with Client(local.brokers) as client:
            jobs = await asyncio.gather(*(over(client, submitted) for submitted in ids))
        assert Counter(job.state for job in jobs) == {"DONE": 9}, [job.reasons for job in jobs]
        for job in jobs:
            await stands_once(local, job)
        assert set(vendor.tags().values()) == {1}


class TestSupervisor:
    async def test_killed_its_orphans_are_ended_by_the_next_up_and_everything_is_still_there(
        self, local: LocalPlatform, vendor: Vendor
    ) -> None:
        before = await local.records(JobCompleted)
        left = orphans(local.home)
        now = status(local.home)
        assert now.supervisor is not None
        os.kill(now.supervisor, signal.SIGKILL)
        until(lambda: not status(local.home).running)
        workers = {process.pid for process in now.processes}
        assert workers <= set(orphans(local.home)), "its processes live on"
        await asyncio.to_thread(start, local, vendor)
        assert set(left) & set(orphans(local.home)) == set()
        with pytest.raises(PlatformError, match="runs already"):
            await asyncio.to_thread(start, local, vendor)
        assert {event.event_id for event in await local.records(JobCompleted)} == {event.event_id for event in before}
        async with Client(local.brokers) as client:
            assert (await client.run(timeout=60, **BELL_JOB, backend="double")).status == "DONE"
        report = await local.verify()
        assert report.errors == () and report.matched == report.manifests
