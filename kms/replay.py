"""Replays one log: recomputes its tree from its leaves, and checks every proof and every checkpoint against that.

Leaves and checkpoints may come interleaved in any way, each in their own order. A batch (the leaves that share a `tree_size`) is
checked as a whole when its last leaf is there: the frontier before it gives the root, every inclusion proof and the consistency
proof that must stand there, two hashes a leaf. Where that frontier is not known (a range that starts in mid-log, or what follows
a broken link), each leaf's own proof is followed instead, and the next good checkpoint's frontier takes up the replay.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kms.errors import (
    DuplicateCheckpoint,
    DuplicateIndex,
    Fork,
    IndexGap,
    MissingCheckpoint,
    Truncated,
    VerificationError,
    WrongConsistency,
    WrongInclusion,
    WrongRoot,
)
from kms.merkle import EMPTY_ROOT, Frontier, verify_consistency, verify_inclusion
from schemas.manifests import LogCheckpoint

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Leaves up to a checkpoint's size. Without `root` it was not recomputed, and its leaves are kept to be followed one by one."""

    first: int
    size: int
    root: bytes | None
    consistency: bytes
    leaves: Sequence[bytes]
    proofs: Sequence[bytes]


class LogReplay:
    """One log's replay; checkpoints come with a frontier that has been found to be of their root.

    Args:
        log_id: the log.
        whole: the log is given from its first leaf to its last checkpoint; otherwise a contiguous part of it.
        fail: takes what is found wrong; it may raise.
    """

    def __init__(self, log_id: str, whole: bool, fail: Callable[[VerificationError], None]) -> None:
        self.log_id, self._whole, self._fail = log_id, whole, fail
        self.next_index: int | None = 0 if whole else None
        self.newest: LogCheckpoint | None = None
        self._frontier: Frontier | None = Frontier() if whole else None
        self._leaves: list[bytes] = []
        self._proofs: list[bytes] = []
        self._size = 0
        self._batches: deque[_Batch] = deque()
        self._heads: deque[LogCheckpoint] = deque()
        self._reached: tuple[int, bytes] | None = (0, EMPTY_ROOT) if whole else None
        self._at: LogCheckpoint | None = None

    def leaf(self, index: int, tree_size: int, leaf: bytes, proof: bytes) -> None:
        """Takes the log's next leaf."""
        if index != self.next_index and not self._skips(index):
            return
        if tree_size != self._size:
            if self._leaves:
                self._fail(
                    Truncated(f"{self.log_id}: leaves {index}..{self._size - 1} of the batch up to {self._size} are missing")
                )
                self._lose()
            self._size = tree_size
        self.next_index = index + 1
        if tree_size <= index:
            self._fail(WrongInclusion(f"{self.log_id}: leaf {index} says that it stands in a tree of {tree_size} leaves"))
            self._lose()
            return
        self._leaves.append(leaf)
        self._proofs.append(proof)
        if index + 1 == tree_size:
            self._close()

    def checkpoint(self, head: LogCheckpoint) -> None:
        """Takes the log's next checkpoint."""
        last, self.newest = self.newest, head
        if last is None:
            if self._whole and head.previous_size:
                self._fail(MissingCheckpoint(f"{self.log_id}: its first checkpoint continues one of size {head.previous_size}"))
        elif head.tree_size < last.tree_size:
            self._fail(Fork(f"{self.log_id}: a checkpoint of size {head.tree_size} stands behind one of size {last.tree_size}"))
            self.newest = last
            return
        elif head.tree_size == last.tree_size and head.root_hash != last.root_hash:
            roots = f"{last.root_hash.hex()} and {head.root_hash.hex()}"
            self._fail(Fork(f"{self.log_id}: two checkpoints of size {head.tree_size} with the roots {roots}"))
        elif head.tree_size == last.tree_size and (head.previous_size != last.tree_size or head.signed_at <= last.signed_at):
            self._fail(DuplicateCheckpoint(f"{self.log_id}: the checkpoint of size {head.tree_size} stands twice"))
        elif head.previous_size != last.tree_size:
            what = f"the checkpoint of size {head.tree_size} continues one of size {head.previous_size}"
            self._fail(MissingCheckpoint(f"{self.log_id}: {what}, which is not there; before it stands size {last.tree_size}"))
        self._heads.append(head)
        self._match()

    def finish(self) -> None:
        """Says what is missing at the end."""
        if self._leaves and not self._whole:
            self._close()
        if self._leaves:
            self._fail(Truncated(f"{self.log_id} ends in mid-batch: leaves {self.next_index}..{self._size - 1} are missing"))
        for batch in self._batches:
            self._fail(
                MissingCheckpoint(f"{self.log_id}: no checkpoint of size {batch.size} for leaves {batch.first}..{batch.size - 1}")
            )
        if self._whole and self.newest is None:
            self._fail(MissingCheckpoint(f"{self.log_id} has no checkpoint at all"))
        if self._whole and self._heads and not self._leaves:
            told = self._heads[-1].tree_size
            self._fail(Truncated(f"{self.log_id} ends after {self.next_index} leaves, its last checkpoint says {told}"))
        if not self._whole:
            for head in self._heads:
                self._reach(head, None)

    def _skips(self, index: int) -> bool:
        """Whether the leaf is to be taken although it is not the next one."""
        if self.next_index is None:
            return True
        if index < self.next_index:
            self._fail(DuplicateIndex(f"{self.log_id}: leaf {index} stands again, or too late, where {self.next_index} is due"))
            return False
        self._fail(IndexGap(f"{self.log_id}: leaves {self.next_index}..{index - 1} are missing"))
        self._lose()
        return True

    def _lose(self) -> None:
        """What follows a broken link is checked leaf by leaf."""
        if self._leaves:
            self._batches.append(self._unproved())
        self._frontier, self._leaves, self._proofs = None, [], []

    def _unproved(self) -> _Batch:
        first = (self.next_index or 0) - len(self._leaves)
        return _Batch(first, self._size, None, b"", self._leaves, self._proofs)

    def _close(self) -> None:
        batch = self._unproved()
        if self._frontier is not None:
            grown = self._frontier.append(self._leaves)
            if all(map(bytes.__eq__, grown.inclusion, self._proofs)):
                batch = _Batch(batch.first, batch.size, grown.root, grown.consistency, (), ())
                self._frontier = grown.frontier
            else:
                self._frontier = None
        self._leaves, self._proofs = [], []
        self._batches.append(batch)
        self._match()

    def _match(self) -> None:
        """Brings batches and checkpoints together as far as both are there."""
        while self._heads or self._batches:
            head, batch = _first(self._heads), _first(self._batches)
            if batch is not None and self._at is not None and batch.size == self._at.tree_size:  # the rest of a torn batch
                self._include(self._at, self._batches.popleft())
            elif head is not None and head.tree_size <= self._reached_size():
                self._reach(self._heads.popleft(), None)
            elif head is None or batch is None:
                return
            elif head.tree_size == batch.size:
                self._reach(self._heads.popleft(), self._batches.popleft())
            elif head.tree_size < batch.size:
                if head.tree_size > batch.first:
                    self._fail(WrongRoot(f"{self.log_id}: the checkpoint of size {head.tree_size} ends no batch of leaves"))
                self._reach(self._heads.popleft(), None)
            else:
                self._without_checkpoint(self._batches.popleft())

    def _reached_size(self) -> int:
        return -1 if self._reached is None else self._reached[0]

    def _without_checkpoint(self, batch: _Batch) -> None:
        what = f"no checkpoint of size {batch.size} for leaves {batch.first}..{batch.size - 1}"
        self._fail(MissingCheckpoint(f"{self.log_id}: {what}"))

    def _reach(self, head: LogCheckpoint, batch: _Batch | None) -> None:
        """Checks a checkpoint against the one before it and against the leaves of its batch."""
        if batch is not None:
            self._include(head, batch)
        if self._reached is not None:
            self._continue(head, batch, *self._reached)
        self._reached, self._at = (head.tree_size, head.root_hash), head
        if self._frontier is None and self.next_index == head.tree_size and not self._leaves and not self._batches:
            self._frontier = Frontier.of(head.tree_size, head.frontier)

    def _include(self, head: LogCheckpoint, batch: _Batch) -> None:
        if batch.root is None:
            for index, (leaf, proof) in enumerate(zip(batch.leaves, batch.proofs, strict=True), batch.first):
                try:
                    verify_inclusion(leaf, index, head.tree_size, proof, head.root_hash)
                except VerificationError as error:
                    self._fail(type(error)(f"{self.log_id}, leaf {index}: {error}"))
        elif batch.root != head.root_hash:
            what = f"leaves {batch.first}..{batch.size - 1} lead to the root {batch.root.hex()} at size {batch.size}"
            self._fail(WrongRoot(f"{self.log_id}: {what}, the checkpoint says {head.root_hash.hex()}"))

    def _continue(self, head: LogCheckpoint, batch: _Batch | None, size: int, root: bytes) -> None:
        if head.previous_size != size:
            return  # the checkpoint that it continues is missing, which has been said
        known = (
            batch is not None
            and batch.first == size
            and batch.root == head.root_hash
            and batch.consistency == head.consistency_proof
        )
        if not known:
            try:
                verify_consistency(size, root, head.tree_size, head.root_hash, head.consistency_proof)
            except VerificationError as error:
                what = f"the checkpoint of size {head.tree_size} does not continue that of size {size}"
                self._fail(WrongConsistency(f"{self.log_id}: {what}: {error}"))


def _first(queue: deque[T]) -> T | None:
    return queue[0] if queue else None
