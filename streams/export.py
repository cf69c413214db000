"""Topics as one file, for auditors without a broker: an Avro Object Container File that keeps every byte.

Any Avro tool reads it. The header holds, beside the schema, the exported ranges, how many messages follow (so that a file cut
short is noticed) and, for reference, the trust root; a verifier brings its own copy of that.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import aclosing
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, cast

from fastavro import parse_schema, reader
from fastavro.write import Writer

from schemas.record import now
from streams.bounded_blocks import bound
from streams.connection import connected
from streams.connection import reader as consumer_of
from streams.errors import StreamsError
from streams.evidence import AUDITED, LOGS, Evidence, locate
from streams.messages import Message
from streams.ranges import Position, Span, Spans, spans
from streams.records import fetch, refuse_unknown

_HEADER = {
    "type": "record",
    "name": "ExportedHeader",
    "fields": [{"name": "key", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}],
}
SCHEMA = parse_schema(
    {
        "type": "record",
        "name": "ExportedRecord",
        "namespace": "ai.quantumai",
        "doc": "One Kafka record as it stood in its topic; its value is Avro single-object encoding.",
        "fields": [
            {"name": "topic", "type": "string"},
            {"name": "partition", "type": "int"},
            {"name": "offset", "type": "long"},
            {"name": "timestamp_ms", "type": "long"},
            {"name": "key", "type": ["null", "bytes"]},
            {"name": "value", "type": ["null", "bytes"]},
            {"name": "headers", "type": {"type": "array", "items": _HEADER}},
        ],
    }
)

_COUNT_OPEN = "?" * 19  # as wide as the largest long: the count is written over it once it is known
_BLOCK_BYTES = 256 * 1024
_PLAIN_FIELDS = [field.name for field in fields(Message) if field.name != "headers"]


class BundleError(StreamsError):
    """A file that is no whole export."""


async def export(
    brokers: str,
    path: Path,
    start: Position = "beginning",
    stop: Position = "end",
    *,
    topics: Collection[str] = (),
    trust: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes a range of topics to `path`, which is there whole or not at all; returns the number of messages.

    Args:
        brokers: bootstrap addresses.
        path: the file.
        start: where to begin, in every topic.
        stop: where to end. The logs of manifests are followed a little further, so that the file can be verified alone.
        topics: beside the evidence for verification (audited events and logs), which is always there.
        trust: a trust root, copied into the header for reference.
        progress: called with the number of messages written so far.

    Raises:
        BrokerUnavailableError, TopicMismatchError: as `streams.records.read`.
        BundleError: the file cannot be written.
    """
    others = sorted(set(topics) - {*AUDITED, *LOGS})
    path = _writable(path)
    draft = path.with_name(path.name + ".part")
    await refuse_unknown(brokers, others)
    async with connected(consumer_of(brokers, (*AUDITED, *LOGS, *others)), brokers) as consumer:
        rest = {place: span for place, span in (await spans(consumer, brokers, start, stop)).items() if place[0] in others}
        found = await locate(consumer, brokers, start, stop)
        try:
            with draft.open("wb") as file:
                out = _Writing(file, found, trust)
                for part in (*found.parts, rest):
                    async with aclosing(fetch(consumer, brokers, part)) as batches:
                        async for batch in batches:
                            out.write(batch)
                            if progress is not None:
                                progress(out.count)
                out.close()
            draft.replace(path)
        except OSError as error:
            raise BundleError(f"{path} cannot be written: {error.strerror or error}") from error
        finally:
            draft.unlink(missing_ok=True)
    return out.count


def _writable(path: Path) -> Path:
    """Where the file will be: behind links, for what is replaced must be a file and no device.

    Raises:
        BundleError: there is something else.
    """
    place = path.resolve()
    if place.exists() and not place.is_file():
        raise BundleError(f"{path} cannot be written: it is there and is no file; name another")
    return place


class Bundle:
    """An exported file.

    Attributes:
        path: the file.
        count: how many messages it holds.
        evidence: the ranges that it covers for verification.
        exported_at: when, RFC 3339.
        trust: the trust root that was exported with it, JSON; for reference, not to be believed.

    Raises:
        BundleError: no such file, or no export.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        bound()
        try:
            with path.open("rb") as file:
                metadata: dict[str, str] = reader(file).metadata
            self.count = int(metadata["quantumai.count"])
            self.evidence = _evidence(json.loads(metadata["quantumai.evidence"]))
            self.exported_at, self.trust = metadata["quantumai.exported_at"], metadata["quantumai.trust"]
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
        except Exception as error:  # fastavro raises a dozen types on a file that is no Avro
            raise BundleError(f"{path} is no export of `quantumai export`: {type(error).__name__}: {error}") from error

    def __iter__(self) -> Iterator[Message]:
        """The messages, in the order in which they were exported.

        Raises:
            BundleError: the file is damaged or cut off.
        """
        count = 0
        with self.path.open("rb") as file:
            try:
                for entry in cast(Iterator[dict[str, Any]], reader(file)):
                    headers = tuple((header["key"], header["value"]) for header in entry.pop("headers"))
                    message = Message(**entry, headers=headers)
                    self._refuse_strays(message)
                    yield message
                    count += 1
            except (GeneratorExit, BundleError):
                raise
            except Exception as error:  # as above
                raise BundleError(f"{self.path} is damaged behind message {count}: {type(error).__name__}: {error}") from error
        if count != self.count:
            raise BundleError(f"{self.path} is cut off: {count} of {self.count} messages are there; fetch it again")

    def _refuse_strays(self, message: Message) -> None:
        """Evidence outside the ranges that the file names would be matched, but never missed: a place to hide a forgery."""
        place = (message.topic, message.partition)
        found = self.evidence
        named = [part[place] for part in (found.settled, found.logs, found.before, found.after) if place in part]
        evident = message.topic in (*AUDITED, *LOGS)
        if evident and not any(
            span.start <= message.offset and (span.stop is None or message.offset < span.stop) for span in named
        ):
            raise BundleError(
                f"{self.path} holds {message.topic}[{message.partition}]@{message.offset}, outside the ranges it names"
            )


class _Writing:
    """The file while it is written."""

    def __init__(self, file: IO[bytes], found: Evidence, trust: Path | None) -> None:
        self.count, self._file = 0, file
        metadata = {
            "quantumai.count": _COUNT_OPEN,
            "quantumai.evidence": json.dumps(_plain(found)),
            "quantumai.exported_at": now().isoformat(timespec="seconds"),
            "quantumai.trust": trust.read_text() if trust is not None else "",
        }
        self._writer = Writer(file, SCHEMA, codec="deflate", sync_interval=_BLOCK_BYTES, metadata=metadata)

    def write(self, batch: list[Message]) -> None:
        for message in batch:
            headers = [{"key": key, "value": value} for key, value in message.headers]
            self._writer.write({**{name: getattr(message, name) for name in _PLAIN_FIELDS}, "headers": headers})
        self.count += len(batch)

    def close(self) -> None:
        self._writer.flush()
        self._file.flush()
        with Path(self._file.name).open("r+b") as header:
            at = header.read(_BLOCK_BYTES).index(_COUNT_OPEN.encode())
            header.seek(at)
            header.write(f"{self.count:0{len(_COUNT_OPEN)}d}".encode())
            header.flush()
            os.fsync(header.fileno())


def _plain(found: Evidence) -> dict[str, Any]:
    """The ranges as JSON: part -> [topic, partition, start, stop]."""
    parts = {"settled": found.settled, "logs": found.logs, "before": found.before, "after": found.after}
    return {
        "whole": found.whole,
        **{name: [[*place, span.start, span.stop] for place, span in part.items()] for name, part in parts.items()},
    }


def _evidence(plain: dict[str, Any]) -> Evidence:
    def part(name: str) -> Spans:
        return {(topic, partition): Span(start, stop) for topic, partition, start, stop in plain[name]}

    return Evidence(part("settled"), part("logs"), part("before"), part("after"), plain["whole"])
