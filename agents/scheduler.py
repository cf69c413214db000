"""Routes jobs: em.recommended in, job.routed out, each decision with its manifest; a new calibration may move jobs that wait."""

from kms.manifest import routed_manifest
from scheduler.ledger import Ledger
from scheduler.routing import Scheduler
from scheduler.tenants import load
from schemas.calibration import CalibrationUpdated
from schemas.jobs import EmRecommended, JobRouted, JobStatus
from streams.agent import Agent
from streams.settings import Settings
from streams.views import LatestByKey


def build(settings: Settings) -> Agent:
    """The scheduler agent; what is under way it learns from job.status, of all partitions."""
    ledger = Ledger()
    calibrations, statuses = LatestByKey(CalibrationUpdated), LatestByKey(JobStatus, also=ledger.hear, keep=False)
    tenants = load(settings.tenants) if settings.tenants else {}
    scheduler = Scheduler(calibrations, settings.scoring, tenants=tenants, ledger=ledger)

    def handle(record: EmRecommended | CalibrationUpdated) -> JobRouted | list[JobRouted]:
        return scheduler.route(record) if isinstance(record, EmRecommended) else scheduler.reconsider(record)

    return Agent(
        "scheduler",
        reads=[EmRecommended, CalibrationUpdated],
        writes=[JobRouted],
        views=[calibrations, statuses],
        handle=handle,
        attest={JobRouted: routed_manifest},
    )
