"""The whole platform, as a user has it: jobs from request to signed result, bad input of every kind, and what an auditor does."""

import asyncio
import base64
import json
import struct
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pytest
from local_platform import EXAMPLES, LocalPlatform, eventually, over, until
from prometheus_server import Prometheus, binary, scraping
from typer.testing import CliRunner

from cli.audit import verify_file
from cli.main import app
from em.ideal import ideal
from em.observables import bound
from kms.trust import TrustRoot
from schemas import cloudevents
from schemas.avro import fingerprint, schema_of
from schemas.calibration import CalibrationUpdated
from schemas.codec import MARKER, decode, encode
from schemas.dead_letter import DeadLetter, Header
from schemas.jobs import EmRecommended, JobCancel, JobCompleted, JobRequested, JobRouted, JobStatus
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Record, now
from schemas.threats import ThreatObserved
from schemas.topics import MAX_EVENT_BYTES, TOPICS
from streams import dead_letters
from streams.client import Client
from streams.connection import connected, writer
from streams.errors import EventTooLargeError
from streams.export import SCHEMA, Bundle, export
from streams.job_ids import job_id
from streams.jobfile import JobFileError, load_job
from streams.partitioning import partition_of
from streams.platform_state import BROKER
from streams.platform_status import status
from streams.progress import Job
from streams.records import messages
from streams.replay import replay

BELL = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\nh q[0];\ncx q[0], q[1];\n'
BIG = (EmRecommended, JobRouted, JobStatus)
BELL_JOB = {"circuits": (BELL,), "observables": ({"name": "zz", "terms": [{"pauli": "ZZ", "coefficient": 1.0}]},)}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    local = LocalPlatform(tmp_path_factory.mktemp("platform"))
    try:
        local.up()
        yield local
    finally:
        local.down()


@pytest.fixture(scope="module")
def ran(local: LocalPlatform) -> list[Job]:
    """All example jobs, through."""

    async def run() -> list[Job]:
        async with Client(local.brokers) as client:
            ids = [await client.submit(load_job(file)) for file in EXAMPLES]
            return list(await asyncio.gather(*(over(client, submitted) for submitted in ids)))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def bundle(local: LocalPlatform, ran: list[Job], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the topics after the example jobs."""
    path = tmp_path_factory.mktemp("export") / "all.avro"
    asyncio.run(export(local.brokers, path))
    return path


async def inject(brokers: str, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    async with connected(writer(brokers), brokers) as producer:
        await producer.send_and_wait(topic, value, key=key, headers=headers)


def envelope(kind: type[Record]) -> list[tuple[str, bytes]]:
    return cloudevents.headers(kind, str(uuid.uuid4()), "/test", cloudevents.timestamp())


async def letters_of(local: LocalPlatform, key: bytes, count: int = 1) -> list[DeadLetter]:
    """The dead letters of a key, once there are `count`."""
    async with asyncio.timeout(30):
        while True:
            found = [event.record async for event in dead_letters.dead_letters(local.brokers) if event.record.original_key == key]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.3)


@pytest.fixture(scope="module")
def prometheus(local: LocalPlatform, ran: list[Job], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped every worker since the example jobs were over."""
    workers = [process for process in status(local.home).processes if process.name != BROKER]
    with scraping(tmp_path_factory.mktemp("prometheus"), [f"127.0.0.1:{worker.port}" for worker in workers]) as server:
        yield server


@pytest.mark.skipif(binary() is None, reason="needs Prometheus, which `make setup` unpacks")
class TestMetrics:
    def test_every_job_is_counted_once_by_its_end(self, prometheus: Prometheus, ran: list[Job]) -> None:
        def total(name: str) -> float:
            return sum(value for _, value in prometheus.query(name))

        done = sum(job.state == "DONE" for job in ran)
        failed = sum(job.state in {"ERROR", "CANCELLED"} for job in ran)
        assert done > 0
        assert total("quantum_jobs_submitted_total") == done + failed
        assert total("quantum_jobs_completed_total") == done
        assert total("quantum_jobs_failed_total") == failed

    def test_times_are_those_of_the_results(self, prometheus: Prometheus, ran: list[Job]) -> None:
        ended = [job.completed for job in ran if job.completed is not None]
        for name, spent in (
            ("quantum_job_queue_time_seconds", sum(done.queue_seconds for done in ended)),
            ("quantum_job_execution_time_seconds", sum(done.execution_seconds for done in ended)),
        ):
            counted = sum(value for _, value in prometheus.query(f"{name}_count"))
            summed = sum(value for _, value in prometheus.query(f"{name}_sum"))
            assert (counted, summed) == (len(ended), pytest.approx(spent))


class TestExamples:
    def test_all_end_as_they_should(self, ran: list[Job]) -> None:
        states = {job.request.name: (job.state, job.reasons) for job in ran if job.request}
        due = {name: "REJECTED" if name.startswith("impossible") else "DONE" for name in states}
        assert {name: state for name, (state, _) in states.items()} == due, states
        assert len(states) == len(EXAMPLES) >= 7

    async def test_a_rejection_says_why_for_every_backend(self, local: LocalPlatform, ran: list[Job]) -> None:
        rejected = next(job for job in ran if job.state == "REJECTED")
        assert rejected.routed is not None and rejected.routed.backend is None and rejected.reasons
        published = {event.record.backend for event in await local.records(CalibrationUpdated)}
        assert {score.backend for score in rejected.routed.scores} == published
        assert all(score.blocked and score.score == 0 for score in rejected.routed.scores)

    def test_estimates_are_near_the_ideal_and_nearer_than_without_mitigation(self, ran: list[Job]) -> None:
        """The allowance: five standard errors of the shots, and three times the error that the policy predicted for its method."""
        errors, controls = [], []
        for job in ran:
            if job.completed is None or job.request is None or not job.request.observables:
                continue
            assert job.routed is not None and job.routed.recommendation is not None
            for found in job.completed.expectations:
                observable = next(each for each in job.request.observables if each.name == found.observable)
                [exact] = ideal(job.request.circuits[found.circuit], [observable])
                scale = bound(observable)
                error, control = abs(found.value - exact), abs(found.raw_value - exact)
                allowed = 5 * found.standard_error + 3 * job.routed.recommendation.expected_error * scale
                said = (
                    f"{job.request.name} {found.observable} by {job.completed.method}: {error=:.4f} {control=:.4f} {allowed=:.4f}"
                )
                print(said)  # noqa: T201 - what a failed run is judged by
                assert error <= allowed, said
                errors.append(error / scale)
                controls.append(control / scale)
        assert len(errors) >= 8
        assert sum(errors) < 0.6 * sum(controls), (errors, controls)

    def test_counts_come_where_nothing_is_to_be_estimated(self, ran: list[Job]) -> None:
        done = next(job.completed for job in ran if job.request and job.request.name == "bernstein-vazirani")
        assert done is not None and not done.expectations
        [seen] = done.counts
        assert max(seen.counts, key=seen.counts.__getitem__).endswith("1011") and sum(seen.counts.values()) == 1024

    async def test_every_event_stands_once(self, local: LocalPlatform, ran: list[Job]) -> None:
        ids = {job.job_id for job in ran}
        for kind, due in ((JobRouted, ids), (JobCompleted, {job.job_id for job in ran if job.completed})):
            found = Counter(event.record.job_id for event in await local.records(kind) if event.record.job_id in ids)
            assert found == dict.fromkeys(due, 1)


class TestEvidence:
    async def test_every_event_has_its_manifest_and_every_manifest_its_event(self, local: LocalPlatform, ran: list[Job]) -> None:
        report = await local.verify()
        events = len(await local.records(JobRouted)) + len(await local.records(JobCompleted))
        assert report.errors == ()
        assert report.manifests == report.matched == events >= 2 * len(ran) - 1
        assert report.signatures >= len(report.logs) > 0

    def test_an_export_verifies_offline(self, local: LocalPlatform, bundle: Path) -> None:
        report, unreadable = verify_file(bundle, TrustRoot.load(local.home / "trust.json"))
        assert (report.errors, unreadable) == ((), [])
        assert report.matched == report.manifests > 0

    @pytest.mark.parametrize("kind", [JobRouted, JobCompleted, ManifestSigned, LogCheckpoint], ids=lambda kind: kind.topic)
    @pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
    def test_one_changed_byte_is_found_and_named(
        self, local: LocalPlatform, bundle: Path, tmp_path: Path, kind: type[Record], place: float
    ) -> None:
        changed, names = tampered(bundle, tmp_path / "changed.avro", kind, place)
        report, unreadable = verify_file(changed, TrustRoot.load(local.home / "trust.json"))
        said = [*unreadable, *map(str, report.errors)]
        assert any(name in sentence for name in names for sentence in said), (names, said)

    def test_headers_are_signed_too(self, local: LocalPlatform, bundle: Path, tmp_path: Path) -> None:
        changed, [name] = tampered(bundle, tmp_path / "changed.avro", JobCompleted, 0.5, header="ce_time")
        report, _ = verify_file(changed, TrustRoot.load(local.home / "trust.json"))
        assert [name in str(error) for error in report.errors] == [True]


def tampered(bundle: Path, changed: Path, kind: type[Record], place: float, header: str = "") -> tuple[Path, tuple[str, ...]]:
    """The bundle with one byte changed in the last record of a topic; and what may name that record."""
    with bundle.open("rb") as file:
        source = fastavro.reader(file)
        metadata = {name: text for name, text in source.metadata.items() if not name.startswith("avro.")}
        entries = list(source)
    at = max(number for number, entry in enumerate(entries) if entry["topic"] == kind.topic)
    message = list(Bundle(bundle))[at]
    if header:
        [part] = [part for part in entries[at]["headers"] if part["key"] == header]
        part["value"] = flipped(part["value"], place)
    else:
        entries[at]["value"] = flipped(entries[at]["value"], place)
    with changed.open("wb") as file:
        fastavro.writer(file, SCHEMA, entries, codec="deflate", metadata=metadata)
    if kind in (ManifestSigned, LogCheckpoint):
        return changed, (message.place, decode(kind, message.value).log_id)
    return changed, (message.event_id,)


def flipped(value: bytes, place: float) -> bytes:
    at = int(len(value) * place)
    return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]


def requested(**changes: object) -> JobRequested:
    """A job as a careless or hostile client could write it: nothing is checked."""
    good = JobRequested(job_id=job_id("bad"), **BELL_JOB)
    return good.model_copy(update=changes)


def nan_in_place_of_shots(job: JobRequested) -> bytes:
    """The double NaN where the schema has a varint."""
    value, number = encode(job), 4321
    encoded = encode(job.model_copy(update={"shots": number}))
    at = next(index for index, (old, new) in enumerate(zip(value, encoded, strict=True)) if old != new)
    return value[:at] + struct.pack("<d", float("nan")) + value[at + 2 :]


def bad_requests() -> dict[str, bytes | None]:
    prefix = MARKER + fingerprint(schema_of(JobRequested))
    return {
        "no-avro": b"{'job': 1}",
        "broken-body": prefix + b"\xff" * 40,
        "cut-off": encode(requested())[:-7],
        "left-over": encode(requested()) + b"\0",
        "unknown-fingerprint": MARKER + bytes(8) + encode(requested())[10:],
        "another-topics-record": encode(JobCancel(job_id="x", cancelled_by="x", reason="x")),
        "nan-money": encode(requested(max_cost_usd=float("nan"))),
        "nan-shots": nan_in_place_of_shots(requested(shots=4322)),
        "no-shots": encode(requested(shots=0)),
        "no-circuit": encode(requested(circuits=())),
        "tombstone": None,
    }


class TestBadInput:
    @pytest.mark.parametrize("fault", sorted(bad_requests()))
    async def test_what_is_no_job_is_dead_lettered_with_its_bytes(self, local: LocalPlatform, fault: str) -> None:
        value, key, headers = bad_requests()[fault], f"{fault}-{uuid.uuid4().hex}".encode(), envelope(JobRequested)
        await inject(local.brokers, JobRequested.topic, key, value, headers)
        [letter] = await letters_of(local, key)
        assert (letter.agent, letter.original_topic, letter.original_value) == ("policy", JobRequested.topic, value)
        assert [(header.key, header.value) for header in letter.original_headers] == headers
        assert letter.attempts == 1 and letter.reason.startswith("job.requested: ")

    @pytest.mark.parametrize(
        ("kind", "agents"),
        [
            (EmRecommended, ["scheduler"]),
            (ManifestRequested, ["signer"]),
            (CalibrationUpdated, ["calibration", "scheduler"]),
            (ThreatObserved, ["threat"]),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, list) else "",
    )
    async def test_every_agent_dead_letters_what_it_cannot_read(
        self, local: LocalPlatform, kind: type[Record], agents: list[str]
    ) -> None:
        key, value = uuid.uuid4().hex.encode(), b"\xc3\x01poison"
        await inject(local.brokers, kind.topic, key, value, envelope(kind))
        letters = await letters_of(local, key, len(agents))
        assert sorted(letter.agent for letter in letters) == agents
        assert {letter.original_value for letter in letters} == {value}

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"circuits": ("OPENQASM 3.0; qubit[2] q; h q[0",)}, "circuit 0"),
            ({"circuits": (BELL.replace("h q[0]", "nonsense q[0]"),)}, "nonsense"),
            ({"method": "alchemy"}, "unknown method 'alchemy'"),
            ({"backend": "nowhere"}, "unknown backend 'nowhere'"),
            ({"observables": ({"name": "zzz", "terms": [{"pauli": "ZZZ", "coefficient": 1.0}]},)}, "3"),
        ],
        ids=["unparsed", "unknown-gate", "unknown-method", "unknown-backend", "width"],
    )
    async def test_what_is_no_possible_job_is_rejected_with_the_reason(
        self, local: LocalPlatform, fields: dict[str, object], reason: str
    ) -> None:
        async with Client(local.brokers) as client:
            job = await over(client, await client.submit(**{**BELL_JOB, **fields}), 30)
        assert job.state == "REJECTED"
        assert reason in " ".join(job.reasons), job.reasons

    async def test_a_job_over_a_mebibyte_is_refused_before_it_is_sent(self, local: LocalPlatform, tmp_path: Path) -> None:
        large = BELL + "// " + "x" * MAX_EVENT_BYTES
        async with Client(local.brokers) as client:
            with pytest.raises(EventTooLargeError, match=r"1,048,576 \(1 MiB\)"):
                await client.submit(**{**BELL_JOB, "circuits": (large,)})
        (tmp_path / "large.qasm").write_text(large)
        said = await asyncio.to_thread(CliRunner().invoke, app, ["submit", str(tmp_path / "large.qasm"), "--home", str(local.home)])
        assert said.exit_code == 1 and "1048576" in said.stderr

    async def test_a_job_of_nearly_a_mebibyte_is_run(self, local: LocalPlatform) -> None:
        """Its events embed it whole: em.recommended, job.routed and job.status are larger than what a client may send."""
        padded = (BELL + "// ").ljust(MAX_EVENT_BYTES // 8 - 128, "x")
        async with Client(local.brokers) as client:
            submitted = await client.submit(**{**BELL_JOB, "circuits": (padded,) * 8})
            job = await over(client, submitted)
        assert job.state == "DONE", job.reasons
        sizes = {
            kind.topic: [len(e.value or b"") for e in await local.records(kind) if e.record.job_id == submitted] for kind in BIG
        }
        assert all(size > MAX_EVENT_BYTES for found in sizes.values() for size in found[:1]), sizes

    def test_nan_shots_in_a_job_file_are_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "nan.json").write_text(json.dumps({"circuits": [BELL], "shots": float("nan")}))
        with pytest.raises(JobFileError, match="shots"):
            load_job(tmp_path / "nan.json")

    async def test_a_poisoned_withdrawal_is_passed_over_with_a_word_in_the_log(self, local: LocalPlatform) -> None:
        await inject(local.brokers, JobCancel.topic, b"poison", b"\xc3\x01poison", envelope(JobCancel))
        await asyncio.to_thread(until, lambda: "view of job.cancel: record" in local.log("executor"), 20)

    async def test_after_all_of_it_no_agent_was_started_again_and_jobs_still_run(self, local: LocalPlatform) -> None:
        async with Client(local.brokers) as client:
            result = await client.run(timeout=60, **BELL_JOB)
        assert abs(result.expectations[0].value - 1) < 0.2
        processes = {process.name: (process.ready, process.restarts) for process in status(local.home).processes}
        assert set(processes.values()) == {(True, 0)}, processes
        assert (await local.verify()).errors == ()


class TestOperations:
    async def test_a_dead_letter_that_is_retried_is_handled_as_if_nothing_had_happened(self, local: LocalPlatform) -> None:
        """As after a repaired agent: the job of a letter runs once the letter is sent again."""
        job = JobRequested(job_id=job_id("retried"), **BELL_JOB)
        headers = envelope(JobRequested)
        letter = DeadLetter(
            agent="policy",
            original_topic=JobRequested.topic,
            original_partition=partition_of(job.key, 4),
            original_offset=0,
            original_key=job.key,
            original_value=encode(job),
            original_headers=tuple(Header(key=name, value=content) for name, content in headers),
            original_timestamp=now(),
            reason="it had a defect then",
            exception="ZeroDivisionError",
            attempts=6,
        )
        await inject(local.brokers, DeadLetter.topic, letter.key, encode(letter), envelope(DeadLetter))
        said = await asyncio.to_thread(
            CliRunner().invoke,
            app,
            ["dead-letters", "retry", "--all", "--topic", JobRequested.topic, "--since", "5s", "--home", str(local.home)],
        )
        assert said.exit_code == 0 and "sent again" in said.stdout, said.output
        async with Client(local.brokers) as client:

            async def done() -> bool:
                return (await client.status(job.job_id)).state == "DONE"

            await eventually(done)
        [message] = [event for event in await local.records(JobRequested) if event.record.job_id == job.job_id]
        assert dict(headers).items() <= dict(message.headers).items()
        assert dead_letters.RETRY_HEADER in dict(message.headers)

    async def test_what_is_still_broken_comes_back_with_the_same_bytes(self, local: LocalPlatform) -> None:
        key = uuid.uuid4().hex.encode()
        await inject(local.brokers, JobRequested.topic, key, b"poison", envelope(JobRequested))
        await letters_of(local, key)
        [letter] = [event async for event in dead_letters.dead_letters(local.brokers) if event.record.original_key == key]
        assert await dead_letters.retry(local.brokers, [letter]) == 1
        first, second = await letters_of(local, key, 2)
        assert first.original_value == second.original_value == b"poison"
        assert first.original_offset != second.original_offset

    async def test_a_withdrawal_that_is_there_first_ends_the_job_before_it_runs(self, local: LocalPlatform) -> None:
        withdrawn = job_id("withdrawn")
        async with Client(local.brokers) as client:
            await inject_cancel(local.brokers, withdrawn)
            await asyncio.sleep(1)
            await client.submit(JobRequested(job_id=withdrawn, **BELL_JOB))
            job = await over(client, withdrawn, 30)
        assert job.state == "CANCELLED" and "changed my mind" in " ".join(job.reasons)
        assert job.completed is not None and job.completed.vendor_job_id is None

    async def test_a_topic_is_replayed_into_another_byte_for_byte(self, local: LocalPlatform, ran: list[Job]) -> None:
        into = f"audit-{uuid.uuid4().hex[:8]}"
        count = await replay(local.brokers, JobCompleted.topic, into)
        copies = {topic: await self.contents(local.brokers, topic) for topic in (JobCompleted.topic, into)}
        assert copies[into] == copies[JobCompleted.topic] and sum(map(len, copies[into].values())) == count >= len(ran) - 1

    @staticmethod
    async def contents(brokers: str, topic: str) -> dict[int, list[tuple[object, ...]]]:
        found: dict[int, list[tuple[object, ...]]] = {}
        async for batch in messages(brokers, [topic]):
            for message in batch:
                content = (message.key, message.value, message.headers, message.timestamp_ms)
                found.setdefault(message.partition, []).append(content)
        return found

    def test_a_second_up_says_that_it_runs(self, local: LocalPlatform) -> None:
        said = CliRunner().invoke(app, ["up", "--home", str(local.home)])
        assert said.exit_code == 1 and f"runs already, its broker at {local.brokers}" in said.stderr

    async def test_last_a_decision_that_nobody_made_is_dead_lettered_and_found_by_verify(self, local: LocalPlatform) -> None:
        """Last, because from here on the topics do not verify any more."""
        key, headers = f"forged-{uuid.uuid4().hex}".encode(), envelope(JobRouted)
        await inject(local.brokers, JobRouted.topic, key, b"\xc3\x01forged", headers)
        [letter] = await letters_of(local, key)
        assert (letter.agent, letter.original_value) == ("executor", b"\xc3\x01forged")
        errors = [str(error) for error in (await local.verify()).errors]
        assert len(errors) == 1 and dict(headers)["ce_id"].decode() in errors[0] and "no (further) manifest" in errors[0]


async def inject_cancel(brokers: str, withdrawn: str) -> None:
    record = JobCancel(job_id=withdrawn, cancelled_by="test", reason="changed my mind")
    await inject(brokers, JobCancel.topic, record.key, encode(record), envelope(JobCancel))


def test_the_token_s_pin_is_in_its_file_and_in_no_other_and_in_no_event(
    local: LocalPlatform, ran: list[Job], tmp_path: Path
) -> None:
    """A search over the whole folder, logs and the broker's own files too, and over every byte of every topic."""
    file = local.home / "token" / "pin"
    pin = file.read_bytes().strip()
    forms = [pin, pin.hex().encode(), *(base64.b64encode(bytes(shift) + pin)[4 if shift else 0 : -4] for shift in range(3))]
    places = {str(path): path.read_bytes() for path in local.home.rglob("*") if path.is_file() and path != file}
    everything = tmp_path / "everything.avro"
    asyncio.run(export(local.brokers, everything, topics=list(TOPICS)))
    for message in Bundle(everything):
        content = (
            message.key or b"",
            message.value or b"",
            *(part for name, value in message.headers for part in (name.encode(), value or b"")),
        )
        places[message.place] = b"\0".join(content)
    assert {"keys.db", "trust.json", "audit.jsonl"} <= {Path(place).name for place in places} and len(places) > 100
    assert [place for place, content in places.items() for form in forms if form in content] == []
    assert forms[1] in b"before" + file.read_bytes().strip().hex().encode()  # the search finds what it should
