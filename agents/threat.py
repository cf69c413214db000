"""Scores security events: threat.observed in, threat.scored out, each with its manifest; jobs for those that are escalated."""

from datetime import timedelta

from kms.manifest import scored_manifest
from schemas.jobs import JobCancel, JobCompleted, JobRequested, JobRouted
from schemas.threats import ThreatEscalated, ThreatObserved, ThreatScored
from streams.agent import Agent
from streams.settings import Settings
from streams.views import HeldByKey, LatestByKey
from threat.classical import DATA, Classical
from threat.escalation import PREFIX, Answers, Escalation, recent, subject
from threat.features import COLUMNS
from threat.schedules.shelf import Shelf
from threat.scoring import Scorer


def build(settings: Settings) -> Agent:
    """The threat agent; its escalations are in threat.escalated, so another worker can see them through."""
    escalations, answers = HeldByKey(ThreatEscalated, live=recent), Answers()
    scorer = Scorer(Classical.load(settings.threat_model or DATA, COLUMNS), Shelf(settings.home / "vqc").current())
    escalation = Escalation(
        scorer,
        escalations,
        answers,
        budget=settings.escalations,
        partitions=settings.partitions,
        limit=timedelta(seconds=settings.escalation_seconds),
        backend=settings.escalation_backend,
    )
    return Agent(
        "threat",
        reads=[ThreatObserved],
        writes=[ThreatScored, ThreatEscalated, JobRequested, JobCancel],
        same_partition=[ThreatEscalated],
        views=[
            escalations,
            LatestByKey(JobCompleted, answers.take, keep=False, prefix=PREFIX),
            LatestByKey(JobRouted, answers.route, keep=False, prefix=PREFIX),
        ],
        handle=escalation.score,
        batch=True,
        linger=0.01,  # a transaction costs the broker more than a score costs us: a hundred a second and partition are enough
        tick=escalation.follow,
        every=0.2,
        tick_subject=subject,
        attest={ThreatScored: scored_manifest},
        start=scorer.warm,
    )
