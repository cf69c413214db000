"""Publishes every backend's calibration, and again when it changed or grew old: calibration.updated out.

It reads its own topic only to share the backends among its workers: whoever holds a backend's partition publishes it.
"""

from backends.refresh import Refresh
from backends.registry import load
from schemas.calibration import CalibrationUpdated
from streams.agent import Agent
from streams.partitioning import partition_of
from streams.settings import Settings
from streams.views import LatestByKey


def build(settings: Settings) -> Agent:
    """The calibration agent."""
    published = LatestByKey(CalibrationUpdated)
    refresh = Refresh(load(settings.backends or None), published)

    def publish(partition: int) -> list[CalibrationUpdated]:
        return refresh.due(lambda backend: partition_of(backend.encode(), settings.partitions) == partition)

    return Agent(
        "calibration",
        reads=[CalibrationUpdated],
        writes=[CalibrationUpdated],
        views=[published],
        handle=lambda published: None,
        tick=publish,
        every=1.0,
        tick_subject=lambda calibration: (calibration.backend, calibration.published_at.isoformat()),
        offload=True,
    )
