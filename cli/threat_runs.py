"""What the scheduled analyses do between Kafka and the models; each ends in one event that says that its period is done."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from kms.manifest import analysed_manifest, scored_manifest
from schemas.jobs import JobCompleted, JobRequested
from schemas.record import Record, now
from schemas.threats import ThreatAnalysed, ThreatObserved, ThreatScored
from streams.agent import Attest
from streams.client import Client
from streams.messages import Received, kind_of, typed
from streams.once import Once, scheduled
from streams.progress import JobFailedError, JobRejectedError, JobTimeoutError
from streams.records import messages
from streams.settings import Settings
from threat.classical import DATA, Classical
from threat.features import COLUMNS, features
from threat.schedules import chart, daily, monthly, weekly
from threat.schedules.period import Period
from threat.schedules.shelf import Shelf
from threat.vqc.labelled import Labelled
from threat.vqc.model import Model
from threat.vqc.training import Settings as Training

Say = Callable[[str], object]
Work = Callable[[Once], Awaitable[ThreatAnalysed]]

TOGETHER = 200
"""Findings in a transaction: what a run that is killed has to do again."""

EARLIER = timedelta(hours=1)
"""How long before its score an event may have been observed."""

_BATCH = 1_000
_ATTEST: Mapping[type[Record], Attest] = {ThreatScored: scored_manifest, ThreatAnalysed: analysed_manifest}


def shelf(chosen: Settings) -> Shelf:
    """The quantum models of a platform."""
    return Shelf(chosen.home / "vqc")


async def once(chosen: Settings, period: Period, work: Work) -> tuple[ThreatAnalysed, bool]:
    """Does a period's work unless it was done before; what came of it, and whether it was done now."""
    async with Once(chosen.brokers, period.name, period.until, _ATTEST) as run:
        if (done := await run.done()) is not None:
            return done, False
        analysed = await work(run)
        await run.publish([analysed])
        return analysed, True


async def run_daily(
    chosen: Settings, period: Period, run: Once, say: Say, *, backend: str | None = None, shots: int = 1024, jobs: int = 100
) -> ThreatAnalysed:
    """Asks the quantum model again about the period's dangerous events, and a backend about the worst of them."""
    second = shelf(chosen).current()
    async with Client(chosen, "/schedules") as client:
        say("reading scores")
        earlier = await _serious(client, period)
        say(f"reading {len(earlier):,} events")
        seen = await _observed(client, period, earlier.keys())
        pairs = [(earlier[event_id], seen[event_id]) for event_id in sorted(seen)]
        worst = sorted(pairs, key=lambda pair: (-pair[0].scored.risk_score, pair[0].scored.event_id))[:jobs] if backend else []
        limit = timedelta(seconds=chosen.escalation_seconds)
        asked = [
            daily.request(second, event, period.name, backend=backend or "", shots=shots, deadline=now() + limit)
            for _, event in worst
        ]
        said = await _answers(client, asked, limit, period.until, say) if asked else {}
    answers = {event.event_id: said[job.job_id] for (_, event), job in zip(worst, asked, strict=True)}
    again = daily.again(second, pairs, period.name, answers) if pairs else []
    published = await run.published()
    open_ = [found for found in again if found.event_id not in published]
    for first in range(0, len(open_), TOGETHER):
        await run.publish(open_[first : first + TOGETHER])
        say(f"{len(published) + first:,} of {len(again):,} findings published")
    figures = {
        **daily.figures([before for before, _ in pairs], again),
        "without_event": len(earlier) - len(pairs),
        "fallbacks": sorted({found.fallback_reason for found in again if found.fallback_reason}),
    }
    outcome = f"{len(again):,} dangerous events asked again, {figures['raised']} raised"
    if asked:
        outcome += f"; {figures['answered_by_backend']} of {len(asked)} jobs answered by {backend}"
    return _analysed(period, second, outcome, figures, events=len(earlier), findings=len(again))


async def run_weekly(chosen: Settings, period: Period, path: Path, epochs: int, say: Say) -> ThreatAnalysed:
    """Trains on the period's labelled events; keeps the new model, and says whether it is to be used."""
    models, labels = shelf(chosen), weekly.labels(path)
    present = models.current()
    async with Client(chosen, "/schedules") as client:
        say(f"reading the events of {len(labels):,} labels")
        seen = await _observed(client, period, labels.keys(), timedelta())
    ids = sorted(seen)
    table = features([seen[event_id] for event_id in ids])
    events = Labelled(COLUMNS, table, np.array([labels[event_id] for event_id in ids], dtype=np.float64))
    seed = int(hashlib.sha256(period.name.encode()).hexdigest()[:8], 16)

    def trained(epoch: int, _: float) -> None:
        say(f"training on {len(ids):,} events, epoch {epoch} of {epochs}")

    decision = weekly.retrain(ids, events, present, Training(epochs, seed=seed), trained)
    folder = models.keep(decision.model)
    figures = {
        "labels": len(labels),
        "without_event": len(labels) - len(ids),
        "learned": decision.learned,
        "held_out": decision.held,
        "seed": seed,
        "epochs": epochs,
        "before": {"version": present.version, "balanced_accuracy": decision.before},
        "after": {"version": decision.model.version, "balanced_accuracy": decision.after},
        "better_in_share_of_bootstrap": decision.share,
        "rule": f"promoted if at least {weekly.SURE} of {weekly.DRAWS} bootstrap samples of the held-out events find it better",
        "files": {"labels": _sha256(path), "model.npz": _sha256(folder / "model.npz")},
    }
    used = decision.model if decision.promoted else present
    return _analysed(period, used, decision.sentence, figures, events=len(ids), promoted=decision.promoted)


async def run_monthly(chosen: Settings, period: Period, out: Path, say: Say) -> ThreatAnalysed:
    """Counts the period day by day, and writes report.json, days.parquet and report.png."""
    classical, second = Classical.load(chosen.threat_model or DATA, COLUMNS), shelf(chosen).current()
    models = f"{classical.version}/{second.version}"
    days = []
    for since, until in period.days:
        say(f"{since:%Y-%m-%d}")
        kept = out / f"day-{since:%Y-%m-%dT%H%M%S}-{hashlib.sha256(models.encode()).hexdigest()[:8]}.json"
        if (day := _kept(kept)) is None:
            day = await _day(chosen.brokers, since, until, classical, second)
            _replace(kept, day.json())
        days.append(day)
    rows, report = monthly.rows(days), {**monthly.report(days), "models": models}
    chart.write(rows, out / "days.parquet")
    chart.plot(rows, report, period.name, out / "report.png")
    _replace(out / "report.json", json.dumps({**report, "rows": rows}, indent=1).encode())
    report["files"] = {name: _sha256(out / name) for name in ("report.json", "days.parquet", "report.png")}
    share = report["disagreement"]["share"]
    outcome = f"{report['events']:,} events of {report['days_with_events']} days; the models disagree on {share:.2%}"
    if gone := report["days_whose_events_are_gone"]:
        outcome += f"; of {gone} days only the findings are left: raise QUANTUMAI_RETENTION_DAYS"
    return _analysed(period, second, outcome, report, events=report["events"])


async def _serious(client: Client, period: Period) -> dict[str, daily.Earlier]:
    """The period's dangerous events, by id: the last word on each, our own of earlier runs left out."""
    found: dict[str, daily.Earlier] = {}
    async with aclosing(client.records(ThreatScored, period.since, period.until)) as events:
        async for event in events:
            earlier = daily.Earlier(event.record, event.event_id)
            if earlier.serious and not scheduled(event):
                found[event.record.event_id] = earlier
    return found


async def _observed(
    client: Client, period: Period, wanted: Iterable[str], margin: timedelta = EARLIER
) -> dict[str, ThreatObserved]:
    wanted = set(wanted)
    async with aclosing(client.records(ThreatObserved, period.since - margin, period.until)) as events:
        return {event.record.event_id: event.record async for event in events if event.record.event_id in wanted}


async def _answers(
    client: Client, jobs: Sequence[JobRequested], limit: timedelta, since: datetime, say: Say
) -> Mapping[str, JobCompleted | str]:
    """Job id -> the backend's answer, or why there is none. Jobs that an earlier run has submitted are not submitted again."""
    async with aclosing(client.records(JobRequested, since)) as events:
        before = {event.record.job_id async for event in events}
    for job in jobs:
        if job.job_id not in before:
            await client.submit(job)
    say(f"waiting for {len(jobs):,} jobs")
    found = await asyncio.gather(*(_answer(client, job.job_id, limit, since) for job in jobs))
    return {job.job_id: answer for job, answer in zip(jobs, found, strict=True)}


async def _answer(client: Client, job_id: str, limit: timedelta, since: datetime) -> JobCompleted | str:
    seconds = limit / timedelta(seconds=1)
    try:
        done = await client.result(job_id, seconds, since)
    except JobTimeoutError:
        reason = f"no quantum result within {seconds:g} s: the exact answer stands"
        await client.cancel(job_id, reason)
        return reason
    except (JobRejectedError, JobFailedError) as error:
        return f"the exact answer stands: {error}"
    return done if done.expectations else "the exact answer stands: the quantum job ended without a result"


async def _day(brokers: str, since: datetime, until: datetime, classical: Classical, second: Model) -> monthly.Day:
    day, waiting = monthly.Day(f"{since:%Y-%m-%d}"), list[ThreatObserved]()
    async with aclosing(messages(brokers, [ThreatObserved.topic, ThreatScored.topic], since, until)) as batches:
        async for batch in batches:
            for message in batch:
                event = typed(kind_of(message.topic), message)
                record = event.record if isinstance(event, Received) else None
                if isinstance(record, ThreatScored):
                    day.scored(record)
                elif isinstance(record, ThreatObserved):
                    waiting.append(record)
            if len(waiting) >= _BATCH:
                day.observed(waiting, classical, second)
                waiting.clear()
    if waiting:
        day.observed(waiting, classical, second)
    return day


def _kept(path: Path) -> monthly.Day | None:
    return monthly.Day.read(path.read_bytes()) if path.exists() else None


def _analysed(
    period: Period,
    model: Model,
    outcome: str,
    report: Mapping[str, object],
    *,
    events: int,
    findings: int = 0,
    promoted: bool = False,
) -> ThreatAnalysed:
    return ThreatAnalysed(
        period=period.name,
        schedule=period.schedule,
        since=period.since,
        until=period.until,
        events=events,
        findings=findings,
        outcome=outcome,
        model=model.name,
        model_version=model.version,
        promoted=promoted,
        report=json.dumps(report, sort_keys=True),
    )


def _replace(path: Path, content: bytes) -> None:
    """Complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(content)
    draft.replace(path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
