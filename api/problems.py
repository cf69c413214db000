"""Every answer of 4xx and 5xx as a problem detail (RFC 9457): what was wrong and what to do, never a traceback, never a secret."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from schemas.errors import InputError, OutageError

MEDIA_TYPE = "application/problem+json"
Statuses = Mapping[type[Exception], int]
"""Which error is which status; of several classes the nearest ancestor counts."""

ANYWHERE: Statuses = {InputError: 422, OutageError: 503}
"""What holds for every face; others add theirs."""

_LOG = logging.getLogger(__name__)


class Problem(HTTPException):
    """A refusal at the door, by its status and a sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)


def problem(status: int, detail: str, request_id: str, kind: str = "", **more: Any) -> JSONResponse:
    """The answer.

    Args:
        status: of HTTP.
        detail: the sentence.
        request_id: the occurrence.
        kind: class of error, for programs; `about:blank` where the status says all.
        more: further members.
    """
    body = {
        "type": f"urn:quantumai:problem:{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id}",
    }
    return JSONResponse({**body, **more}, status, media_type=MEDIA_TYPE)


def install(app: FastAPI, statuses: Statuses) -> None:
    """Lets the application answer these errors, invalid requests and refusals as problems."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    table = {**ANYWHERE, **statuses}

    async def known(request: Request, error: Exception) -> JSONResponse:
        status = next(table[kind] for kind in type(error).__mro__ if kind in table)
        if status >= 500:
            _LOG.error("request %s: %s", request.state.request_id, error)
        request.state.facts["reason"] = str(error)
        return problem(status, str(error), request.state.request_id, type(error).__name__)

    for kind in table:
        app.add_exception_handler(kind, known)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is what this is installed for
    if not request.state.guarded:
        try:
            request.app.state.gate.stray(request)
        except Problem as too_many:
            error = too_many
    request.state.facts["reason"] = error.detail
    answer = problem(error.status_code, error.detail, request.state.request_id)
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Where and what, without the values: they may be secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is what this is installed for
    faults = [{"at": "/".join(map(str, fault["loc"])), "says": fault["msg"]} for fault in error.errors()]
    said = "; ".join(f"{fault['at']}: {fault['says']}" for fault in faults)
    request.state.facts["reason"] = said
    return problem(422, f"the request is not valid: {said}", request.state.request_id, "invalid-request", faults=faults)
