"""An agent, declared: what it reads, what it writes, and which function stands between."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from schemas.cloudevents import Event
from schemas.manifests import ManifestRequested
from schemas.record import Record
from streams.errors import DeclarationError
from streams.views import View

Outputs: TypeAlias = Iterable[Record] | Record | None
Handle: TypeAlias = Callable[[Any], Outputs]
HandleBatch: TypeAlias = Callable[[int, Sequence[Any]], Outputs]
Tick: TypeAlias = Callable[[int], Outputs]
Attest: TypeAlias = Callable[[Event[Any] | None, Event[Any]], ManifestRequested]


@dataclass(frozen=True)
class Agent:
    """The declaration of one agent; the worker in `streams.worker` does everything else.

    Attributes:
        name: also its consumer group and the prefix of its transactional ids.
        reads: record types whose topics it consumes.
        writes: record types that `handle` and `tick` may return; the manifests of `attest` need not be named.
        handle: one input record -> the records to publish, whose types name their topics. Pure but for its views: it
            may be called again for an input after a crash. Raise `schemas.errors.InputError` for an input that can never
            be handled (dead-lettered at once); any other exception is retried with back-off, then dead-lettered.
        handle_event: `handle` takes the whole `Event` (record, event id, digest) and not just the record.
        batch: `handle` takes (partition, records) and answers for all of them at once; its nth output of a type
            belongs to the nth input.
        linger: seconds to wait for more inputs before a transaction; for a `handle` that costs by the batch, not by the event.
        offload: run `handle` and `tick` in a thread, because they compute or sign for longer than a few milliseconds.
        tick: partition -> records to publish, called every `every` seconds for each partition of `reads[0]` held here,
            in a transaction of its own. Never concurrently with `handle` of the same partition.
        tick_subject: what names a tick's output: (subject, state), so that its event id is the same when said again.
        same_partition: output types that go to the partition of their input, whatever their key.
        views: tables of other topics that `handle` reads; complete before the first event is handled.
        attest: output type -> (input event or None for a tick, output event) -> the manifest about that output, published
            in the same transaction.
        start: called once, before the first event, in the worker's process (warm caches, open the token).
        stop: called once, after the last.
    """

    name: str
    reads: Sequence[type[Record]]
    writes: Sequence[type[Record]]
    handle: Handle | HandleBatch
    handle_event: bool = False
    batch: bool = False
    linger: float = 0.0
    offload: bool = False
    tick: Tick | None = None
    every: float = 1.0
    tick_subject: Callable[[Any], tuple[str, str]] | None = None
    same_partition: Sequence[type[Record]] = ()
    views: Sequence[View[Any]] = ()
    attest: Mapping[type[Record], Attest] = field(default_factory=dict)
    start: Callable[[], object] | None = None
    stop: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if not self.reads:
            raise DeclarationError(f"agent {self.name!r} reads nothing: its partitions come from what it reads")
        if self.tick is not None and self.tick_subject is None:
            raise DeclarationError(f"agent {self.name!r} ticks but has no tick_subject: its outputs would have no stable event id")
        if self.batch and self.handle_event:
            raise DeclarationError(f"agent {self.name!r}: a batch is handled as records; handle_event goes with single events")
        stray = [kind.__name__ for kind in (*self.same_partition, *self.attest) if kind not in self.writes]
        if stray:
            raise DeclarationError(f"agent {self.name!r} names {', '.join(stray)}, which it does not write")

    @property
    def topics(self) -> set[str]:
        """Every topic that it reads, writes or views, `dead.letter` included."""
        kinds = {kind.topic for kind in (*self.reads, *self.writes, *(view.kind for view in self.views))}
        return kinds | {"dead.letter"} | ({ManifestRequested.topic} if self.attest else set())
