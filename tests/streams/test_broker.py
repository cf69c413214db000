"""The local broker on a real JVM: it starts, survives SIGKILL, and says in one sentence why it cannot."""

import asyncio
import os
import shutil
import socket
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import MAX_DERIVED_BYTES
from streams.broker import LocalBroker
from streams.errors import BrokerError
from streams.java import find_java


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    with LocalBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


async def _create(broker: LocalBroker, topic: str, **settings: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings)])
    finally:
        await admin.close()


async def _produce(broker: LocalBroker, topic: str, values: list[bytes], transactional_id: str | None = None) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, max_request_size=2 * MAX_DERIVED_BYTES, transactional_id=transactional_id
    )
    await producer.start()
    try:
        if transactional_id:
            await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
        if transactional_id:
            await producer.commit_transaction()
    finally:
        await producer.stop()


async def _consume(broker: LocalBroker, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("attempt", range(3))
async def test_a_transaction_committed_just_before_a_sigkill_is_read_soon_after(own: LocalBroker, attempt: int) -> None:
    """KAFKA-20734: a restarted node lost the commit marker in about half of the attempts, and readers stood still for ever."""
    topic, values = f"survives-{attempt}", [f"{number}".encode() for number in range(100)]
    await _create(own, topic)
    await _produce(own, topic, values, transactional_id=topic)
    own.kill()
    assert not own.alive and not own.ready()
    began = time.monotonic()
    own.start()
    assert time.monotonic() - began < 15
    assert await _consume(own, topic, 100) == values


async def test_an_event_of_the_largest_derived_size_goes_through(own: LocalBroker) -> None:
    value = os.urandom(MAX_DERIVED_BYTES - 4096)
    await _create(own, "large", **{"max.message.bytes": str(MAX_DERIVED_BYTES)})
    await _produce(own, "large", [value])
    assert await _consume(own, "large", 1) == [value]


async def test_a_topic_is_not_created_by_asking_for_it(own: LocalBroker) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=own.bootstrap)
    await consumer.start()
    try:
        assert consumer.partitions_for_topic("misspelt") is None
        await consumer._client.fetch_all_metadata()
        assert "misspelt" not in await consumer.topics()
    finally:
        await consumer.stop()


def test_it_listens_on_the_loopback_only(own: LocalBroker) -> None:
    assert own.process is not None
    listening = _listening(own.process.pid)
    assert {port for _, port in listening} >= {own.port}
    assert {address for address, _ in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_a_second_broker_on_the_same_folder_says_so(own: LocalBroker) -> None:
    second = LocalBroker(own.folder, logs=own.folder / "second")
    with pytest.raises(BrokerError, match="another broker uses the same folder"):
        second.start()
    assert own.ready()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} at 127.0.0.1 cannot be used"):
            LocalBroker(tmp_path, port).start()


def test_missing_jars_are_said(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="make setup"):
        LocalBroker(tmp_path, jars=tmp_path / "nothing").start()


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match="cannot be used"):
        LocalBroker(tmp_path / "file" / "kafka").start()


def test_a_folder_may_have_any_letters_in_its_name_but_a_comma(tmp_path: Path) -> None:
    """The oracle: Kafka's own tool formats the folder, and says where."""
    folder = tmp_path / "Jürgen's = # ! \\u0041 数据 🜁 :x"
    LocalBroker(folder).command()
    assert (folder / "data" / "meta.properties").exists()
    with pytest.raises(BrokerError, match="comma"):
        LocalBroker(tmp_path / "a,b").command()


def test_a_full_disk_is_said_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10**6, 10**6))
    with pytest.raises(BrokerError, match=r"disk of .* is full"):
        LocalBroker(tmp_path).start()


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("java.io.IOException: No space left on device", "the disk is full"),
        ("something else", "kafka.log"),
    ],
)
def test_why_the_broker_left_is_read_from_what_it_logged_this_time(tmp_path: Path, log: str, said: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text(log)
    assert said in LocalBroker(tmp_path).cause()


def _java(folder: Path, script: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return java


def test_the_java_of_the_settings_is_the_one_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _java(tmp_path, """echo 'openjdk version "11.0.21" 2023-10-17' >&2""")
    monkeypatch.setenv("QUANTUMAI_JAVA", str(old))
    with pytest.raises(BrokerError, match=f"{old} is too old"):
        LocalBroker(tmp_path / "home").command()


@pytest.mark.parametrize("version", ["11.0.21", "1.8.0_392"])
def test_a_java_that_is_too_old_is_said(tmp_path: Path, version: str) -> None:
    old = _java(tmp_path, f"""echo 'openjdk version "{version}" 2023-10-17' >&2""")
    with pytest.raises(BrokerError, match=r"too old .*Java 17"):
        LocalBroker(tmp_path / "kafka", java=old).start()


def test_a_java_that_does_not_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="does not run"):
        find_java(_java(tmp_path, "exit 3"))


def test_no_java_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="no Java found"):
        find_java()


def test_java_home_goes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    java = _java(tmp_path / "bin", """echo 'openjdk version "21.0.1" 2023-10-17' >&2""")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == java


def _listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of the listening TCP sockets of a process, from /proc."""
    inodes = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found
