"""HTTP without hidden waits: IBM's client has no time limit for an answer, repeats requests, and sleeps through a Retry-After."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from backends.errors import BackendBusyError

TOO_MANY_REQUESTS = 429
UNSAID_SECONDS = 5.0
"""How long a service is left alone that is busy and does not say for how long."""


class Transport(HTTPAdapter):
    """Sends each request once, for a limited time; after a 429, none before the service wants one."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(max_retries=0)
        self._timeout = timeout_seconds
        self._not_before = 0.0

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        """The answer.

        Raises:
            BackendBusyError: the service wants no request now.
        """
        self._wait_is_over()
        response = super().send(request, **{**options, "timeout": self._timeout})
        if response.status_code == TOO_MANY_REQUESTS:
            self._not_before = time.monotonic() + _seconds(response.headers.get("Retry-After", ""))
            self._wait_is_over()
        return response

    def _wait_is_over(self) -> None:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            raise BackendBusyError(f"IBM limits how often it is asked (429): it wants no request for {wait:.1f} s", wait)


def _seconds(said: str) -> float:
    """Of a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3)."""
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return UNSAID_SECONDS
