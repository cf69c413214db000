"""A vendor in a folder: jobs outlive the processes that submit them, every submission leaves a line, results are computed.

It plays a remote device: what a killed executor submitted is still there for the next one.
"""

import json
import os
import signal
from pathlib import Path

from backends.adapter import Result, Work
from backends.aer import snapshot
from backends.device import Device
from backends.errors import BackendError
from backends.simulation import Simulator
from schemas.calibration import CalibrationUpdated, Price


class FolderVendor:
    """Implements `backends.adapter.Backend`.

    Args:
        folder: where the vendor keeps its jobs.
        kill_after_submit: the vendor took the job, and the submitting process dies before it hears of it.
        failures: calls of `submit` that fail, as a busy or unreachable vendor would, before one is taken.
    """

    name = "double"

    def __init__(self, folder: Path, kill_after_submit: bool = False, failures: int = 0) -> None:
        self._folder = folder
        self._kill = kill_after_submit
        self._failures = failures
        self._simulator = Simulator(Device(snapshot("aer_ideal")))
        self.works: dict[str, Work] = {}

    def calibration(self) -> CalibrationUpdated:
        return snapshot("aer_ideal").model_copy(update={"backend": self.name})

    def price(self) -> Price:
        return Price(per_job_usd=1.0, per_second_usd=2.0)

    def submissions(self, tag: str) -> int:
        """How many jobs were started under a tag, ever."""
        log = self._folder / "submissions"
        return log.read_text().splitlines().count(tag) if log.exists() else 0

    def submit(self, work: Work, tag: str) -> str:
        if self._failures:
            self._failures -= 1
            raise BackendError("the vendor is busy")
        with (self._folder / "submissions").open("a") as log:
            log.write(f"{tag}\n")
        vendor_job_id = f"vendor-{tag}-{self.submissions(tag)}"
        outcome = self._simulator.run(work)
        self._write(vendor_job_id, {"tag": tag, "counts": outcome.counts, "seconds": outcome.execution_seconds, "polls": 0})
        if self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        self.works[vendor_job_id] = work
        return vendor_job_id

    def attach(self, tag: str) -> str | None:
        return next((path.stem for path in sorted(self._folder.glob("*.json")) if json.loads(path.read_text())["tag"] == tag), None)

    def result(self, vendor_job_id: str) -> Result | None:
        """None at the first call, as any vendor would."""
        job = self._read(vendor_job_id)
        if job.get("cancelled"):
            raise BackendError(f"{vendor_job_id} was cancelled")
        if job["polls"] == 0:
            self._write(vendor_job_id, {**job, "polls": 1})
            return None
        return Result(tuple(job["counts"]), job["seconds"], 1.0 + 2.0 * job["seconds"], self.calibration().calibration_id)

    def cancel(self, vendor_job_id: str) -> None:
        self._write(vendor_job_id, {**self._read(vendor_job_id), "cancelled": True})

    def cancelled(self, vendor_job_id: str) -> bool:
        return bool(self._read(vendor_job_id).get("cancelled"))

    def lose(self, vendor_job_id: str) -> None:
        """The vendor forgets a job."""
        (self._folder / f"{vendor_job_id}.json").unlink()

    def _read(self, vendor_job_id: str) -> dict:
        path = self._folder / f"{vendor_job_id}.json"
        if not path.exists():
            raise BackendError(f"no job {vendor_job_id}")
        return json.loads(path.read_text())

    def _write(self, vendor_job_id: str, job: dict) -> None:
        path = self._folder / f"{vendor_job_id}.json"
        path.with_suffix(".new").write_text(json.dumps(job))
        path.with_suffix(".new").replace(path)
