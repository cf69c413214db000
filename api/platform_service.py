"""The platform's own service: quantum predictions and threats. It speaks to the rest through Kafka, and has no state of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.application import application
from api.door import gate
from api.idempotency import Answers
from api.problems import Statuses
from api.quantum import quantum
from api.threats import threats
from streams.client import Client
from streams.errors import EventTooLargeError, StreamsError
from streams.settings import Settings
from threat.errors import ModelError, ThreatError

AUDIENCE = "threat"
_STATUSES: Statuses = {EventTooLargeError: 413, StreamsError: 503, ThreatError: 422, ModelError: 503}


def service(settings: Settings) -> FastAPI:
    """The application; it connects to the broker when it starts to serve."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.answers = Answers()
        async with Client(settings, source="/api") as client:
            app.state.client = client
            yield

    return application(
        "QuantumAI: quantum predictions and threats",
        (quantum, threats),
        gate(settings, AUDIENCE),
        statuses=_STATUSES,
        lifespan=lifespan,
    )
