"""Around each request: an id, a limit of its size, its record, and the last word on errors."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import uuid4

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, problem
from api.roles import Principal
from schemas.errors import OutageError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """A request and what became of it.

    Attributes:
        request_id: UUID; the answer bears it as `X-Request-ID`, a problem as its instance.
        principal: who called; None where that was not proved.
        address: where the request came from.
        method: of HTTP.
        path: without the query.
        operation: name of the endpoint; empty where there is none.
        status: of HTTP.
        facts: what the endpoint says of it.
    """

    request_id: str
    principal: Principal | None
    address: str
    method: str
    path: str
    operation: str
    status: int
    facts: dict[str, str] = field(default_factory=dict)


Record = Callable[[Access], Awaitable[None]]
"""Takes the record of a request before its answer leaves; where it raises OutageError, the answer does not leave."""


class Requests:
    """ASGI middleware, the outermost.

    Args:
        app: what answers.
        record: told of each request but those of public endpoints.
        most_bytes: of a request's body.
    """

    def __init__(self, app: ASGIApp, record: Record, most_bytes: int) -> None:
        self._app, self._record, self._most_bytes = app, record, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state |= {"request_id": str(uuid4()), "principal": None, "route": "", "facts": {}, "recorded": True, "guarded": False}
        answer = _Answer(scope, send, self._record)
        try:
            await self._app(scope, self._limited(scope, receive), answer)
        except Exception as error:  # whatever it is: nothing of it goes out, and all of it into our log
            if answer.started:
                raise
            _LOG.exception("request %s failed with %s", state["request_id"], type(error).__name__)
            await problem(500, "the service failed; its log has the request id", state["request_id"])(scope, receive, answer)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that refuses a body over the limit, whether it is announced or comes in pieces."""
        announced = Request(scope).headers.get("content-length", "0")
        seen = int(announced) if announced.isdigit() and int(announced) > self._most_bytes else 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive() if seen <= self._most_bytes else {}
            seen += len(message.get("body", b""))
            if seen > self._most_bytes:
                raise Problem(413, f"a request may have {self._most_bytes:,} bytes", {"Connection": "close"})
            return message

        return limited


class _Answer:
    """`send` that lets an answer out when it has been recorded, and only one of an endpoint that says who may call it."""

    def __init__(self, scope: Scope, send: Send, record: Record) -> None:
        self._scope, self._send, self._record = scope, send, record
        self.started, self._replaced = False, False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            state = self._scope["state"]
            ours = ((b"x-request-id", state["request_id"].encode()), (b"cache-control", b"no-store"))
            message["headers"] = [*message["headers"], *ours]
            refused = await self._refused(message["status"])
            self.started = True
            if refused:
                self._replaced = True
                instead = problem(503, refused, state["request_id"])
                instead.headers["x-request-id"] = state["request_id"]
                await instead(self._scope, _nothing, self._send)
                return
        await self._send(message)

    async def _refused(self, status: int) -> str:
        """Why this answer must not leave; empty where it may."""
        scope, state = self._scope, self._scope["state"]
        if not state["guarded"] and status < 400:
            _LOG.error("%s %s has an endpoint that does not say who may call it", scope["method"], scope["path"])
            return "this endpoint does not say who may call it, so nobody may"
        if not state["recorded"]:
            return ""
        address = scope["client"][0] if scope.get("client") else "unknown"
        about = (state["principal"], address, scope["method"], scope["path"], state["route"], status, state["facts"])
        try:
            await self._record(Access(state["request_id"], *about))
        except OutageError as error:
            _LOG.error("request %s is not answered, because it cannot be recorded: %s", state["request_id"], error)
            return "the access cannot be recorded, so it is not answered; what it changed may have been changed"
        return ""


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
