"""Security events in by HTTP, findings out as server-sent events."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from api.idempotency import Answers, Key, a_day_ago, named, used_before
from api.problems import Problem
from api.roles import Face, Facts, Role, Who, allow
from schemas.record import Part
from schemas.threats import FeedPosition, ThreatObserved, ThreatScored
from streams.client import Client
from streams.feeding import Feeding
from streams.ranges import Position
from threat.errors import LineError
from threat.feeds.lines import Line
from threat.feeds.normalise import normalise

threats = Face("/api/v1/threats", "threats")

Form = Literal["auto", "suricata", "zeek", "ocsf"]

_BEAT_SECONDS = 15.0
_EVENT_ID = re.compile(r"(\d{1,16})")


class Refused(Part):
    """A line that cannot become an event."""

    line: int
    """Counted from 1."""
    reason: str


class Ingested(Part):
    """What became of the lines of a request; the broker has those that are accepted."""

    accepted: int
    event_ids: list[str]
    refused: list[Refused]


@threats.post("", status_code=202, openapi_extra={"requestBody": {"required": True, "content": {
    "application/x-ndjson": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": ["object", "array"]}},
}}})  # fmt: skip
@allow(Role.PRODUCER)
async def ingest(
    who: Who,
    request: Request,
    facts: Facts,
    form: Annotated[Form, Query(alias="format", description="Whose lines they are; auto: each says it itself.")] = "auto",
    key: Key = None,
) -> Ingested:
    """Send Suricata EVE, Zeek JSON or OCSF: a JSON object, an array of them, or one a line. Those that are refused are named."""
    body = await request.body()
    place = f"http/{named(who, 'ingest', key, request.state.request_id)}"
    events, refused = _read(body, place, form)
    if not events:
        said = "; ".join(f"line {one.line}: {one.reason}" for one in refused[:5]) or "the body is empty"
        raise Problem(422, f"there is no event in it: {said}")
    client: Client = request.app.state.client
    answers: Answers = request.app.state.answers
    await answers.once(who, "ingest", key, body, lambda: _publish(client, place, body, events, once=key is not None))
    facts["detail"] = f"{len(events)} events"
    return Ingested(accepted=len(events), event_ids=[event.event_id for event in events], refused=refused)


@threats.get("/scores", response_class=StreamingResponse)
@allow(Role.READER, Role.AUDITOR, Role.ADMIN)
async def scores(
    request: Request,
    since: Annotated[
        AwareDatetime | None, Query(description="Begin with findings of then; with what comes when not given.")
    ] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID", description="Where a stream that broke off goes on.")] = None,
) -> StreamingResponse:
    """Findings as they are made (server-sent events): `event: threat.scored`, its `data` the record, its `id` where to go on from.

    A stream that goes on from an id may repeat findings of the same millisecond; `event_id` tells them.
    """
    start: Position = "end"
    if last is not None:
        if _EVENT_ID.fullmatch(last) is None:
            raise Problem(422, "Last-Event-ID is not one that this stream gave")
        start = datetime.fromtimestamp(int(last) / 1000, UTC)
    elif since is not None:
        start = since
    client: Client = request.app.state.client
    return StreamingResponse(_events(client, start), media_type="text/event-stream")


async def _events(client: Client, start: Position) -> AsyncIterator[bytes]:
    yield b": findings follow\n\n"
    async with aclosing(client.records(ThreatScored, start, follow=True)) as records:
        coming = asyncio.ensure_future(anext(records))
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=_BEAT_SECONDS)
                if not done:
                    yield b": still there\n\n"  # so that proxies do not take a quiet stream for a dead one
                    continue
                event = coming.result()
                coming = asyncio.ensure_future(anext(records))
                yield b"id: %d\nevent: threat.scored\ndata: %b\n\n" % (event.timestamp_ms, event.record.model_dump_json().encode())
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming


async def _publish(client: Client, place: str, body: bytes, events: Sequence[ThreatObserved], *, once: bool) -> None:
    """Publishes the events; `once`: like a stream that is fed again, with a position that says that it was answered for.

    Raises:
        Problem: 422, there was another body at this place.
    """
    if not once:
        await client.publish_threat(*events)
        return
    feeding, digest = Feeding(client.brokers), hashlib.sha256(body).hexdigest()
    try:
        earlier = (await feeding.claim([place], a_day_ago())).get(place)
        if earlier is None:
            lines = [(Line(number, 0, len(body), event.raw), event) for number, event in enumerate(events, 1)]
            position = FeedPosition(feed=place, path=place, offset=len(body), line=len(lines), checked=len(body), check=digest)
            await feeding.publish(place, lines, position)
        elif earlier.check != digest:
            raise used_before()
    finally:
        await feeding.close()


def _read(body: bytes, place: str, form: Form) -> tuple[list[ThreatObserved], list[Refused]]:
    events, refused = list[ThreatObserved](), list[Refused]()
    for number, line in enumerate(_lines(body), 1):
        try:
            events.append(normalise(line, f"{place}/{number}", form))
        except LineError as error:
            refused.append(Refused(line=number, reason=str(error)))
    return events, refused


def _lines(body: bytes) -> Sequence[bytes]:
    """A JSON document is one event or an array of them; anything else is taken line by line."""
    try:
        whole: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [line for line in body.splitlines() if line.strip()]
    return [orjson.dumps(one) for one in whole] if isinstance(whole, list) else [body.strip()]
