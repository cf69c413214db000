"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a request sent again has its first answer and does nothing.

For a day, whichever process is asked: what was done for a key is looked up in Kafka, under an id that is made of the key. The
process that answered remembers the answer, too, and makes requests that come at the same time wait for each other.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import Header

from api.problems import Problem
from api.roles import Principal
from schemas.record import now

T = TypeVar("T")

REMEMBERED_SECONDS = 86_400.0
MOST = 100_000

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        description="Names this request: sent again with the same key and body, it has the same answer and does nothing again.",
    ),
]
"""The parameter of an endpoint that takes an idempotency key."""


@dataclass(frozen=True, slots=True)
class _Answered:
    body: bytes
    until: float
    answer: "asyncio.Future[Any]"


class Answers:
    """The answers to requests that had a key."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], _Answered] = OrderedDict()

    async def once(self, who: Principal, operation: str, key: str | None, body: bytes, act: Callable[[], Awaitable[T]]) -> T:
        """The answer of `act`, which is not called where the principal has had it for this key; a failure is not remembered.

        Raises:
            Problem: 422, the key was used for another body.
        """
        if key is None:
            return await act()
        place, digest = (who.name, operation, key), hashlib.sha256(body).digest()
        self._forget()
        if (found := self._known.get(place)) is not None:
            if found.body != digest:
                raise used_before()
            return await asyncio.shield(found.answer)
        answer = asyncio.ensure_future(act())
        self._known[place] = _Answered(digest, time.monotonic() + REMEMBERED_SECONDS, answer)
        try:
            return await asyncio.shield(answer)
        except Exception:
            self._known.pop(place, None)
            raise

    def _forget(self) -> None:
        while self._known and (len(self._known) >= MOST or next(iter(self._known.values())).until < time.monotonic()):
            self._known.popitem(last=False)


def used_before() -> Problem:
    """The problem of a key that comes with another request than before."""
    return Problem(422, "this Idempotency-Key was used for another request: a new request needs a new key")


def a_day_ago() -> datetime:
    """From when on the topics are searched for what was done for a key."""
    return now() - timedelta(seconds=REMEMBERED_SECONDS)


def named(who: Principal, operation: str, key: str | None, otherwise: str) -> str:
    """Letters and digits that name a request: the same for the same key of a principal; `otherwise` where it has none."""
    return otherwise if key is None else hashlib.sha256("\0".join((who.name, operation, key)).encode()).hexdigest()[:32]
