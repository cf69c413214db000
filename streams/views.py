"""Tables made of topics, for handlers to read: no view writes, each is restored from Kafka and from nothing else.

| view | holds | restored |
|---|---|---|
| `LatestByKey` | the latest record of each key, all partitions; followed live | before the first event |
| `HeldByKey` | the latest record of each key, of the partitions held here | at every assignment |
| `LastHeld` | the last record of each partition held here | at every assignment |

Of a held view's topic the agent itself is the only writer (`same_partition`), so what it holds is what it has said.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from schemas.record import Record

R = TypeVar("R", bound=Record)


class View(Generic[R]):
    """A table of one topic's records."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind


class LatestByKey(View[R], Mapping[str, R]):
    """The latest record of each key over all partitions, read committed and followed while the worker runs.

    Args:
        kind: the record type.
        also: is told every record, in the order of its partition.
        keep: whether records are kept; without, `also` is all that hears of them.
        prefix: what the keys of records that matter begin with; others are not even decoded.
    """

    def __init__(self, kind: type[R], also: Callable[[R], object] | None = None, *, keep: bool = True, prefix: str = "") -> None:
        super().__init__(kind)
        self.prefix = prefix.encode()
        self._also, self._keep = also, keep
        self._latest: dict[str, R] = {}

    def apply(self, record: R) -> None:
        """Takes a newer record of its key."""
        if self._keep:
            self._latest[record.key.decode()] = record
        if self._also is not None:
            self._also(record)

    def __getitem__(self, key: str) -> R:
        return self._latest[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._latest))

    def __len__(self) -> int:
        return len(self._latest)


class Held(View[R], ABC):
    """What an agent knows of the partitions that it holds: its own outputs."""

    def __init__(self, kind: type[R]) -> None:
        super().__init__(kind)
        self._held: dict[int, dict[str, R]] = {}

    def assign(self, partition: int) -> None:
        """Forgets the partition, before it is restored."""
        self._held[partition] = {}

    def revoke(self, partition: int) -> None:
        """Another worker holds the partition now."""
        self._held.pop(partition, None)

    @abstractmethod
    def apply(self, partition: int, record: R) -> None:
        """Takes a newer record of the partition."""


class HeldByKey(Held[R]):
    """The latest record of each key, by partition; for a topic that this agent alone writes (`same_partition`).

    Args:
        kind: the record type.
        live: which records still need looking after; the others are only found by their key.
    """

    def __init__(self, kind: type[R], live: Callable[[R], bool] = lambda record: True) -> None:
        super().__init__(kind)
        self._live = live
        self._settled: dict[int, dict[str, R]] = {}

    def assign(self, partition: int) -> None:
        """Forgets the partition, before it is restored."""
        super().assign(partition)
        self._settled[partition] = {}

    def revoke(self, partition: int) -> None:
        """Another worker holds the partition now."""
        super().revoke(partition)
        self._settled.pop(partition, None)

    def apply(self, partition: int, record: R) -> None:
        """Takes a newer record of its key."""
        key = record.key.decode()
        now, before = (self._held, self._settled) if self._live(record) else (self._settled, self._held)
        now[partition][key] = record
        before[partition].pop(key, None)

    def partition(self, partition: int) -> Mapping[str, R]:
        """Key -> latest record, of the live ones of one partition held here."""
        return self._held[partition]

    def find(self, key: str) -> R | None:
        """The latest record of a key in whichever partition held here, live or not."""
        for table in (*self._held.values(), *self._settled.values()):
            if key in table:
                return table[key]
        return None


class LastHeld(Held[R]):
    """The last record of each partition; for a topic that this agent alone writes (`same_partition`)."""

    def apply(self, partition: int, record: R) -> None:
        """Takes the partition's newest record."""
        self._held[partition] = {"": record}

    def last(self, partition: int) -> R | None:
        """The last record of a partition held here, None where there is none yet."""
        return self._held[partition].get("")

    def records(self) -> list[R]:
        """The last record of every partition held here that has one."""
        return [record for table in list(self._held.values()) for record in list(table.values())]
