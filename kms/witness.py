"""A witness: it remembers how far it has seen each log grow, follows the proofs from there, and cosigns what continues it.

It believes no one's word on what was before: its memory is a file of its own. So a log that shows it one history and others a
second is found, by it or by whoever compares its cosignature with what he was shown.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kms.cosignature import WitnessKey, cosign
from kms.errors import Fork, MissingCheckpoint, RolledBack, TrustError, VerificationError, WrongConsistency
from kms.keys import Key
from kms.merkle import EMPTY_ROOT, verify_consistency
from kms.note import Note, read_note, verify_note
from kms.trust import TrustRoot
from kms.verification import agreeing_note
from schemas.manifests import LogCheckpoint
from schemas.record import now

FORMAT = 1


@dataclass(frozen=True, slots=True)
class WitnessMemory:
    """What a witness has seen; public throughout, and what it gives to verifiers.

    Attributes:
        vkey: the witness, as verifiers know it.
        notes: log -> the newest checkpoint that it cosigned, with its cosignature.
    """

    vkey: str
    notes: dict[str, str]

    @classmethod
    def load(cls, path: Path) -> "WitnessMemory":
        """Reads the file.

        Raises:
            TrustError: it is not there, or no memory of a witness.
            MalformedNote: a checkpoint in it cannot be read.
        """
        try:
            document = json.loads(path.read_text())
            found = cls(document["vkey"], dict(document["notes"]))
            if document["format"] != FORMAT:
                raise TrustError(f"{path} has the format {document['format']!r}, this version reads {FORMAT}")
        except OSError as error:
            raise TrustError(f"the memory {path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, TrustError):
                raise
            raise TrustError(f"{path} is no memory of a witness: {type(error).__name__}: {error}") from error
        for log_id in found.notes:
            found.note(log_id)
        return found

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all, and down to the disk."""
        draft = path.with_name(path.name + ".new")
        with draft.open("w") as file:
            json.dump({"format": FORMAT, "vkey": self.vkey, "notes": self.notes}, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def note(self, log_id: str) -> Note:
        """The newest cosigned checkpoint of a log."""
        found = read_note(self.notes[log_id])
        if found.checkpoint.origin != log_id:
            raise TrustError(f"the memory has a checkpoint of {found.checkpoint.origin} under the name of {log_id}")
        return found


@contextmanager
def alone(memory: Path) -> Iterator[None]:
    """While it lasts, no other process works with a memory: two that did would forget what the other saw."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    with memory.with_name(memory.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(slots=True)
class _Watched:
    """How far one log has been followed.

    Attributes:
        size: of the tree that was seen last.
        root: its root.
        note: its checkpoint; None while nothing newer than the memory was seen.
        reached: in this run the log was seen to have come to where the memory ends.
        broken: the log is not what it was; it is not cosigned any more.
    """

    size: int
    root: bytes
    note: str | None
    reached: bool
    broken: bool = False


class Witness:
    """Follows logs from where its memory ends.

    Args:
        memory: what it saw before.
        trust: whose signatures make a checkpoint.
        fail: takes what is found wrong: each by its class, once a log.
    """

    def __init__(self, memory: WitnessMemory, trust: TrustRoot, fail: Callable[[VerificationError], None]) -> None:
        self._memory, self._trust, self._fail = memory, trust, fail
        self._logs: dict[str, _Watched] = {}
        for log_id in memory.notes:
            seen = memory.note(log_id).checkpoint
            self._logs[log_id] = _Watched(seen.size, seen.root, None, reached=False)

    def checkpoint(self, head: LogCheckpoint) -> None:
        """Takes a log's next checkpoint; the topic is read from its beginning, or from where the last run of this object ended."""
        log = self._logs.setdefault(head.log_id, _Watched(0, EMPTY_ROOT, None, reached=True))
        if log.broken or (not log.reached and head.tree_size < log.size):
            return
        try:
            agreeing_note(head)
            self._follow(log, head)
        except VerificationError as error:
            self._broken(log, error)
            return
        log.size, log.root, log.note, log.reached = head.tree_size, head.root_hash, head.note, True

    def cosigned(self, witness: WitnessKey, key: Key, at: datetime | None = None) -> WitnessMemory:
        """The memory after what was read: every log that continues what was remembered, cosigned at its newest checkpoint.

        Raises:
            TokenError: the token refuses.
        """
        notes = dict(self._memory.notes)
        for log_id, log in sorted(self._logs.items()):
            if not log.reached and not log.broken:
                what = f"{log_id}: its checkpoints end before size {log.size}, which was seen before"
                self._broken(log, RolledBack(f"{what}: it was rolled back, cut off or replaced"))
            if log.broken or log.note is None:
                continue
            note = read_note(log.note)
            try:
                verify_note(note, self._trust)
            except VerificationError as error:
                self._broken(log, error)
                continue
            notes[log_id] = log.note + cosign(note, witness, key, at or now())
            log.note = None
        self._memory = WitnessMemory(witness.vkey, notes)
        return self._memory

    def _follow(self, log: _Watched, head: LogCheckpoint) -> None:
        what = f"{head.log_id}: the checkpoint of size {head.tree_size}"
        if head.tree_size < log.size:
            raise Fork(f"{what} stands behind one of size {log.size}: the log shrank")
        if head.tree_size == log.size:
            if head.root_hash != log.root:
                raise Fork(f"{what} has the root {head.root_hash.hex()}; {log.root.hex()} was seen: there are two histories")
            return
        if not log.reached:
            raise Fork(f"{what} comes where size {log.size}, which was seen before, should stand: history was rewritten")
        if head.previous_size != log.size:
            raise MissingCheckpoint(f"{what} continues size {head.previous_size}, and size {log.size} was seen last")
        try:
            verify_consistency(log.size, log.root, head.tree_size, head.root_hash, head.consistency_proof)
        except VerificationError as error:
            raise WrongConsistency(f"{what} does not continue that of size {log.size}: {error}") from error

    def _broken(self, log: _Watched, error: VerificationError) -> None:
        log.broken = True
        self._fail(error)
