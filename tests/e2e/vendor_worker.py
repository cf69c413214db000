"""A worker of the platform that knows one backend more: `double`, a vendor in the folder TEST_VENDOR (tests/em/vendor_double.py).

Files in that folder give it orders: while `hold` is there no run ends; `die` makes the next submission the process's last act.
"""

import os
import sys
from pathlib import Path
from types import MappingProxyType

from agents import build
from backends import registry
from backends.adapter import Result, Work
from schemas.calibration import CalibrationUpdated
from streams.settings import Settings
from streams.worker import run
from tests.em.vendor_double import FolderVendor

COMMAND = (sys.executable, "-m", "tests.e2e.vendor_worker")


class OrderedVendor(FolderVendor):
    """Implements `backends.adapter.Backend`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._orders = folder

    def calibration(self) -> CalibrationUpdated:
        own = super().calibration()
        hop = own.routes[0].hops[0].model_copy(update={"target": self.name})
        return own.model_copy(update={"routes": (own.routes[0].model_copy(update={"hops": (hop,)}),)})

    def submit(self, work: Work, tag: str) -> str:
        if (self._orders / "die").exists():
            (self._orders / "die").unlink()
            self._kill = True
        return super().submit(work, tag)

    def result(self, vendor_job_id: str) -> Result | None:
        return None if (self._orders / "hold").exists() else super().result(vendor_job_id)


def main(agent: str) -> int:
    folder = Path(os.environ["TEST_VENDOR"])
    registry.BACKENDS = MappingProxyType({**registry.BACKENDS, "double": lambda name, pool: OrderedVendor(folder)})
    settings = Settings.load()
    return run(build(agent, settings), settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
