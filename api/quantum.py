"""Quantum predictions and what became of them: a prediction is a job, and everything about jobs is asked of Kafka."""

from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import Request, Response
from pydantic import Field, FiniteFloat, model_validator

from api.idempotency import Answers, Key, a_day_ago, named, used_before
from api.problems import Problem, problem
from api.roles import Face, Facts, Principal, Role, Who, allow
from schemas.jobs import Expectation, JobCompleted, JobRequested, Sla
from schemas.record import Identifier, Part, Timestamp
from streams.client import Client
from streams.follower import UnknownJobError
from streams.job_ids import job_id as new_job_id
from streams.progress import Job
from threat.features import COLUMNS, features
from threat.feeds.normalise import normalise
from threat.vqc.model import Model, shipped

quantum = Face("/api/v1/quantum", "quantum")

State = Literal["QUEUED", "RUNNING", "DONE", "ERROR"]
_STATES: dict[str, State] = {"RUNNING": "RUNNING", "DONE": "DONE"}
_ENDED = ("REJECTED", "DEAD_LETTERED", "ERROR", "CANCELLED")
_SEES_ALL = frozenset((Role.ADMIN, Role.AUDITOR))


class Prediction(Part):
    """What is to be classified: numbers, or a security event; and how the job is to be run."""

    features: dict[str, FiniteFloat] | None = None
    """The model's features by name; one that is not given is 0."""
    event: dict[str, Any] | None = None
    """A line of Suricata EVE, Zeek JSON or OCSF, instead of features."""
    shots: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    backend: Identifier | None = None
    """The only backend that is accepted; the scheduler chooses where there is none."""
    method: Identifier = "auto"
    """Of error mitigation."""
    optimization_level: Annotated[int, Field(ge=0, le=3)] = 2
    sla: Sla = Sla()
    max_cost_usd: Annotated[float, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> "Prediction":
        if (self.features is None) == (self.event is None):
            raise ValueError("give either features or event")
        return self


class Accepted(Part):
    """A job that the broker has."""

    job_id: str
    state: State
    model: str
    """Name and version of the classifier whose circuit runs."""
    exact_probability: float
    """What the same circuit says without shots and noise, computed at once."""
    status_url: str
    result_url: str


class JobView(Part):
    """Where a job is."""

    job_id: str
    state: State
    detail: str
    """The platform's own word for it: REQUESTED, ROUTED, QUEUED, RUNNING, DONE, REJECTED, DEAD_LETTERED, ERROR, CANCELLED."""
    backend: str
    method: str
    reasons: list[str]
    """Why it was rejected or failed, or why this backend was chosen."""
    requested_at: Timestamp | None
    queued_at: Timestamp | None
    started_at: Timestamp | None
    completed_at: Timestamp | None


class ResultView(Part):
    """What a job found."""

    job_id: str
    state: State
    probability: float | None
    """P(threat) by the backend's answer; None for a job that is no prediction, or of another version of the model."""
    raw_probability: float | None
    """The same without mitigation; None where no unmitigated circuit was run."""
    model: str
    expectations: list[Expectation]
    backend: str
    calibration_id: str
    method: str
    shots: int
    queue_seconds: float
    execution_seconds: float
    cost_usd: float
    result_hash: str
    completed_at: Timestamp


@quantum.post("/predict/async", status_code=202)
@allow(Role.PRODUCER)
async def predict(  # noqa: PLR0917 - FastAPI calls it by name
    asked: Prediction, who: Who, request: Request, response: Response, facts: Facts, key: Key = None
) -> Accepted:
    """Have an event classified on a quantum backend. Answers at once with the job's id; the job runs through Kafka."""
    model, operation = shipped(), "predict"
    values = _values(model, asked)
    program, observable = model.question(values)
    name = f"{model.name}/{model.version}"
    job_id = f"predict-{named(who, operation, key, '')}" if key else new_job_id("predict")
    job = JobRequested(
        job_id=job_id,
        tenant=who.name,
        name=name,
        circuits=(program,),
        observables=(observable,),
        **{
            field: getattr(asked, field)
            for field in ("shots", "backend", "method", "optimization_level", "sla", "max_cost_usd", "seed")
        },
    )
    client, answers = _client(request), _answers(request)
    await answers.once(who, operation, key, asked.model_dump_json().encode(), lambda: _submit(client, job, key))
    facts["detail"] = job_id
    base = quantum.prefix
    response.headers["Location"] = f"{base}/jobs/{job_id}"
    return Accepted(
        job_id=job_id,
        state="QUEUED",
        model=name,
        exact_probability=float(model.score(values[None])[0]),
        status_url=f"{base}/jobs/{job_id}",
        result_url=f"{base}/results/{job_id}",
    )


@quantum.get("/jobs/{job_id}")
@allow(Role.READER, Role.PRODUCER, Role.AUDITOR, Role.ADMIN)
async def job(job_id: Identifier, who: Who, request: Request) -> JobView:
    """Where a job is, with its times."""
    return _view(await _own(request, who, job_id))


@quantum.get("/results/{job_id}", responses={409: {"description": "The job has no result (yet): its state stands in the problem."}})
@allow(Role.READER, Role.PRODUCER, Role.AUDITOR, Role.ADMIN)
async def result(job_id: Identifier, who: Who, request: Request) -> Any:
    """A job's result; 409 with its state until it is DONE."""
    found = await _own(request, who, job_id)
    view = _view(found)
    if found.completed is None or view.state != "DONE":
        because = "; ".join(view.reasons)
        said = f"job {job_id} has no result: it ended as {view.detail}: {because}" if view.state == "ERROR" else (
            f"job {job_id} is {view.state}: ask again"
        )  # fmt: skip
        return problem(409, said, request.state.request_id, "no-result", state=view.state, job=view.model_dump(mode="json"))
    return _result(found, found.completed)


async def _submit(client: Client, job: JobRequested, key: str | None) -> None:
    """Publishes the job, unless it was published for this key before, whoever answered then.

    Raises:
        Problem: 422, the key was used for another request.
    """
    try:
        earlier = (await client.status(job.job_id, a_day_ago())).request if key is not None else None
    except UnknownJobError:
        earlier = None
    if earlier is None:
        await client.submit(job)
    elif earlier.model_copy(update={"requested_at": job.requested_at}) != job:
        raise used_before()


def _values(model: Model, asked: Prediction) -> Any:
    """(k,) of the model's columns."""
    if asked.event is not None:
        row = features([normalise(orjson.dumps(asked.event), "api")])[0]
        given = dict(zip(COLUMNS, row, strict=True))
        if missing := sorted(set(model.columns) - set(given)):
            raise Problem(422, f"{model.name} looks at {', '.join(missing)}, which no event of a feed says: give features")
    else:
        given = asked.features or {}
        if unknown := sorted(set(given) - set(model.columns)):
            raise Problem(422, f"{model.name} has no features {', '.join(unknown)}; it has {', '.join(model.columns)}")
    return np.array([given.get(column, 0.0) for column in model.columns])


async def _own(request: Request, who: Principal, job_id: str) -> Job:
    """A job of the caller's; of anybody's for auditors and admins.

    Raises:
        Problem: 404, whether it does not exist or is not theirs.
    """
    try:
        found = await _client(request).status(job_id)
    except UnknownJobError:
        found = None
    if found is None or not (_SEES_ALL & who.roles or (found.request is not None and found.request.tenant == who.name)):
        raise Problem(404, f"there is no job {job_id} of {who.name}")
    return found


def _view(found: Job) -> JobView:
    state: State = "ERROR" if found.state in _ENDED else _STATES.get(found.state, "QUEUED")
    status, done = found.status, found.completed
    return JobView(
        job_id=found.job_id,
        state=state,
        detail=found.state,
        backend=found.backend,
        method=found.method,
        reasons=list(found.reasons),
        requested_at=found.request.requested_at if found.request else None,
        queued_at=status.queued_at if status else None,
        started_at=status.started_at if status else None,
        completed_at=done.completed_at if done else None,
    )


def _result(found: Job, done: JobCompleted) -> ResultView:
    model, name = shipped(), found.request.name if found.request else ""
    ours = name == f"{model.name}/{model.version}" and len(done.expectations) == 1
    answer = done.expectations[0] if ours else None
    return ResultView(
        job_id=found.job_id,
        state="DONE",
        probability=model.answer(answer.value) if answer else None,
        raw_probability=model.answer(answer.raw_value) if answer and answer.raw_value is not None else None,
        model=name,
        expectations=list(done.expectations),
        **{field: getattr(done, field) for field in _TOLD},
    )


_TOLD = (
    "backend",
    "calibration_id",
    "method",
    "shots",
    "queue_seconds",
    "execution_seconds",
    "cost_usd",
    "result_hash",
    "completed_at",
)


def _client(request: Request) -> Client:
    return request.app.state.client  # type: ignore[no-any-return]


def _answers(request: Request) -> Answers:
    return request.app.state.answers  # type: ignore[no-any-return]
