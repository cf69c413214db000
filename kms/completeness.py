"""Completeness both ways: every event has its leaf, every leaf its event, and both agree on what the event said."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from kms.errors import MissingEvent, MissingLeaf, VerificationError, WrongEvent
from schemas.manifests import ManifestSigned


@dataclass(slots=True)
class Completeness:
    """Matches events and leaves, in whatever order they come.

    Memory grows with the number of those whose counterpart has not come yet: read topics side by side, and it stays small.

    Attributes:
        audited: topics of which every event must have a leaf, and of which alone leaves are matched.
        fail: takes what is found wrong.
    """

    audited: Collection[str]
    fail: Callable[[VerificationError], None]
    matched: int = 0
    _events: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _leaves: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)

    def event(self, topic: str, event_id: str, digest: bytes, settled: bool) -> None:
        """Takes an event; one that is not `settled` may have no leaf yet."""
        key = topic, event_id
        leaf = self._leaves.pop(key, None)
        if leaf is not None:
            self._compare(key, digest, *leaf)
        elif key in self._events:
            self.fail(WrongEvent(f"event {event_id} stands twice in {topic}"))
        elif settled:
            self._events[key] = digest

    def leaf(self, manifest: ManifestSigned) -> None:
        """Takes a leaf."""
        key = manifest.event_topic, manifest.event_id
        if key[0] not in self.audited:
            return
        digest = self._events.pop(key, None)
        place = f"leaf {manifest.index} of {manifest.log_id}"
        if digest is not None:
            self._compare(key, digest, manifest.event_digest, place)
        elif key in self._leaves:
            self.fail(MissingEvent(f"{place} is about {key[0]} event {key[1]} again: {self._leaves[key][1]} already was"))
        else:
            self._leaves[key] = manifest.event_digest, place

    def finish(self) -> None:
        """Whatever is left over has no counterpart."""
        for topic, event_id in self._events:
            self.fail(
                MissingLeaf(f"{topic} event {event_id} has no (further) manifest in any log: it was added, or its manifest dropped")
            )
        for (topic, event_id), (_, place) in self._leaves.items():
            self.fail(MissingEvent(f"{place} is about {topic} event {event_id}, which is not there: the event was dropped"))
        self._events.clear()
        self._leaves.clear()

    def _compare(self, key: tuple[str, str], event: bytes, leaf: bytes, place: str) -> None:
        if event != leaf:
            what = f"{key[0]} event {key[1]} has the digest {event.hex()}, {place} was signed about {leaf.hex()}"
            self.fail(WrongEvent(f"{what}: its value, key or headers were changed"))
        self.matched += 1
