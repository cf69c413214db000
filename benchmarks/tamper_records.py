"""Single changes of a log's records: bits, bytes, fields, headers, keys, places."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks.tamper_exhibits import Topics
from schemas.codec import decode, encode
from schemas.manifests import LogCheckpoint, ManifestSigned

Tamper = Callable[[Topics, random.Random], Topics]


def flipped(data: bytes, draw: random.Random) -> bytes:
    """One bit changed."""
    changed = bytearray(data)
    changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: random.Random) -> bytes:
    """A part missing."""
    start = draw.randrange(len(data))
    return data[:start] + data[start + 1 + draw.randrange(min(32, len(data) - start)) :]


def in_bytes(part: str, change: Callable[[bytes, random.Random], bytes]) -> Tamper:
    """Changes the value of one message."""

    def tamper(topics: Topics, draw: random.Random) -> Topics:
        raws = list(getattr(topics, part))
        at = draw.randrange(len(raws))
        raws[at] = replace(raws[at], value=change(raws[at].value, draw))
        return replace(topics, **{part: tuple(raws)})

    return tamper


def in_field(part: str, name: str) -> Tamper:
    """Changes one field of one record, which stays well-formed Avro."""
    kind = {"manifests": ManifestSigned, "checkpoints": LogCheckpoint}[part]

    def tamper(topics: Topics, draw: random.Random) -> Topics:
        raws = list(getattr(topics, part))
        where = [index for index, raw in enumerate(raws) if getattr(decode(kind, raw.value), name) not in (b"", "")]
        at = draw.choice(where)
        record = decode(kind, raws[at].value)
        raws[at] = replace(raws[at], value=encode(record.model_copy(update={name: changed(getattr(record, name), draw)})))
        return replace(topics, **{part: tuple(raws)})

    return tamper


def changed(value: object, draw: random.Random) -> object:
    """Another value of the same type, near by or far off."""
    if isinstance(value, bytes):
        return draw.choice((flipped, cut))(value, draw)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice((value + 1, max(0, value - 1) if value else 2, value + draw.randrange(2, 1 << 40)))
    if isinstance(value, str):
        at = draw.randrange(len(value))
        letter = draw.choice([letter for letter in "aZ0+/= \n\u00e9" if letter != value[at]])
        return draw.choice((value[:at] + letter + value[at + 1 :], value[:at] + value[at + 1 :], value[:at] + letter + value[at:]))
    return value.replace(microsecond=(value.microsecond + 1 + draw.randrange(999_998)) % 1_000_000)  # type: ignore[attr-defined]


def in_header(topics: Topics, draw: random.Random) -> Topics:
    """Changes, drops or doubles one signed CloudEvents attribute or the key of an event."""
    at = draw.randrange(len(topics.events))
    raw = topics.events[at]
    signed = [index for index, (name, _) in enumerate(raw.headers) if name in {"ce_id", "ce_type", "ce_source", "ce_time"}]
    chosen = draw.choice([*signed, -1])
    head = list(raw.headers)
    if chosen < 0:
        raw = replace(raw, key=flipped(raw.key, draw))
    elif (way := draw.randrange(3)) == 0:
        head[chosen] = (head[chosen][0], flipped(head[chosen][1], draw))
    elif way == 1:
        head.pop(chosen)
    else:
        head.append((head[chosen][0], flipped(head[chosen][1], draw)))
    events = [*topics.events[:at], replace(raw, headers=tuple(head)), *topics.events[at + 1 :]]
    return replace(topics, events=tuple(events))


def swapped_headers(topics: Topics, draw: random.Random) -> Topics:
    """Two events change their headers."""
    one, other = draw.sample(range(len(topics.events)), 2)
    events = list(topics.events)
    events[one], events[other] = (
        replace(events[one], headers=events[other].headers),
        replace(events[other], headers=events[one].headers),
    )
    return replace(topics, events=tuple(events))


def arranged(part: str, way: str) -> Tamper:
    """Drops one message, doubles one, or lets two change their places."""

    def tamper(topics: Topics, draw: random.Random) -> Topics:
        raws = list(getattr(topics, part))
        at = draw.randrange(len(raws))
        if way == "drop":
            raws.pop(
                at % (len(raws) - (part == "checkpoints"))
            )  # without its newest heartbeat a log ends earlier, as the report says
        elif way == "double":
            raws.insert(draw.randrange(len(raws) + 1), raws[at])
        else:
            other = draw.choice([index for index in range(len(raws)) if index != at])
            raws[at], raws[other] = raws[other], raws[at]
        return replace(topics, **{part: tuple(raws)})

    return tamper


RECORDS: Mapping[str, Tamper] = {
    **{f"a bit of {part}": in_bytes(part, flipped) for part in ("events", "manifests", "checkpoints")},
    **{f"bytes cut from {part}": in_bytes(part, cut) for part in ("events", "manifests", "checkpoints")},
    **{f"manifest: {name}": in_field("manifests", name) for name in ManifestSigned.model_fields},
    **{f"checkpoint: {name}": in_field("checkpoints", name) for name in LogCheckpoint.model_fields},
    "event: header or key": in_header,
    "events: headers swapped": swapped_headers,
    **{f"{part}: {way}": arranged(part, way) for part in ("manifests", "checkpoints") for way in ("drop", "double", "swap")},
    **{f"events: {way}": arranged("events", way) for way in ("drop", "double")},
}
