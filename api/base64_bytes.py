"""Bytes in JSON: base64 (RFC 4648 section 4), padded, and nothing else in it."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema


def _decoded(text: Any) -> Any:
    if isinstance(text, bytes):
        return text  # ours
    if not isinstance(text, str):
        raise ValueError("base64 is a string")
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("this is no base64 (RFC 4648 section 4, padded)") from None


Bytes = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(lambda content: base64.b64encode(content).decode(), str, "json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
