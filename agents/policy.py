"""Recommends a mitigation method per candidate backend: job.requested in, em.recommended out."""

from policy.recommender import Recommender
from policy.store import Asked
from schemas.calibration import CalibrationUpdated
from schemas.jobs import EmRecommended, JobRequested
from streams.agent import Agent
from streams.settings import Settings
from streams.views import LatestByKey


def build(settings: Settings) -> Agent:
    """The policy agent."""
    calibrations = LatestByKey(CalibrationUpdated)
    models = settings.policy_models or settings.home / "policy" / "models"
    recommender = Recommender(calibrations, Asked(models, settings.policy, settings.policy_threshold))
    return Agent(
        "policy",
        reads=[JobRequested],
        writes=[EmRecommended],
        views=[calibrations],
        handle=recommender.recommend,
        offload=True,
        start=recommender.warm,
    )
