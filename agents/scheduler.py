"""Routes jobs: em.recommended in, job.routed out, each decision with its manifest."""

from kms.manifest import routed_manifest
from scheduler.routing import Scheduler
from schemas.calibration import CalibrationUpdated
from schemas.jobs import EmRecommended, JobRouted
from streams.agent import Agent
from streams.settings import Settings
from streams.views import LatestByKey


def build(settings: Settings) -> Agent:
    """The scheduler agent."""
    calibrations = LatestByKey(CalibrationUpdated)
    scheduler = Scheduler(calibrations)
    return Agent(
        "scheduler",
        reads=[EmRecommended],
        writes=[JobRouted],
        views=[calibrations],
        handle=scheduler.route,
        attest={JobRouted: routed_manifest},
    )
