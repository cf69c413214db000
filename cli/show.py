"""Messages as JSON that people can read."""

import base64
import json
from datetime import datetime
from typing import Any

from schemas.codec import topic_of
from schemas.errors import InputError
from streams.messages import Message, Received, typed


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
