"""Anchors: once a period a log's checkpoint carries a hash-based signature (SLH-DSA, FIPS 205) beside the two of every checkpoint.

ML-DSA rests on lattices, ECDSA on discrete logarithms. Should both fall, whoever breaks them can write checkpoints of his own, and
no signature of before tells them apart; but what an anchor covers still stands on SHA-2 alone. The anchor is one more signature
line of the C2SP note, by a key of the use `anchor`; verifiers without that key ignore it, as the specification demands.

The note's signed text says that it carries one, and every later note names the last note that does (`kms.anchor_replay`): an anchor
that was taken away is missed by every verifier that has the log from there on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from kms.algorithms import SIGNATURES
from kms.errors import MissingAnchor, OutOfForce, UnknownAnchor, WrongSignature
from kms.keyring import KeyRing
from kms.note import Note, key_id, read_note, sign_note, signed_by
from kms.signing import LogSigner
from kms.trust import TrustRoot
from schemas.manifests import LogCheckpoint
from schemas.record import Record, now

ANCHOR_USE = "anchor"
ANCHOR_ALGORITHM = "SLH-DSA-SHA2-128s"
PERIOD_SECONDS = 86_400.0
"""An anchor takes a token a quarter of a second, and 10 KB that are kept for ever."""

_LOOK_SECONDS = 2.0
_ASKED = "anchor asked"
_SET = "INSERT INTO ring (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A hash-based signature over a log.

    Attributes:
        size: leaves that it covers.
        signed_at: when.
        key: whose it is: use, algorithm and version.
    """

    size: int
    signed_at: datetime
    key: str


class AnchoredLogs:
    """A `LogSigner` whose heartbeat anchors each log once a period, or when it is asked to.

    It runs where heartbeats do: in a thread, before the transaction that publishes the checkpoint begins.

    Args:
        signer: the writer of the logs.
        ring: gives the key ring, opened with its token; it keeps the times, so that a restart anchors nothing anew.
        previous: the last checkpoint of a partition's log, None where there is none yet.
        seconds: the period; 0: only when asked.
    """

    def __init__(
        self,
        signer: LogSigner,
        ring: Callable[[], KeyRing],
        previous: Callable[[int], LogCheckpoint | None],
        seconds: float = PERIOD_SECONDS,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._signer, self._ring, self._previous, self._seconds, self._clock = signer, ring, previous, seconds, clock
        self._times: dict[str, int] = {}
        self._look_at = 0.0
        self._made: dict[str, int] = {}

    def heartbeat(self, partition: int) -> list[Record]:
        """What `LogSigner.heartbeat` says; where an anchor is due, a checkpoint that carries one."""
        last, at = self._previous(partition), self._clock().timestamp()
        if last is not None and last.log_id in self._made:  # the tick that made it was committed, or this one would not come
            self._note(f"anchored {last.log_id}", self._made.pop(last.log_id))
        if last is None or not last.tree_size or not self._due(last.log_id, at):
            return self._signer.heartbeat(partition)
        *leaves, head = self._signer.end(partition, ANCHOR_ALGORITHM)
        assert isinstance(head, LogCheckpoint)  # noqa: S101 - a log's records end with one
        [key] = self._ring().ensure(ANCHOR_USE, (ANCHOR_ALGORITHM,))
        checkpoint = read_note(head.note).checkpoint
        line = sign_note(checkpoint, [key]).rpartition("\n\n")[2]
        self._made[head.log_id] = int(at)
        return [*leaves, head.model_copy(update={"note": head.note + line})]

    def _due(self, log_id: str, at: float) -> bool:
        if at - self._look_at >= _LOOK_SECONDS:
            self._times, self._look_at = anchor_times(self._ring()), at
        since = self._times.get(f"anchored {log_id}")
        if since is None:  # the period begins with the log: many short-lived ones need no anchor
            self._note(f"anchored {log_id}", int(at) - 1)
            since = int(at) - 1
        return since < self._times.get(_ASKED, 0) or bool(self._seconds and at - since >= self._seconds)

    def _note(self, name: str, value: int) -> None:
        self._times[name] = value
        with self._ring().store.transaction(write=True) as execute:
            execute(_SET, name, value)


def ask_for_anchor(ring: KeyRing) -> None:
    """Has each log anchored by its writer, within some seconds."""
    with ring.store.transaction(write=True) as execute:
        execute(_SET, _ASKED, int(now().timestamp()))


def anchor_times(ring: KeyRing) -> dict[str, int]:
    """When logs were last anchored and when somebody last asked for it, in seconds since 1970."""
    with ring.store.transaction() as execute:
        rows = execute("SELECT name, value FROM ring WHERE name LIKE 'anchor%'")
    return {str(row["name"]): int(row["value"]) for row in rows}


def check_carried(note: Note, trust: TrustRoot) -> None:
    """Does nothing where a note carries the anchor that it says it carries, by any anchor key that the trust root has ever had; the
    signature itself is not looked at. A trust root without such keys cannot tell.

    Raises:
        MissingAnchor: it does not.
        UnknownAnchor: what stands there is by a key that the trust root does not have.
    """
    said, known = note.checkpoint, [key for key in trust.keys if key.use == ANCHOR_USE]
    if not said.anchor or not known or any(signed_by(note, key) for key in known):
        return
    what = f"the checkpoint of {said.origin} at size {said.size} says that it is anchored by {said.anchor}"
    if _foreign(note):
        raise UnknownAnchor(
            f"{what}; the signature there is by a key that the trust root does not have: the key was rotated since (take the new "
            "trust root), or somebody put a signature of his own in its place"
        )
    raise MissingAnchor(f"{what}, and carries no such signature: it was taken away")


def _foreign(note: Note) -> bool:
    """Whether a line below the note has the log's name and the length of such an anchor."""
    said = note.checkpoint
    row = SIGNATURES.get(said.anchor)
    return row is not None and any(line.name == said.origin and len(line.signature) == row.signature_bytes for line in note.lines)


def anchor_of(note: Note, trust: TrustRoot, *, covered: bool = False) -> Anchor | None:
    """The anchor that a note carries; None where it carries none of a trusted key.

    Args:
        note: the note.
        trust: whose anchors count.
        covered: as in `kms.note.verify_note`.

    Raises:
        WrongSignature: it does not verify.
        OutOfForce: its key was not in force then.
    """
    checkpoint = note.checkpoint
    keys = trust.verified(ANCHOR_USE) if covered else trust.verifying(ANCHOR_USE)
    for key in (key for key in keys if key.algorithm not in trust.policy.broken):
        named = key_id(checkpoint.origin, key)
        for line in note.lines:
            if (line.name, line.key_id) == (checkpoint.origin, named):
                try:
                    key.verify(line.signature, note.text.encode())
                    key.check_place(checkpoint.origin, checkpoint.size, checkpoint.signed_at)
                except (WrongSignature, OutOfForce) as error:
                    where = f"the anchor of {checkpoint.origin} at size {checkpoint.size}"
                    raise type(error)(f"{where}: {error}") from error
                return Anchor(checkpoint.size, checkpoint.signed_at, key.label)
    return None
