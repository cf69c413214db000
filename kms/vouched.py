"""Who beside a log's own keys vouches for it: anchors that it carries, and witnesses that have cosigned it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kms.anchor import Anchor, anchor_of
from kms.anchor_replay import AnchorReplay
from kms.cosignature import WitnessKey
from kms.errors import Fork, NotAnchored, NotWitnessed, RolledBack, VerificationError
from kms.note import Note
from kms.trust import TrustRoot
from kms.verification import LogVerifier, Report
from kms.witness import WitnessMemory
from schemas.manifests import LogCheckpoint


@dataclass(frozen=True, slots=True)
class Demands:
    """What is demanded of logs beside their own signatures.

    Attributes:
        witnesses: those that are believed.
        memories: what witnesses have given: their cosigned checkpoints.
        quorum: how many of them must have cosigned each log.
        anchored_since: each log must have an anchor of then or later; None: none is demanded.
    """

    witnesses: tuple[WitnessKey, ...] = ()
    memories: tuple[WitnessMemory, ...] = ()
    quorum: int = 0
    anchored_since: datetime | None = None


NOTHING = Demands()


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A witness has seen the log grow to a size."""

    witness: str
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who vouches for a log.

    Attributes:
        anchor: the newest one.
        witnesses: the newest cosignature of each believed witness.
    """

    anchor: Anchor | None = None
    witnesses: tuple[Cosigned, ...] = ()


@dataclass(frozen=True, slots=True)
class VouchedReport(Report):
    """A report with who vouches for each log."""

    vouched: Mapping[str, Vouched] = field(default_factory=dict)


class VouchedVerifier(LogVerifier):
    """A `LogVerifier` that looks for anchors, and holds cosigned checkpoints against the logs.

    Args:
        trust: as there.
        demands: what must vouch for each log.
        options: as there.
    """

    def __init__(self, trust: TrustRoot, demands: Demands = NOTHING, **options: Any) -> None:
        super().__init__(trust, **options)
        self._demands = demands
        self._anchors: dict[str, AnchorReplay] = {}
        self._cosigned = [
            (witness, memory.note(log_id))
            for memory in demands.memories
            for witness in demands.witnesses
            if witness.vkey == memory.vkey
            for log_id in memory.notes
        ]
        self._wanted = {(note.checkpoint.origin, note.checkpoint.size) for _, note in self._cosigned}
        self._roots: dict[tuple[str, int], bytes] = {}

    def checkpoint(self, checkpoint: LogCheckpoint) -> None:
        """Takes a log's next checkpoint, as there; only the newest anchor of each log is kept.

        Raises:
            MissingAnchor, UnknownAnchor: an anchor was taken away, or is of a key that the trust root does not have.
        """
        super().checkpoint(checkpoint)
        place = checkpoint.log_id, checkpoint.tree_size
        if place in self._wanted:
            self._roots[place] = checkpoint.root_hash

    def _noted(self, note: Note) -> None:
        origin = note.checkpoint.origin
        if origin not in self._anchors:
            self._anchors[origin] = AnchorReplay(self._trust, self._whole, self._every_signature, self._fail)
        self._anchors[origin].checkpoint(note)

    def finish(self) -> VouchedReport:
        """As there; and who vouches for each log.

        Raises:
            Fork, RolledBack: a witness has seen another history, or more of it.
            NotWitnessed, NotAnchored: fewer vouch than are demanded.
        """
        vouched = {log_id: self._vouched(log_id) for log_id in sorted(self._logs)}
        for log_id in {note.checkpoint.origin for _, note in self._cosigned} - set(vouched):
            if self._whole:
                self._fail(RolledBack(f"{log_id}: a witness has seen this log, and it is not there"))
        report = super().finish()
        given = {name: getattr(report, name) for name in Report.__dataclass_fields__}
        return VouchedReport(**given, vouched=vouched)

    def _vouched(self, log_id: str) -> Vouched:
        seen = []
        for witness, note in self._cosigned:
            if note.checkpoint.origin == log_id:
                try:
                    seen += self._agrees(witness, note)
                except VerificationError as error:
                    self._fail(error)
        named = {one.witness for one in seen}
        if len(named) < self._demands.quorum:
            who = f": {', '.join(sorted(named))}" if named else ""
            self._fail(NotWitnessed(f"{log_id} is cosigned by {len(named)} of the {self._demands.quorum} witnesses demanded{who}"))
        found = Vouched(self._anchor(log_id), tuple(seen))
        since = self._demands.anchored_since
        if since is not None and (found.anchor is None or found.anchor.signed_at < since):
            last = "none" if found.anchor is None else f"one of {found.anchor.signed_at:%Y-%m-%d %H:%M}"
            self._fail(NotAnchored(f"{log_id} has {last} where an anchor since {since:%Y-%m-%d %H:%M} is demanded"))
        return found

    def _agrees(self, witness: WitnessKey, note: Note) -> list[Cosigned]:
        """The cosignature, where the log has at that size the root that the witness saw; none outside of a part of a log."""
        said, at = note.checkpoint, witness.verify(note)
        if at is None:
            raise NotWitnessed(f"{said.origin}: the checkpoint of size {said.size} does not carry {witness.name}'s cosignature")
        root, newest = self._roots.get((said.origin, said.size)), self._logs[said.origin].newest
        if root == said.root:
            return [Cosigned(witness.name, said.size, at)]
        if root is not None:
            what = f"{said.origin}: at size {said.size} {witness.name} has cosigned the root {said.root.hex()}"
            raise Fork(f"{what}; here it is {root.hex()}: there are two histories")
        if newest is not None and newest.tree_size < said.size:
            raise RolledBack(f"{said.origin} ends at size {newest.tree_size}; {witness.name} has seen it at {said.size} at {at}")
        if self._whole:
            raise Fork(f"{said.origin} has no checkpoint of size {said.size}, which {witness.name} has cosigned: it was rewritten")
        return []

    def _anchor(self, log_id: str) -> Anchor | None:
        found = self._anchors.get(log_id)
        try:
            return None if found is None or found.newest is None else anchor_of(found.newest, self._trust)
        except VerificationError as error:
            if not self._every_signature:  # otherwise it has been said
                self._fail(error)
            return None


def read_witnesses(lines: Sequence[str]) -> tuple[WitnessKey, ...]:
    """Witnesses by their verifier keys, one a line; blank lines and those that begin with # are left out.

    Raises:
        MalformedNote: a line is no verifier key.
    """
    return tuple(WitnessKey.read(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
