"""Escalations: what is dangerous or new becomes a job for a quantum backend, its answer a second score that refers to the first.

Where an escalation is stands in `threat.escalated` and nowhere else. `score` says DUE, in the transaction of the scores. `follow`,
once that is committed, requests the job, and then waits for its result or for the time limit, whichever comes first: the state
that it leaves is final, so an answer that comes late or twice changes nothing.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from schemas.jobs import JobCancel, JobCompleted, JobRequested, JobRouted
from schemas.record import Record, now
from schemas.threats import EscalationState, ThreatEscalated, ThreatObserved, ThreatScored
from threat.finding import updated
from threat.levels import BOUNDS, LEVELS
from threat.scoring import ABSENT, Scorer

OPEN: tuple[EscalationState, ...] = ("DUE", "REQUESTED")
PREFIX = "threat-"
"""What the ids of our jobs begin with."""

_HOUR = timedelta(hours=1)


class Held(Protocol):
    """The escalations of the partitions that this worker holds; see `streams.views.HeldByKey`."""

    def partition(self, partition: int) -> Mapping[str, ThreatEscalated]:
        """Those that are `recent`, by event id."""

    def find(self, key: str) -> ThreatEscalated | None:
        """The escalation of an event, open or not."""


class Answers(Mapping[str, JobCompleted | JobRouted]):
    """What became of our jobs, by job id: results, and decisions that nothing can run them.

    Of so many jobs, the oldest are forgotten first: their time was over long ago.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._latest: OrderedDict[str, JobCompleted | JobRouted] = OrderedDict()
        self._most = most

    def take(self, answer: JobCompleted) -> None:
        """Keeps the first result of a job of ours."""
        self._keep(answer.model_copy(update={"scores": (), "reasons": ()}))

    def route(self, decision: JobRouted) -> None:
        """Keeps the decision if it rejects a job of ours."""
        if decision.decision == "REJECTED":
            self._keep(decision.model_copy(update={"scores": ()}))

    def _keep(self, answer: JobCompleted | JobRouted) -> None:
        if answer.job_id.startswith(PREFIX) and answer.job_id not in self._latest:
            self._latest[answer.job_id] = answer
            while len(self._latest) > self._most:
                self._latest.popitem(last=False)

    def __getitem__(self, key: str) -> JobCompleted | JobRouted:
        return self._latest[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._latest))

    def __len__(self) -> int:
        return len(self._latest)


class Escalation:
    """Scores, and asks quantum backends about the worst.

    Args:
        scorer: the models.
        held: escalations.
        answers: job id -> its result, or the decision that rejects it.
        budget: escalations an hour, all partitions together.
        partitions: of threat.observed; each has its share of the budget.
        limit: how long a job may take, queueing included.
        shots: of a job.
        backend: None, or the only backend that may be asked.
        clock: the time, UTC.
    """

    def __init__(
        self,
        scorer: Scorer,
        held: Held,
        answers: Mapping[str, JobCompleted | JobRouted],
        *,
        budget: int,
        partitions: int,
        limit: timedelta = timedelta(minutes=5),
        shots: int = 1024,
        backend: str | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._scorer, self._held, self._answers = scorer, held, answers
        self._budget, self._partitions, self._limit = budget, partitions, limit
        self._shots, self._backend, self._clock = shots, backend, clock

    def score(self, partition: int, events: Sequence[ThreatObserved]) -> list[Record]:
        """One score per event, in their order, then the escalations that the budget allows."""
        scored = self._scorer.score(events)
        second, at = self._scorer.second, self._clock()
        free = self._free(partition, at)
        due: list[Record] = []
        for place in scored.escalate:
            record = scored.records[place]
            if second is None:
                continue
            if self._held.find(record.event_id) is not None:
                continue
            if free <= 0:
                reason = f"over the budget of {self._budget} quantum jobs an hour: the exact second opinion stands"
                scored.records[place] = record.model_copy(update={"fallback_reason": reason})
                continue
            free -= 1
            job_id = PREFIX + hashlib.sha256(record.event_id.encode()).hexdigest()[:24]
            scored.records[place] = marked = record.model_copy(update={"escalated": True, "job_id": job_id})
            due.append(
                ThreatEscalated(
                    event_id=record.event_id,
                    state="DUE",
                    job_id=job_id,
                    scored=marked,
                    columns=second.columns,
                    features=tuple(scored.asked[place].tolist()),
                    due_at=at,
                )
            )
        return [*scored.records, *due]

    def follow(self, partition: int) -> list[Record]:
        """What has become of the open escalations of a partition since the last call. Never waits."""
        records: list[Record] = []
        for escalated in list(self._held.partition(partition).values()):
            if escalated.state not in OPEN:
                continue
            answer = self._answers.get(escalated.job_id)
            if isinstance(answer, JobRouted):
                records += self._stands(escalated, "FAILED", f"the quantum job was rejected: {'; '.join(answer.reasons)}")
            elif answer is not None:
                records += self._answered(escalated, answer)
            elif self._clock() - escalated.due_at > self._limit:
                records += self._timed_out(escalated)
            elif escalated.state == "DUE":
                records += self._requested(escalated)
        return records

    def _free(self, partition: int, at: datetime) -> int:
        """What is left of the partition's share of the hour's budget."""
        share = self._budget // self._partitions + (partition < self._budget % self._partitions)
        return share - sum(at - each.due_at < _HOUR for each in self._held.partition(partition).values())

    def _requested(self, escalated: ThreatEscalated) -> list[Record]:
        second = self._scorer.second
        if second is None or second.columns != escalated.columns:
            return self._stands(escalated, "FAILED", ABSENT if second is None else "the quantum model was replaced meanwhile")
        circuit, observable = second.question(np.array(escalated.features))
        job = JobRequested(
            job_id=escalated.job_id,
            name=f"second opinion on {escalated.event_id}",
            circuits=(circuit,),
            observables=(observable,),
            shots=self._shots,
            backend=self._backend,
            method="raw",
            seed=int(hashlib.sha256(escalated.event_id.encode()).hexdigest()[:8], 16),
            deadline=escalated.due_at + self._limit,
            requested_at=self._clock(),
        )
        return [job, self._now(escalated, "REQUESTED", "")]

    def _answered(self, escalated: ThreatEscalated, answer: JobCompleted) -> list[Record]:
        second, earlier = self._scorer.second, escalated.scored
        if answer.status != "DONE" or not answer.expectations or second is None or earlier is None:
            return self._stands(
                escalated, "FAILED", f"the quantum job ended as {answer.status}: {answer.error or 'without a result'}"
            )
        found = answer.expectations[0]
        probability = second.answer(found.value)
        said = {
            "name": second.name,
            "version": second.version,
            "probability": round(probability, 6),
            "shots": answer.shots,
            "expectation": found.value,
            "standard_error": found.standard_error,
            "backend": answer.backend,
            "calibration_id": answer.calibration_id,
            "job_id": answer.job_id,
        }
        level = LEVELS.index(earlier.risk_level)
        if probability >= 0.5:
            level = len(LEVELS) - 1
        risk = max(earlier.risk_score, (0.0, *BOUNDS)[level])
        sentence = (
            f"{answer.backend} answered {probability:.3f} with {answer.shots:,} shots, standard error {found.standard_error:.3f}"
        )
        update = {
            "risk_level": LEVELS[level],
            "risk_score": risk,
            "model": f"{earlier.model}/{answer.backend}",
            "finding": updated(earlier.finding, sentence, said, level, risk),
            "latency_seconds": (self._clock() - escalated.due_at).total_seconds(),
            "scored_at": self._clock(),
        }
        return [earlier.model_copy(update=update), self._now(escalated, "ANSWERED", sentence)]

    def _timed_out(self, escalated: ThreatEscalated) -> list[Record]:
        sentence = f"no quantum result within {self._limit.total_seconds():g} s: the earlier score stands"
        cancel = JobCancel(job_id=escalated.job_id, cancelled_by="threat", reason=sentence, requested_at=self._clock())
        withdrawn: list[Record] = [cancel] if escalated.state == "REQUESTED" else []
        return [*withdrawn, *self._stands(escalated, "TIMED_OUT", sentence)]

    def _stands(self, escalated: ThreatEscalated, state: EscalationState, sentence: str) -> list[Record]:
        """The earlier score once more, with the reason why it is the last word."""
        over, earlier = self._now(escalated, state, sentence), escalated.scored
        if earlier is None:
            return [over]
        update = {
            "fallback_reason": sentence,
            "finding": updated(earlier.finding, sentence, None, LEVELS.index(earlier.risk_level), earlier.risk_score),
            "latency_seconds": (self._clock() - escalated.due_at).total_seconds(),
            "scored_at": self._clock(),
        }
        return [earlier.model_copy(update=update), over]

    def _now(self, escalated: ThreatEscalated, state: EscalationState, message: str) -> ThreatEscalated:
        update: dict[str, object] = {"state": state, "message": message, "updated_at": self._clock()}
        if state not in OPEN:
            update |= {"scored": None, "columns": (), "features": ()}
        return escalated.model_copy(update=update)


def recent(escalated: ThreatEscalated) -> bool:
    """Whether an escalation is open, or young enough to count against the budget: what has to be at hand."""
    return escalated.state in OPEN or now() - escalated.due_at < _HOUR


def subject(record: Record) -> tuple[str, str]:
    """What names an output of `follow`: the event or job, and its state."""
    if isinstance(record, ThreatScored):
        return record.event_id, "second"
    if isinstance(record, ThreatEscalated):
        return record.event_id, record.state
    return str(record.key, "utf-8"), ""
