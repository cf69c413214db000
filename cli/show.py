"""Messages as JSON that people can read, and jobs as tables."""

import base64
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.table import Table

from schemas.codec import topic_of
from schemas.errors import InputError
from streams.messages import Message, Received, typed
from streams.progress import Job

COLOURS = {"DONE": "green", "REJECTED": "yellow", "ERROR": "red", "CANCELLED": "yellow", "DEAD_LETTERED": "red"}


def readable(message: Message, indent: int | None = None) -> str:
    """The message as one JSON object. Bytes are text where they are UTF-8, else {"base64": ...}; the record is null, and the
    reason given, where it cannot be decoded."""
    about: dict[str, Any] = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
        "key": message.key,
        "headers": {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers},
    }
    return json.dumps({**about, **_content(message)}, default=_plain, indent=indent, ensure_ascii=False)


def job_table(jobs: Iterable[Job]) -> Table:
    """One line a job: where it is, what it runs on and how."""
    table = Table()
    for heading in ("job", "name", "tenant", "state", "backend", "method", "requested", "cost $"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "cost $" else "left")
    for job in jobs:
        request, done = job.request, job.completed
        table.add_row(
            job.job_id,
            request.name if request else "",
            request.tenant if request else "",
            coloured(job.state),
            job.backend,
            job.method,
            f"{request.requested_at:%Y-%m-%d %H:%M:%S}" if request else "",
            f"{done.cost_usd:.4f}" if done else "",
        )
    return table


def coloured(state: str) -> str:
    """The state in its colour, as rich markup."""
    return f"[{COLOURS.get(state, 'cyan')}]{state}[/]"


def _content(message: Message) -> dict[str, Any]:
    if message.value is None:
        return {"record": None, "undecodable": "a tombstone: no value"}
    try:
        event = typed(topic_of(message.value), message)
    except InputError as error:
        return {"record": None, "undecodable": str(error), "value": message.value}
    if isinstance(event, Received):
        return {"record": event.record.model_dump()}
    return {"record": None, "undecodable": event.reason, "value": message.value}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
        return text if text.isprintable() else {"base64": base64.b64encode(value).decode()}
    raise TypeError(type(value).__name__)
