"""Finds one manifest in the logs, and the checkpoint that its proof leads to: in the topics, or in an exported file."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from kms.errors import MissingCheckpoint, MissingLeaf
from schemas.codec import decode
from schemas.manifests import LogCheckpoint, ManifestSigned
from streams.export import Bundle
from streams.messages import Message
from streams.records import messages

Found = list[tuple[ManifestSigned, LogCheckpoint]]


def find(named: str, brokers: str, file: Path | None) -> Found:
    """The manifests of a name, each with its checkpoint, in the order of the logs.

    Args:
        named: LOG/INDEX, as quantumai.local/3/17; an event's id; or a subject, such as a job's id.
        brokers: where the topics are.
        file: an exported file, instead of the topics.

    Raises:
        MissingLeaf: there is none of that name.
        MissingCheckpoint: a checkpoint is not there.
        StreamsError: the topics, or the file, cannot be read.
    """
    search = _Search(named)
    asyncio.run(_read(brokers, file, ManifestSigned.topic, search.manifest))
    asyncio.run(_read(brokers, file, LogCheckpoint.topic, search.checkpoint))
    return search.found()


class _Search:
    """Manifests first, then checkpoints: so that only those are kept that are needed."""

    def __init__(self, named: str) -> None:
        self._named = named
        self._hint = (named.rpartition("/")[0] or named).encode()
        self._manifests: list[ManifestSigned] = []
        self._heads: dict[tuple[str, int], LogCheckpoint | None] = {}

    def manifest(self, message: Message) -> None:
        if self._hint not in (message.value or b""):
            return
        manifest = decode(ManifestSigned, message.value)
        if self._named in (f"{manifest.log_id}/{manifest.index}", manifest.event_id, manifest.subject):
            self._manifests.append(manifest)
            self._heads[manifest.log_id, manifest.tree_size] = None

    def checkpoint(self, message: Message) -> None:
        head = decode(LogCheckpoint, message.value)
        place = head.log_id, head.tree_size
        if place in self._heads:
            before = self._heads[place]
            if before is None or len(head.note) > len(before.note):  # rather one that carries an anchor
                self._heads[place] = head

    def found(self) -> Found:
        if not self._manifests:
            raise MissingLeaf(f"no log has a manifest {self._named!r}: name it by LOG/INDEX, the id of its event, or its subject")
        return [(manifest, self._head(manifest)) for manifest in self._manifests]

    def _head(self, manifest: ManifestSigned) -> LogCheckpoint:
        head = self._heads[manifest.log_id, manifest.tree_size]
        if head is None:
            raise MissingCheckpoint(f"{manifest.log_id} has no checkpoint of size {manifest.tree_size} for leaf {manifest.index}")
        return head


async def _read(brokers: str, file: Path | None, topic: str, take: Callable[[Message], None]) -> None:
    async with aclosing(_topic(brokers, topic) if file is None else _file(file, topic)) as source:
        async for message in source:
            take(message)


async def _topic(brokers: str, topic: str) -> AsyncGenerator[Message, None]:
    async with aclosing(messages(brokers, [topic])) as batches:
        async for batch in batches:
            for message in batch:
                yield message


async def _file(file: Path, topic: str) -> AsyncGenerator[Message, None]:
    for message in Bundle(file):
        if message.topic == topic:
            yield message
