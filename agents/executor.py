"""Runs routed jobs: job.routed in, job.status and job.completed out, each result with its manifest."""

from backends.registry import load
from em.execution import FINAL, Execution, subject
from kms.manifest import completed_manifest
from schemas.jobs import JobCancel, JobCompleted, JobRouted, JobStatus
from streams.agent import Agent
from streams.settings import Settings
from streams.views import HeldByKey, LatestByKey


def build(settings: Settings) -> Agent:
    """The executor agent; its jobs in flight are in job.status, so another worker can finish them."""
    backends = load(settings.backends or None, workers=settings.backend_workers)
    jobs, cancels = HeldByKey(JobStatus, live=lambda status: status.state not in FINAL), LatestByKey(JobCancel)
    execution = Execution(backends, jobs, cancels)
    return Agent(
        "executor",
        reads=[JobRouted],
        writes=[JobStatus, JobCompleted],
        same_partition=[JobStatus],
        views=[jobs, cancels],
        handle=execution.accept,
        handle_event=True,
        tick=execution.poll,
        every=0.05,
        tick_subject=subject,
        offload=True,
        attest={JobCompleted: completed_manifest},
        start=execution.start,
        stop=execution.stop,
    )
