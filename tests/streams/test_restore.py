"""Views are what their topics say: to the end, whatever transactions were aborted on the way, and nothing else."""

import asyncio
import logging
import uuid
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaProducer

from schemas.codec import encode
from schemas.errors import InputError
from schemas.jobs import JobCancel, JobStatus
from schemas.manifests import LogCheckpoint
from schemas.record import now
from streams.restore import Follower, restore
from streams.views import HeldByKey, LastHeld, LatestByKey

MUCH = "x" * 3000
"""So long that 3,000 records of it are more than one fetch brings."""


@asynccontextmanager
async def transactions(broker):
    """Publishes records in one transaction, which is committed or aborted; bytes are published as they are."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=uuid.uuid4().hex)
    await producer.start()

    async def publish(kind, records, partition=None, commit=True):
        await producer.begin_transaction()
        for record in records:
            key, value = (b"poison", record) if isinstance(record, bytes) else (record.key, encode(record))
            await producer.send(kind.topic, value, key=key, partition=partition)
        await producer.flush()
        await (producer.commit_transaction() if commit else producer.abort_transaction())

    try:
        yield publish
    finally:
        await producer.stop()


@asynccontextmanager
async def following(broker, view, seconds=20):
    """Follows a view; entered once it says that it is complete."""
    follower = Follower(broker.bootstrap, [view])
    running = asyncio.create_task(follower.run())
    try:
        await asyncio.wait_for(follower.complete.wait(), seconds)
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def cancel(name, reason):
    return JobCancel(job_id=name, cancelled_by="test", reason=reason)


def state(name, state):
    return JobStatus(job_id=name, tenant="t", state=state, backend="b", queued_at=now(), routed_event_id="e")


def checkpoint(size):
    return LogCheckpoint(
        log_id="log/0", tree_size=size, root_hash=bytes(32), note="", previous_size=0, consistency_proof=b"", frontier=b""
    )


def live(status):
    return status.state in ("QUEUED", "RUNNING")


class TestLatestByKey:
    async def test_is_complete_before_it_says_so_and_goes_on_following(self, fresh_broker):
        mark, view = uuid.uuid4().hex, LatestByKey(JobCancel)
        async with transactions(fresh_broker) as publish:
            await publish(JobCancel, [cancel(f"{mark}-{number}", MUCH) for number in range(3000)], partition=1)
            await publish(JobCancel, [cancel(f"{mark}-7", "second")], partition=1)
            for number in range(3):
                aborted = [cancel(f"{mark}-{number}", "aborted"), cancel(f"{mark}-x", "aborted")]
                await publish(JobCancel, aborted, partition=1, commit=False)
            async with following(fresh_broker, view):
                ours = {key: found.reason for key, found in view.items() if key.startswith(mark)}
                assert ours == {f"{mark}-{number}": "second" if number == 7 else MUCH for number in range(3000)}
                await publish(JobCancel, [cancel(f"{mark}-later", "third")])
                async with asyncio.timeout(10):
                    while f"{mark}-later" not in view:  # noqa: ASYNC110 - nothing tells when a view has changed
                        await asyncio.sleep(0.05)

    async def test_passes_over_what_cannot_be_read_with_a_word(self, fresh_broker, caplog):
        mark, view = uuid.uuid4().hex, LatestByKey(JobCancel)
        async with transactions(fresh_broker) as publish:
            await publish(JobCancel, [cancel(f"{mark}-a", ""), b"\xc3\x01poison", cancel(f"{mark}-b", "")], partition=2)
        with caplog.at_level(logging.WARNING, "streams.restore"):
            async with following(fresh_broker, view):
                assert {f"{mark}-a", f"{mark}-b"} <= set(view)
        assert "of partition 2 is passed over: job.cancel: " in caplog.text

    async def test_reads_only_keys_with_its_prefix(self, fresh_broker, caplog):
        mark, heard = uuid.uuid4().hex, list[str]()
        view = LatestByKey(JobCancel, lambda cancel: heard.append(cancel.job_id), keep=False, prefix=f"{mark}-ours")
        async with transactions(fresh_broker) as publish:
            await publish(
                JobCancel, [cancel(f"{mark}-{whose}", "") for whose in ("theirs", "ours-1", "our", "ours-2")], partition=0
            )
        async with following(fresh_broker, view):
            assert heard == [f"{mark}-ours-1", f"{mark}-ours-2"] and not view

    async def test_without_views_there_is_nothing_to_wait_for(self):
        follower = Follower("127.0.0.1:1", [])
        await asyncio.wait_for(follower.run(), 1)
        assert follower.complete.is_set()


class TestHeldByKey:
    async def test_holds_the_latest_of_each_key_of_its_partition(self, fresh_broker):
        view = HeldByKey(JobStatus, live)
        async with transactions(fresh_broker) as publish:
            await publish(JobStatus, [state("a", "QUEUED"), state("b", "QUEUED"), state("c", "QUEUED")], partition=0)
            await publish(JobStatus, [state("elsewhere", "QUEUED")], partition=1)
            await publish(JobStatus, [state("b", "RUNNING"), state("c", "DONE")], partition=0)
            await publish(JobStatus, [state("a", "DONE"), state("d", "QUEUED")], partition=0, commit=False)
        await restore(fresh_broker.bootstrap, [view], 0)
        assert {key: found.state for key, found in view.partition(0).items()} == {"a": "QUEUED", "b": "RUNNING"}
        settled = view.find("c")
        assert settled is not None and settled.state == "DONE"
        assert view.find("d") is None and view.find("elsewhere") is None

    async def test_forgets_what_was_said_and_never_committed(self, fresh_broker):
        view = HeldByKey(JobStatus, live)
        await restore(fresh_broker.bootstrap, [view], 3)
        view.apply(3, state("staged", "QUEUED"))
        view.apply(3, state("settled", "DONE"))
        await restore(fresh_broker.bootstrap, [view], 3)
        assert not view.partition(3) and view.find("settled") is None

    async def test_passes_over_what_cannot_be_read_with_a_word(self, fresh_broker, caplog):
        """A record by somebody else must not keep the partition's owner from starting."""
        view = HeldByKey(JobStatus, live)
        async with transactions(fresh_broker) as publish:
            await publish(JobStatus, [state("before", "QUEUED"), b"\xc3\x01poison", state("behind", "QUEUED")], partition=2)
        with caplog.at_level(logging.WARNING, "streams.restore"):
            await restore(fresh_broker.bootstrap, [view], 2)
        assert set(view.partition(2)) == {"before", "behind"}
        assert "of partition 2 is passed over: job.status: " in caplog.text


class TestLastHeld:
    async def test_is_the_newest_record(self, fresh_broker):
        view = LastHeld(LogCheckpoint)
        async with transactions(fresh_broker) as publish:
            await publish(LogCheckpoint, [checkpoint(size) for size in range(1, 200)], partition=0)
        await restore(fresh_broker.bootstrap, [view], 0)
        async with asyncio.timeout(10):
            while view.last(0) is None:  # a commit is answered before its marker is written; a worker's fence would wait for that
                await restore(fresh_broker.bootstrap, [view], 0)
        assert view.last(0).tree_size == 199

    @pytest.mark.parametrize(("partition", "aborted"), [(1, 70), (2, 700)])
    async def test_is_found_behind_a_long_tail_of_aborted_records(self, fresh_broker, partition, aborted):
        view = LastHeld(LogCheckpoint)
        async with transactions(fresh_broker) as publish:
            await publish(LogCheckpoint, [checkpoint(1), checkpoint(2)], partition=partition)
            await publish(LogCheckpoint, [checkpoint(3)] * aborted, partition=partition, commit=False)
            for _ in range(5):
                await publish(LogCheckpoint, [checkpoint(4)], partition=partition, commit=False)
        await asyncio.wait_for(restore(fresh_broker.bootstrap, [view], partition), 15)
        assert view.last(partition).tree_size == 2

    async def test_there_is_none_where_all_was_aborted(self, fresh_broker):
        view = LastHeld(LogCheckpoint)
        await asyncio.wait_for(restore(fresh_broker.bootstrap, [view], 3), 15)
        assert view.last(3) is None
        async with transactions(fresh_broker) as publish:
            await publish(LogCheckpoint, [checkpoint(1)] * 100, partition=3, commit=False)
        await asyncio.wait_for(restore(fresh_broker.bootstrap, [view], 3), 15)
        assert view.last(3) is None

    async def test_a_record_that_cannot_be_read_is_not_passed_over(self, fresh_broker):
        """Going on from the one before would fork a log."""
        async with transactions(fresh_broker) as publish:
            await publish(LogCheckpoint, [checkpoint(5), b"\xc3\x01newer software"], partition=3)
        with pytest.raises(InputError, match=r"log\.checkpoint"):
            await restore(fresh_broker.bootstrap, [LastHeld(LogCheckpoint)], 3)
