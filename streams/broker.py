"""A real Apache Kafka on this machine: one KRaft node in one JVM, no Docker.

with LocalBroker(folder) as broker:
    ...                      # broker.bootstrap
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Self

from streams.disk import shortage
from streams.endings import how_it_ended
from streams.errors import BrokerError
from streams.fencing import SESSION_MS, fence
from streams.java import find_java
from streams.kafka_log import meaning, size, tail
from streams.kafka_properties import broker_properties, controller_properties
from streams.settings import Settings

LOG_CONFIGURATION = Path(__file__).resolve().parents[1] / "deploy" / "broker" / "log4j2.properties"

_CLEAN = ".kafka_cleanshutdown"
"""What Kafka leaves in its data when it was stopped in order."""

_METADATA_V4 = struct.pack(">hhihiB", 3, 4, 1, -1, 0, 0)  # api 3, version 4, correlation 1, no client id, no topics, create none


class LocalBroker:
    """One Kafka node, its data and its logs in one folder. It survives SIGKILL: start it again on the same folder.

    Attributes:
        port: of the clients' listener, chosen at construction where 0 was given.
        process: the JVM, once started.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        advertise: str | None = None,
        logs: Path | None = None,
        jars: Path | None = None,
        java: Path | None = None,
        heap: str = "512m",
        optimise: bool = False,
    ) -> None:
        """Starts nothing.

        Args:
            folder: for the data; made when it is missing.
            port: 0 takes a free one.
            host: address to listen on.
            advertise: host name that clients are told; `host` when not given.
            logs: folder for kafka.log and kafka.out; `folder`/logs when not given.
            jars: folder with Kafka's jars; the one that `make setup` fills when not given.
            java: that of the settings when not given, else see `find_java`.
            heap: the JVM's -Xmx.
            optimise: let the JVM's second compiler run: slower start, more memory, less CPU per record under long load.
        """
        self.folder = folder.resolve()
        self.host, self.advertise = host, advertise or host
        self.port = port or free_port()
        self.logs = (logs or folder / "logs").resolve()
        settings = Settings.load()
        self.jars = (jars or settings.kafka_libs).resolve()
        self.java, self.heap, self.optimise = java or settings.java, heap, optimise
        self.process: subprocess.Popen[bytes] | None = None
        self._logged = 0

    @property
    def bootstrap(self) -> str:
        """host:port for clients on this machine."""
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """The JVM runs; it may not answer yet."""
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        """See `answers`."""
        return answers(self.port)

    def command(self) -> list[str]:
        """Prepares the folder (formats it once, fences what was killed) and returns the command that runs the broker.

        Raises:
            BrokerError: no Java, no jars, the port in use, the disk full or the folder not writable.
        """
        java = self._java_command()
        if "," in str(self.folder):
            raise BrokerError(f"the folder {self.folder} has a comma in its name, which Kafka takes for two: choose another")
        self._check_port()
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_space()
            data = self.folder / "data"
            if not (data / "meta.properties").exists():
                self._format(java, data)
            elif not (data / _CLEAN).exists():
                properties = self._write("controller.properties", controller_properties(data, free_port(), SESSION_MS))
                fence(java, properties, self.logs / "fencing.log")
            properties = self._write("server.properties", self._properties(data))
            return [*java, f"-Dquantumai.log={self.logs / 'kafka.log'}", "kafka.Kafka", str(properties)]
        except OSError as error:
            raise BrokerError(f"the broker's folder {self.folder} cannot be used ({error}): choose another or free it") from error

    def launch(self) -> None:
        """Starts the JVM in a process group of its own, without waiting for it.

        Raises:
            BrokerError: see `command`.
        """
        command = self.command()
        self._logged = size(self.logs / "kafka.log")
        with (self.logs / "kafka.out").open("wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

    def start(self, timeout: float = 60.0) -> Self:
        """Starts the broker and waits until it is ready.

        Raises:
            BrokerError: see `command`; or it left, or was not ready in `timeout` seconds.
        """
        self.launch()
        deadline = time.monotonic() + timeout
        while not self.ready():
            if not self.alive:
                raise BrokerError(self.cause())
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(f"the broker was not ready after {timeout:g} s: see {self.logs / 'kafka.log'}")
            time.sleep(0.03)
        return self

    def stop(self, timeout: float = 20.0) -> None:
        """SIGTERM, and SIGKILL after `timeout` seconds. Does nothing when it does not run."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def cause(self) -> str:
        """Why the broker left, in one sentence, from what it logged last."""
        said = tail(self.logs / "kafka.log", self._logged) + tail(self.logs / "kafka.out")
        known = meaning(said)
        if known:
            return f"the broker at {self.bootstrap} left: {known}"
        code = self.process.poll() if self.process else None
        ended = "not started" if code is None else how_it_ended(code)
        return f"the broker at {self.bootstrap} left ({ended}): see {self.logs / 'kafka.log'}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _java_command(self) -> list[str]:
        java = find_java(self.java)
        if not any(self.jars.glob("kafka_*.jar")):
            raise BrokerError(f"Kafka's jars are not in {self.jars}: run `make setup`, or point QUANTUMAI_KAFKA_LIBS at them")
        archive = archive_of(self.jars)
        return [
            str(java),
            f"-Xmx{self.heap}",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            *([] if self.optimise else ["-XX:TieredStopAtLevel=1"]),
            *([f"-XX:SharedArchiveFile={archive}", "-Xlog:disable", "-Xlog:all=error"] if archive.exists() else []),
            f"-Dlog4j2.configurationFile={LOG_CONFIGURATION}",
            "-cp",
            f"{self.jars}/*",
        ]

    def _check_port(self) -> None:
        problem = refusal(self.host, self.port)
        if problem is not None:
            raise BrokerError(
                f"port {self.port} at {self.host} cannot be used ({problem.strerror}): choose another, or stop what uses it"
            ) from problem

    def _check_space(self) -> None:
        problem = shortage(self.folder)
        if problem is not None:
            raise BrokerError(problem)

    def _format(self, java: list[str], data: Path) -> None:
        """Formats beside and renames, so that a half-formatted folder cannot be."""
        fresh = self.folder / "data.fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        properties = self._write("format.properties", self._properties(fresh))
        tool = [*java, f"-Dquantumai.log={self.logs / 'format.log'}", "kafka.tools.StorageTool"]
        run = subprocess.run(
            [*tool, "format", f"--cluster-id={cluster}", "-c", properties], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            said = (run.stdout + run.stderr).strip().splitlines() or [""]
            raise BrokerError(f"Kafka could not format {self.folder}: {said[-1]}")
        fresh.rename(data)

    def _properties(self, data: Path) -> str:
        return broker_properties(data, self.host, self.port, self.advertise, free_port())

    def _write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content)
        return path


def archive_of(jars: Path) -> Path:
    """Where `streams.class_archive` writes the archive that goes with `jars`."""
    return jars.parent / "classes.jsa"


def answers(port: int) -> bool:
    """A broker that has taken up its work answers at this port of this machine: it is in the metadata that it hands out."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA_V4)) + _METADATA_V4)
            answer = connection.makefile("rb").read(16)  # length, correlation, throttle time, number of brokers
    except OSError:
        return False
    return len(answer) == 16 and struct.unpack(">i", answer[12:])[0] > 0


def refusal(host: str, port: int) -> OSError | None:
    """Why a TCP port cannot be listened on; None where it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
