"""Why an application did not start, in its error's own sentence instead of a traceback in the log."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kms.errors import KmsError
from streams.errors import StreamsError

EXPECTED = (StreamsError, KmsError, OSError)
"""What keeps a service from starting and is no defect: no broker, no token, a file that cannot be read."""


class Startup:
    """The application; `failure` is what kept it from starting.

    Attributes:
        failure: the error, once there is one of those that are expected.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def said(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, EXPECTED):
                self.failure, message = error, {**message, "message": ""}
            await send(message)

        await self._app(scope, receive, said)
