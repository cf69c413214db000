"""Puts an application together: faces behind a gate, every request recorded, every error a problem."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.authentication import Gate
from api.problems import Statuses, install
from api.requests import Access, Record, Requests
from api.roles import Face, GuardedRoute, public
from kms.errors import KmsError
from schemas.errors import OutageError
from streams.errors import StreamsError

MOST_BYTES = 1024 * 1024
"""Of one request's body."""

_LOG = logging.getLogger(__name__)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "`quantumai token issue` makes one"},
    "certificate": {"type": "mutualTLS", "description": "a client certificate that the service's operator has given roles"},
}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
Checks = Mapping[str, Callable[[], object]]
"""What must work for the service to be ready, by name; each raises where it does not. Called in a thread."""


async def _logged(access: Access) -> None:
    who = access.principal.name if access.principal else "nobody"
    _LOG.info("%s %s %s by %s: %d", access.request_id, access.method, access.path, who, access.status)


def application(
    title: str,
    faces: Sequence[Face],
    gate: Gate,
    *,
    statuses: Statuses | None = None,
    checks: Checks | None = None,
    record: Record = _logged,
    most_bytes: int = MOST_BYTES,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """The application: the faces, `/health/live`, `/health/ready` and `/openapi.json`.

    Args:
        title: of the service.
        faces: its endpoints.
        gate: who is admitted.
        statuses: which error of the rooms below is which status, beside `api.problems.ANYWHERE`.
        checks: for readiness.
        record: told of each request; into the log where none is given.
        most_bytes: of a request's body.
        lifespan: what is there while it serves.
    """
    app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.router.route_class = GuardedRoute
    app.state.gate = gate
    for face in (*faces, _own(app, checks or {})):
        app.include_router(face)
    install(app, statuses or {})
    app.add_middleware(Requests, record=record, most_bytes=most_bytes)
    return app


def _own(app: FastAPI, checks: Checks) -> Face:
    face = Face("", "service")

    @face.get("/health/live")
    @public
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @face.get("/health/ready", responses={503: {"description": "what does not work, and why"}})
    @public
    async def ready() -> Any:
        """Whether all that the service needs works."""
        broken = {}
        for name, check in checks.items():
            try:
                await run_in_threadpool(check)
            except (OutageError, KmsError, StreamsError, OSError) as error:
                _LOG.warning("not ready, %s: %s", name, error)
                broken[name] = type(error).__name__  # the sentence may name files: it is in the log
        return JSONResponse({"status": "not ready", "broken": broken}, 503) if broken else {"status": "ready"}

    @face.get("/openapi.json", include_in_schema=False)
    @public
    async def openapi() -> dict[str, Any]:
        """This service in OpenAPI 3.1."""
        described = app.openapi()
        described.setdefault("components", {})["securitySchemes"] = _SECURITY
        return described

    return face
