"""Debian's Prometheus, started on a free port; `make setup` unpacks it into build/."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from streams.broker import free_port

UNPACKED = Path(__file__).parents[2] / "build" / "prometheus" / "usr" / "bin" / "prometheus"


def binary() -> str | None:
    return str(UNPACKED) if UNPACKED.exists() else shutil.which("prometheus")


class Prometheus:
    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[tuple[Mapping[str, str], float]]:
        """(labels, value) of each series."""
        found = httpx.get(f"{self._base}/query", params={"query": expression}, timeout=10).json()["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def targets(self) -> dict[str, str]:
        """Address -> health: up, down or unknown."""
        active = httpx.get(f"{self._base}/targets", timeout=10).json()["data"]["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in active}


@contextmanager
def scraping(folder: Path, addresses: Sequence[str]) -> Iterator[Prometheus]:
    """A Prometheus that has scraped every address at least once."""
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s"},
        "scrape_configs": [{"job_name": "quantumai", "static_configs": [{"targets": list(addresses)}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port, program = free_port(), binary()
    assert program is not None
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        server, until = Prometheus(port), time.monotonic() + 120
        try:
            while True:
                try:
                    if (health := server.targets()) and set(health.values()) == {"up"}:
                        break
                except httpx.TransportError:
                    health = {}
                assert process.poll() is None and time.monotonic() < until, (
                    health,
                    (folder / "prometheus.log").read_text()[-2000:],
                )
                time.sleep(0.2)
            yield server
        finally:
            process.terminate()
