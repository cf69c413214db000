"""A million seeded single tampers with logs, payloads, proofs, checkpoints, signatures and headers: none may be accepted.

    python -m benchmarks.tamper --tampers 1030000 --seed 7

Each tamper changes one thing in a set of events, manifests and checkpoints that verifies, and the set is verified again from its
bytes, the signatures of every checkpoint included. The table says how often each kind was tried and by which error it was found.
The control is the untouched set, verified as often as a kind: it must be accepted every time.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.manifest_signing import routed
from kms import keys, verification
from kms.algorithms import LOG_SUITES
from kms.keyring import KeyRing
from kms.manifest import routed_manifest
from kms.modules import installed_module
from kms.provision import init_token
from kms.signing import LogSigner
from kms.token import open_token
from kms.trust import TrustRoot
from kms.verification import LogVerifier
from schemas import cloudevents, codec
from schemas.cloudevents import Event, digest, headers, output_id
from schemas.codec import decode, encode
from schemas.jobs import JobRouted
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned

BATCHES = (3, 1, 5)
CONTROL = "nothing (control)"


@dataclass(frozen=True)
class Raw:
    """One message of a topic: what stands in Kafka."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Topics:
    """Everything that an auditor is given."""

    events: tuple[Raw, ...]
    manifests: tuple[Raw, ...]
    checkpoints: tuple[Raw, ...]


Tamper = Callable[[Topics, random.Random], Topics]


def made(folder: Path) -> tuple[Topics, TrustRoot]:
    """Nine decisions, their manifests in three batches, a checkpoint of each, and a heartbeat, signed in a token."""
    module = installed_module(folder)
    token = init_token(module, "tamper", folder)
    ring = KeyRing.open(folder / "keys.db", open_token(module, "tamper", token.pin_file.read_text(), folder))
    signing = ring.ensure(keys.LOG_USE, LOG_SUITES)
    newest: list[LogCheckpoint] = []
    signer = LogSigner(lambda: signing, "tamper.example", lambda _: newest[-1] if newest else None, heartbeat_seconds=0)
    events, manifests, checkpoints = [], [], []
    for batch in BATCHES:
        asked: list[ManifestRequested] = []
        for number in range(batch):
            record = routed(len(events), 2).record
            event_id = output_id("em.recommended", 0, len(events), JobRouted, 0)
            raw = Raw(
                record.key, encode(record), tuple(headers(JobRouted, event_id, "/agents/scheduler", f"2026-01-0{number + 1}"))
            )
            events.append(raw)
            asked.append(routed_manifest(None, Event(record, event_id, digest(raw.headers, raw.key, raw.value))))
        *leaves, head = signer.sign(0, asked)
        manifests += leaves
        checkpoints.append(head)
        newest.append(head)  # type: ignore[arg-type]
    checkpoints += signer.heartbeat(0)
    plain = [tuple(Raw(record.key, encode(record), ()) for record in records) for records in (manifests, checkpoints)]
    return Topics(tuple(events), *plain), ring.public()


def verify(topics: Topics, trust: TrustRoot) -> None:
    """Raises what is wrong."""
    verifier = LogVerifier(trust, audited={JobRouted.topic}, every_signature=True)
    for raw in topics.events:
        event_id = next((value.decode("utf-8", "replace") for name, value in raw.headers if name == "ce_id"), "")
        verifier.event(JobRouted.topic, event_id, cloudevents.digest(raw.headers, raw.key, raw.value))
    for raw in topics.checkpoints:
        verifier.checkpoint(codec.decode(LogCheckpoint, raw.value))
    for raw in topics.manifests:
        verifier.manifest(codec.decode(ManifestSigned, raw.value))
    verifier.finish()


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


def stripped(topics: Topics, draw: random.Random) -> Topics:
    """A checkpoint loses one of its signatures."""
    return _noted(topics, draw, lambda lines: lines.pop(draw.randrange(len(lines))))


def doubled_signature(topics: Topics, draw: random.Random) -> Topics:
    """One signature takes the place of another."""

    def change(lines: list[str]) -> None:
        one, other = draw.sample(range(len(lines)), 2)
        lines[one] = lines[other]

    return _noted(topics, draw, change)


def _noted(topics: Topics, draw: random.Random, change: Callable[[list[str]], object]) -> Topics:
    raws = list(topics.checkpoints)
    at = draw.randrange(len(raws))
    record = decode(LogCheckpoint, raws[at].value)
    text, _, below = record.note.rpartition("\n\n")
    lines = below.splitlines(keepends=True)
    change(lines)
    raws[at] = replace(raws[at], value=encode(record.model_copy(update={"note": f"{text}\n\n{''.join(lines)}"})))
    return replace(topics, checkpoints=tuple(raws))


TAMPERS: Mapping[str, Tamper] = {
    CONTROL: lambda topics, draw: topics,
    **{f"a bit of {part}": in_bytes(part, flipped) for part in ("events", "manifests", "checkpoints")},
    **{f"bytes cut from {part}": in_bytes(part, cut) for part in ("events", "manifests", "checkpoints")},
    **{f"manifest: {name}": in_field("manifests", name) for name in ManifestSigned.model_fields},
    **{f"checkpoint: {name}": in_field("checkpoints", name) for name in LogCheckpoint.model_fields},
    "event: header or key": in_header,
    "events: headers swapped": swapped_headers,
    **{f"{part}: {way}": arranged(part, way) for part in ("manifests", "checkpoints") for way in ("drop", "double", "swap")},
    **{f"events: {way}": arranged("events", way) for way in ("drop", "double")},
    "checkpoint: signature stripped": stripped,
    "checkpoint: signature replaced": doubled_signature,
}


@cache
def _remember_pure_work() -> None:
    """What depends on bytes alone is done once for the same bytes, so that most of the time goes into what was changed."""
    kept = lru_cache(maxsize=64)
    keys.PublicKey.verify = kept(keys.PublicKey.verify)  # type: ignore[method-assign]
    for module, name in ((verification, "read_note"), (codec, "decode"), (cloudevents, "digest")):
        setattr(module, name, kept(getattr(module, name)))


def attempts(topics: Topics, trust: TrustRoot, seed: int, count: int) -> Counter[tuple[str, str]]:
    """(kind, error) -> how often, of `count` tampers; the kinds take turns."""
    _remember_pure_work()
    draw, found, names = random.Random(seed), Counter[tuple[str, str]](), list(TAMPERS)
    for number in range(count):
        name = names[number % len(names)]
        given = TAMPERS[name](topics, draw)
        if given == topics and name != CONTROL:
            continue
        try:
            verify(given, trust)
            found[name, ""] += 1
        except Exception as error:
            found[name, type(error).__name__] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tampers", type=int, default=1_030_000, help="control included; each kind of change in turn")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        topics, trust = made(Path(folder))
    started = time.perf_counter()
    chunk = 5_000
    seeds = range(arguments.seed, arguments.seed + -(-arguments.tampers // chunk))
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        found = sum(
            pool.starmap(attempts, [(topics, trust, seed, chunk) for seed in seeds], chunksize=1), Counter[tuple[str, str]]()
        )
    table = Table("what was changed", "tried", "accepted", "found by", title=f"seeds {seeds.start} to {seeds.stop - 1}")
    for name in TAMPERS:
        errors = {error: count for (kind, error), count in found.items() if kind == name}
        tried, accepted = sum(errors.values()), errors.pop("", 0)
        words = ", ".join(f"{error} {count:,}" for error, count in sorted(errors.items(), key=lambda item: -item[1]))
        table.add_row(name, f"{tried:,}", f"{accepted:,}", words)
    tampers = sum(count for (name, _), count in found.items() if name != CONTROL)
    accepted = sum(count for (name, error), count in found.items() if name != CONTROL and not error)
    console = Console(width=160)
    console.print(table)
    console.print(f"{tampers:,} tampers, {accepted:,} accepted, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
