"""Single changes of a manifest's bundle and of a run's envelope: a bit of the text, or one field, which stays well-formed JSON.

`keyIds` of a bundle are left out: they are the exporter's hint, which nobody signs and no verifier believes.
"""

import base64
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.tamper_records import changed, flipped
from kms.base64_text import read_base64

Texts = tuple[bytes, ...]
Tamper = Callable[[Texts, random.Random], bytes]
"""(texts that verify, draw) -> one that must not."""

BUNDLE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "mediaType": ("mediaType",),
    "payload": ("dsseEnvelope", "payload"),
    "payloadType": ("dsseEnvelope", "payloadType"),
    **{name: ("logEntry", name) for name in ("logId", "logIndex", "subject", "inclusionProof", "checkpoint")},
    **{f"event {name}": ("logEntry", "event", name) for name in ("topic", "id", "digest")},
}
ENVELOPE_FIELDS: Mapping[str, tuple[str | int, ...]] = {
    "payload": ("payload",),
    "payloadType": ("payloadType",),
    **{f"{name} {number + 1}": ("signatures", number, name) for number in range(2) for name in ("keyid", "sig")},
}
_BINARY = {"payload", "sig", "inclusionProof"}


def a_bit(texts: Texts, draw: random.Random) -> bytes:
    """One bit of a text."""
    return flipped(draw.choice(texts), draw)


def field(path: tuple[str | int, ...]) -> Tamper:
    """Another value of one field."""

    def tamper(texts: Texts, draw: random.Random) -> bytes:
        document = json.loads(draw.choice(texts))
        place, name = _place(document, path)
        value = place[name]
        if not isinstance(value, list):
            place[name] = _changed(value, str(name), draw)
        elif value:
            at = draw.randrange(len(value))
            value[at] = _changed(value[at], str(name), draw)
        else:
            value.append(base64.b64encode(draw.randbytes(32)).decode())
        return json.dumps(document).encode()

    return tamper


def without_a_signature(texts: Texts, draw: random.Random) -> bytes:
    """One of an envelope's signatures is missing."""
    return _signatures(texts, draw, lambda own, _: own[draw.randrange(2) :][:1])


def with_one_twice(texts: Texts, draw: random.Random) -> bytes:
    """One of an envelope's signatures stands twice."""
    return _signatures(texts, draw, lambda own, _: [*own, draw.choice(own)])


def with_another_s(texts: Texts, draw: random.Random) -> bytes:
    """One of an envelope's signatures comes from another envelope, by the same key."""

    def change(own: list[Any], other: list[Any]) -> list[Any]:
        at = draw.randrange(2)
        return [*own[:at], other[at], *own[at + 1 :]]

    return _signatures(texts, draw, change)


def _signatures(texts: Texts, draw: random.Random, change: Callable[[list[Any], list[Any]], list[Any]]) -> bytes:
    one, other = (json.loads(text) for text in draw.sample(texts, 2))
    return json.dumps({**one, "signatures": change(one["signatures"], other["signatures"])}).encode()


def _place(document: Any, path: tuple[str | int, ...]) -> tuple[Any, str | int]:
    for name in path[:-1]:
        document = document[name]
    return document, path[-1]


def _changed(value: Any, name: str, draw: random.Random) -> Any:
    if name not in _BINARY:
        return changed(value, draw)
    content = changed(read_base64(value), draw)
    assert isinstance(content, bytes)
    return base64.b64encode(content).decode()


BUNDLES: Mapping[str, Tamper] = {
    "bundle: a bit of its text": a_bit,
    **{f"bundle: {name}": field(path) for name, path in BUNDLE_FIELDS.items()},
}
ENVELOPES: Mapping[str, Tamper] = {
    **{f"envelope: {name}": field(path) for name, path in ENVELOPE_FIELDS.items()},
    "envelope: a signature stripped": without_a_signature,
    "envelope: a signature twice": with_one_twice,
    "envelope: a signature of another": with_another_s,
}
