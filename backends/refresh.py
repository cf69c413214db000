"""Which calibrations are due to be published: new ones, changed ones, and those that nobody heard of for a while."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from backends.adapter import Backend
from backends.errors import BackendError
from schemas.calibration import CalibrationUpdated
from schemas.record import now

log = logging.getLogger(__name__)

PERIOD = timedelta(minutes=5)
"""An unchanged calibration is said again after this, so that consumers can tell a quiet backend from a lost one."""


class Refresh:
    """Compares what the backends say with what was published last.

    Args:
        backends: by name.
        published: the latest published calibration of each backend.
        clock: for `published_at`.
    """

    def __init__(
        self, backends: Mapping[str, Backend], published: Mapping[str, CalibrationUpdated], clock: Callable[[], datetime] = now
    ) -> None:
        self._backends, self._published, self._clock = backends, published, clock
        self._returned: dict[str, CalibrationUpdated] = {}
        self._problems: dict[str, str] = {}

    def due(self, wanted: Callable[[str], bool]) -> list[CalibrationUpdated]:
        """Calibrations to publish now, of the backends whose name is `wanted`."""
        found = []
        for name, backend in self._backends.items():
            if wanted(name):
                found += self._published_now(name, backend)
        return found

    def _published_now(self, name: str, backend: Backend) -> list[CalibrationUpdated]:
        """The calibration, if it is due; none where the backend has none to give: said once, and the others go on."""
        try:
            current = backend.calibration().model_copy(update={"published_at": self._clock()})
        except BackendError as error:
            if self._problems.get(name) != str(error):
                log.warning("no calibration of %s is published: %s", name, error)
            self._problems[name] = str(error)
            return []
        self._problems.pop(name, None)
        if not self._is_due(current):
            return []
        self._returned[name] = current
        return [current]

    def _is_due(self, current: CalibrationUpdated) -> bool:
        said = [known for known in (self._published.get(current.backend), self._returned.get(current.backend)) if known is not None]
        if not said:
            return True
        last = max(said, key=lambda known: known.published_at)
        changed = last.model_copy(update={"published_at": current.published_at}) != current
        return changed or current.published_at - last.published_at >= PERIOD
