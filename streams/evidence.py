"""What an auditor needs of the topics: audited events, the logs of their manifests, and where both end.

Events and their leaves stand in different topics, so a range has edges: a leaf inside may be about an event shortly before or
behind it. Hence three parts, read in this order: events that must have a leaf, side by side with the logs; then events at the
edges, which may have one.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.jobs import JobCompleted, JobRouted
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import now
from schemas.threats import ThreatAnalysed, ThreatScored
from streams.connection import connected, reader
from streams.messages import Message
from streams.ranges import Position, Span, Spans, spans
from streams.records import fetch

AUDITED = (JobRouted.topic, JobCompleted.topic, ThreatScored.topic, ThreatAnalysed.topic)
"""Topics of which every event has a manifest."""

LOGS = (ManifestSigned.topic, LogCheckpoint.topic)

LATEST_SIGNATURE = timedelta(hours=1)
"""How long after its event a manifest may be signed, where a range of time is looked at."""

SIGNER = "signer"
_PATIENCE_SECONDS = 15.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Evidence:
    """Ranges of offsets.

    Attributes:
        settled: audited events whose manifests must stand in `logs`.
        logs: manifests and checkpoints.
        before: audited events shortly before them, whose manifests may stand in `logs`.
        after: those behind.
        whole: the logs are given from their first leaf.
    """

    settled: Spans
    logs: Spans
    before: Spans
    after: Spans
    whole: bool

    @property
    def parts(self) -> tuple[Spans, ...]:
        """What is to be read, one after the other."""
        return {**self.settled, **self.logs}, self.before, self.after

    def is_settled(self, message: Message) -> bool:
        """Whether the manifest of this event must be there."""
        span = self.settled.get((message.topic, message.partition))
        return span is not None and span.start <= message.offset < (span.stop or 0)


async def evidence(brokers: str, start: Position = "beginning", stop: Position = "end") -> AsyncGenerator[Message | Evidence, None]:
    """First the ranges, then the messages of all three parts.

    Raises:
        BrokerUnavailableError, TopicMismatchError: as `streams.records.read`.
    """
    async with connected(reader(brokers, (*AUDITED, *LOGS)), brokers) as consumer:
        found = await locate(consumer, brokers, start, stop)
        yield found
        for part in found.parts:
            async for batch in fetch(consumer, brokers, part):
                for message in batch:
                    yield message


async def locate(consumer: AIOKafkaConsumer, brokers: str, start: Position, stop: Position) -> Evidence:
    """The ranges of evidence for the events between two positions; waits a little for the signer where they end just now.

    Args:
        consumer: started, and holding `AUDITED` and `LOGS`.
        brokers: its broker.
        start: of the events; the logs are taken from here, too.
        stop: of the events; the logs are taken to their end, or for an hour more.
    """
    settled = _of(await spans(consumer, brokers, start, stop), AUDITED)
    open_end = stop == "end" or (isinstance(stop, datetime) and stop + LATEST_SIGNATURE > now())
    if open_end:
        await _signed(brokers)
    later: Position = "end" if open_end or not isinstance(stop, datetime) else stop + LATEST_SIGNATURE
    earlier: Position = start - LATEST_SIGNATURE if isinstance(start, datetime) else "beginning"
    begin: Position = start if isinstance(start, datetime) else "beginning"
    logs = _of(await spans(consumer, brokers, begin, later), LOGS)
    around = _of(await spans(consumer, brokers, earlier, "end" if open_end else later), AUDITED)
    before = {place: Span(span.start, settled[place].start) for place, span in around.items()}
    after = {place: Span(settled[place].stop or 0, span.stop) for place, span in around.items()}
    return Evidence(settled, logs, before, after, whole=begin == "beginning")


async def _signed(brokers: str) -> None:
    """Waits until the signer has answered all that stands in manifest.requested; not for ever: it may not be running."""
    async with connected(reader(brokers, [ManifestRequested.topic]), brokers) as consumer:
        asked = await spans(consumer, brokers, "beginning", "end")
        for _ in range(round(_PATIENCE_SECONDS / _LOOK_SECONDS)):
            if not await _unsigned(consumer, brokers, asked):
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def _unsigned(consumer: AIOKafkaConsumer, brokers: str, asked: Spans) -> bool:
    """Whether a request stands behind what the signer has committed; offsets alone do not say, transactions leave gaps."""
    places = {place: TopicPartition(*place) for place in asked}
    group = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=SIGNER, enable_auto_commit=False)
    async with connected(group, brokers):
        group.assign(list(places.values()))
        done = {place: await group.committed(where) or 0 for place, where in places.items()}
    left = {place: Span(max(span.start, done[place]), span.stop) for place, span in asked.items()}
    async with aclosing(fetch(consumer, brokers, left)) as batches:
        return await anext(batches, None) is not None


def _of(ranges: Spans, topics: Iterable[str]) -> Spans:
    return {place: span for place, span in ranges.items() if place[0] in topics}
