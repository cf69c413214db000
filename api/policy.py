"""Recommendations by REST: a job in; for each backend the method, what it costs and how well it should do; nothing runs.

The service follows `calibration.updated`, and asks the same recommender as the policy agent does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from api.application import application
from api.door import gate
from api.problems import Problem, Statuses
from api.roles import Face, Facts, Role, allow, public
from policy.recommender import Recommender
from policy.store import Asked
from schemas.calibration import CalibrationUpdated
from schemas.errors import OutageError
from schemas.jobs import JobRequested, Observable, Sla
from schemas.mitigation import Parameters, Recommendation, Unfit
from schemas.record import Identifier, Part, Timestamp, now
from streams.client import Client
from streams.errors import StreamsError
from streams.settings import Settings

AUDIENCE = "policy"
policy = Face("/api/v1/policy", "policy")
_own = Face("", "service")

_STATUSES: Statuses = {StreamsError: 503}


class NoCalibrationsError(OutageError):
    """No backend is known yet."""


class Question(Part):
    """A job as far as a recommendation needs it."""

    circuits: Annotated[tuple[str, ...], Field(min_length=1)]
    """OpenQASM 3 sources."""
    observables: tuple[Observable, ...] = ()
    """None: the job is for counts."""
    shots: Annotated[int, Field(ge=1, le=100_000_000)] = 4096
    sla: Sla = Sla()
    max_cost_usd: Annotated[float, Field(ge=0)] | None = None
    latency_seconds: Annotated[float, Field(gt=0)] | None = None
    """At most so long on the device."""
    method: Identifier = "auto"
    method_parameters: Parameters = Field(default={})
    backend: Identifier | None = None
    optimization_level: Annotated[int, Field(ge=0, le=3)] = 2


class Advice(Part):
    """What to do on each backend."""

    model_version: str
    """What recommended; a candidate's `reason` says where the closed form had to do."""
    candidates: tuple[Recommendation, ...]
    unfit: tuple[Unfit, ...]
    recommended_at: Timestamp


@policy.post("/recommend")
@allow(Role.READER, Role.PRODUCER)
def recommend(asked: Question, request: Request, facts: Facts) -> Response:
    """A mitigation method for each backend: the ranking of all methods, overhead, fidelity with its interval, and the reason."""
    recommender: Recommender = request.app.state.recommender
    at = now()
    fields = {name: getattr(asked, name) for name in Question.model_fields if name != "latency_seconds"}
    deadline = None if asked.latency_seconds is None else at + timedelta(seconds=asked.latency_seconds)
    advice = recommender.recommend(JobRequested(job_id="question", requested_at=at, deadline=deadline, **fields))
    if advice.problems:
        raise Problem(422, "; ".join(advice.problems))
    facts["detail"] = advice.model_version
    answer = Advice(
        model_version=advice.model_version,
        candidates=tuple(each for each in advice.candidates if asked.backend in (None, each.backend)),
        unfit=tuple(each for each in advice.unfit if asked.backend in (None, each.backend)),
        recommended_at=advice.recommended_at,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@_own.get("/metrics", include_in_schema=False)
@public
def metrics() -> Response:
    """Decisions, latency, confidence, fallbacks and drift, for Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def service(settings: Settings) -> FastAPI:
    """The application; it follows the calibrations when it starts to serve."""
    calibrations: dict[str, CalibrationUpdated] = {}
    models = settings.policy_models or settings.home / "policy" / "models"
    recommender = Recommender(calibrations, Asked(models, settings.policy, settings.policy_threshold))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.recommender = recommender
        async with Client(settings, source="/api/policy") as client:
            following = asyncio.create_task(_follow(client, calibrations))
            async for event in client.records(CalibrationUpdated):
                _take(calibrations, event.record)
            await asyncio.to_thread(recommender.warm)
            yield
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    def known() -> None:
        if not calibrations:
            raise NoCalibrationsError("no backend has published a calibration yet")

    return application(
        "QuantumAI: recommendations",
        (policy, _own),
        gate(settings, AUDIENCE),
        statuses=_STATUSES,
        checks={"calibrations": known},
        lifespan=lifespan,
    )


async def _follow(client: Client, calibrations: dict[str, CalibrationUpdated]) -> None:
    async for event in client.records(CalibrationUpdated, "end", follow=True):
        _take(calibrations, event.record)


def _take(calibrations: dict[str, CalibrationUpdated], record: CalibrationUpdated) -> None:
    known = calibrations.get(record.backend)
    if known is None or known.published_at <= record.published_at:
        calibrations[record.backend] = record
