"""The local platform with a real broker: up, status, down, and what dies in between. Workers are stand-ins."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import TOPICS
from streams.admin import topic_table
from streams.errors import PlatformError
from streams.platform import down, up
from streams.platform_status import PlatformStatus, status
from streams.settings import Settings
from streams.supervised import LARGEST_LOG_BYTES, Pauses, Supervised

AGENTS = ("policy", "signer")
FAKE = Path(__file__).with_name("fake_worker.py")


class Home:
    """A platform's folder, and the orders for its stand-in workers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder / "home", folder / "workers"
        self.workers.mkdir()

    def order(self, agent: str, orders: str) -> None:
        (self.workers / agent).write_text(orders)

    def starts(self, agent: str) -> list[dict[str, Any]]:
        file = self.workers / f"{agent}.starts"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def up(self, **options: Any) -> PlatformStatus:
        command = (sys.executable, str(FAKE), str(self.workers))
        return up(Settings.load(home=self.folder), AGENTS, command=command, **{"port": 0, "timeout": 60, **options})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    down(home.folder, timeout=1)


def _until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    """Ended, or a zombie that its new parent has not collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _command_line(pid: int | None) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def _pids(now: PlatformStatus) -> dict[str, int]:
    return {process.name: process.pid for process in now.processes if process.pid}


async def test_up_gives_a_broker_with_topics_and_a_worker_per_agent_and_down_leaves_nothing(home: Home) -> None:
    now = await asyncio.to_thread(home.up, environment={"QUANTUMAI_TOKEN_PIN": "314159"})
    assert now.ready and [process.name for process in now.processes] == ["kafka", *AGENTS]
    assert now.brokers == Settings.load(home=home.folder).brokers
    assert len(await topic_table(now.brokers)) == len(TOPICS)
    [start] = home.starts("signer")
    assert start["environment"]["QUANTUMAI_BROKERS"] == now.brokers
    assert start["environment"]["QUANTUMAI_HOME"] == str(home.folder)
    assert start["environment"]["QUANTUMAI_TOKEN_PIN"] == "314159"
    assert "314159" not in (home.folder / "platform.json").read_text() + _command_line(now.supervisor)
    with pytest.raises(PlatformError, match=f"runs already, its broker at {now.brokers}"):
        home.up()
    assert all(0 < process.memory_bytes < 2**30 for process in now.processes)
    assert down(home.folder)
    assert not status(home.folder).running and all(map(_gone, _pids(now).values()))
    _until(lambda: _gone(now.supervisor or 0))
    assert not down(home.folder)


def test_a_worker_that_is_killed_and_a_broker_that_is_killed_are_started_again(home: Home) -> None:
    before = _pids(home.up())
    os.kill(before["policy"], signal.SIGKILL)
    _until(lambda: len(home.starts("policy")) == 2)
    os.kill(before["kafka"], signal.SIGKILL)
    _until(lambda: status(home.folder).ready and _pids(status(home.folder))["kafka"] != before["kafka"])
    processes = {process.name: process for process in status(home.folder).processes}
    assert (processes["policy"].restarts, processes["kafka"].restarts, processes["signer"].restarts) == (1, 1, 0)
    assert (processes["policy"].last_exit or "").endswith("killed by SIGKILL"), "and no line that stood in its log by chance"
    assert "left (killed by SIGKILL)" in (processes["kafka"].last_exit or "")


def test_a_supervisor_that_was_killed_leaves_nothing_that_the_next_up_or_down_does_not_end(home: Home) -> None:
    home.order("signer", "parent")
    first = home.up()
    child = int((home.workers / "signer.child").read_text())
    os.kill(first.supervisor or 0, signal.SIGKILL)
    _until(lambda: not status(home.folder).running)
    assert not any(map(_gone, _pids(first).values())), "its children live on"
    assert status(home.folder).left == len([child, *_pids(first)])
    second = home.up()
    assert second.ready and all(map(_gone, [child, *_pids(first).values()]))
    os.kill(second.supervisor or 0, signal.SIGKILL)
    _until(lambda: not status(home.folder).running)
    assert down(home.folder)
    _until(lambda: all(map(_gone, _pids(second).values())))


def test_a_worker_that_ignores_sigterm_is_killed_with_what_it_started(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 1000 & echo $! > child; wait; wait"
    worker = Supervised(["sh", "-c", f"cd {tmp_path}; {script}"], dict(os.environ), tmp_path / "deaf.log", 0)
    worker.tend()
    _until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    pids = [worker.state().pid or 0, int((tmp_path / "child").read_text())]
    worker.terminate()
    time.sleep(0.3)
    assert not any(map(_gone, pids))
    worker.end(time.monotonic() + 0.2)
    _until(lambda: all(map(_gone, pids)))


def test_a_worker_that_cannot_start_ends_up_with_its_last_words_and_stops_everything(home: Home) -> None:
    home.order("signer", "leave")
    with pytest.raises(PlatformError, match=r"signer does not start .*exit status 1: it cannot go on like this"):
        home.up()
    assert not status(home.folder).running


def test_a_worker_that_is_not_ready_in_time_is_named_with_its_reason_and_goes_on(home: Home) -> None:
    home.order("policy", "unready")
    with pytest.raises(PlatformError, match=r"not ready after 6 s .*policy: reading its views"):
        home.up(timeout=6)
    assert status(home.folder).running


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGTERM, "was stopped while it started"), (signal.SIGKILL, "killed by SIGKILL.*quantumai down")]
)
def test_a_supervisor_that_ends_while_it_starts_is_told_by_how(home: Home, number: signal.Signals, said: str) -> None:
    home.order("policy", "unready")
    ended: list[int] = []

    def end(now: PlatformStatus) -> None:
        if home.starts("policy") and not ended:
            ended.append(now.supervisor or 0)
            os.kill(ended[0], number)

    with pytest.raises(PlatformError, match=said):
        home.up(progress=end)


def test_a_port_in_use_is_said(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=f"port {port} .*choose another"):
            home.up(port=port)
    assert not status(home.folder).running and home.starts("policy") == []
    log = (home.folder / "logs" / "supervisor.log").read_text()
    assert f"the supervisor leaves: port {port}" in log and "Traceback" not in log


@pytest.mark.parametrize(("port", "metrics_port"), [(99999, 0), (-1, 0), (0, 65535)])
def test_a_port_that_cannot_be_is_refused_before_it_is_written_down(home: Home, port: int, metrics_port: int) -> None:
    settings = Settings.load(home=home.folder, metrics_port=metrics_port)
    with pytest.raises(PlatformError, match="there is no port"):
        up(settings, AGENTS, port=port)
    assert not (home.folder / "platform.json").exists()


def test_a_full_disk_stands_in_the_status(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.up()
    assert status(home.folder).warnings == ()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10**6, 10**6))
    assert "is full: 0 MiB are free" in status(home.folder).warnings[0]


def test_a_process_that_has_left_is_said_even_where_its_supervisor_cannot_write(home: Home) -> None:
    now = home.up()
    os.kill(now.supervisor or 0, signal.SIGSTOP)
    try:
        os.kill(_pids(now)["policy"], signal.SIGKILL)
        _until(lambda: status(home.folder).processes[1].problem == "has left")
    finally:
        os.kill(now.supervisor or 0, signal.SIGCONT)


def test_a_broker_on_another_machine_is_not_ours_to_start(home: Home) -> None:
    settings = Settings.load(home=home.folder, brokers="kafka.example:9092")
    with pytest.raises(PlatformError, match="not this machine"):
        up(settings, AGENTS)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="cannot be used"):
        up(Settings.load(home=tmp_path / "file" / "home"), AGENTS, port=0)


def test_pauses_double_up_to_ten_seconds_and_a_healthy_run_makes_them_short_again() -> None:
    pauses = Pauses()
    assert [pauses.next(1.0) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [pauses.next(31.0), pauses.next(1.0)] == [0.5, 1.0]


@pytest.mark.parametrize("movable", [True, False])
def test_a_port_that_somebody_has_taken_meanwhile_is_left_to_him_unless_it_was_chosen(tmp_path: Path, movable: bool) -> None:
    log = tmp_path / "agent.log"
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = somebody.getsockname()[1]
        worker = Supervised(["sh", "-c", "echo $QUANTUMAI_METRICS_PORT."], dict(os.environ), log, taken, movable=movable)
        worker.tend()
        _until(lambda: log.exists() and b"." in log.read_bytes())
    assert (worker.state().port != taken) is movable
    assert log.read_text().strip() == f"{worker.state().port}."
    worker.end(time.monotonic() + 5)


def test_a_log_is_cut_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_bytes(b"x" * (LARGEST_LOG_BYTES + 1))
    worker = Supervised(["sh", "-c", "while echo line; do sleep 0.05; done"], dict(os.environ), log, 0)
    try:
        worker.tend()
        worker.tend()
        _until(lambda: b"line" in log.read_bytes())
        assert log.stat().st_size < 1000 and log.read_bytes().startswith(b"line")
        assert (tmp_path / "agent.log.1").stat().st_size > LARGEST_LOG_BYTES
    finally:
        worker.terminate()
        worker.end(time.monotonic() + 5)
