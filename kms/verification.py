"""Verifies logs of manifests offline, from their records alone: who signed, what stands where, and that nothing is missing.

Why checking the newest checkpoint's signatures is enough: its root commits to every leaf, and every older checkpoint's root
is recomputed from those same leaves (or linked by a consistency proof). An older root that agrees is a prefix of what was
signed, one that does not is found. `every_signature` checks the older signatures, too; that says in addition that each was
made, which tells when a leaf was already in the log.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from kms.completeness import Completeness
from kms.epoch_leaf import EPOCH_TOPIC, epoch_of
from kms.epoch_replay import EpochReplay
from kms.errors import LogError, MalformedNote, VerificationError, WrongBinding
from kms.manifest import binds, manifest_leaf
from kms.merkle import Frontier
from kms.note import Note, read_note, revoked, verify_note
from kms.replay import LogReplay
from kms.trust import TrustRoot
from schemas.manifests import LogCheckpoint, ManifestSigned


@dataclass(frozen=True, slots=True)
class LogReport:
    """Where a log ends, as far as it was given.

    Attributes:
        size: leaves that the newest checkpoint covers.
        root: its root hash, 32 bytes.
        signed_at: when the log's writer last said that it ends here: what happened later is not covered.
        epoch: the policy epoch that it stands under there.
    """

    size: int
    root: bytes
    signed_at: datetime
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What was verified.

    Attributes:
        manifests: leaves seen.
        checkpoints: checkpoints seen, heartbeats included.
        signatures: checkpoints whose signatures were all checked.
        matched: events that were found with their leaf.
        logs: each log's end.
        errors: every broken link, in the order found; empty when all is well.
    """

    manifests: int
    checkpoints: int
    signatures: int
    matched: int
    logs: Mapping[str, LogReport]
    errors: tuple[VerificationError, ...]


class LogVerifier:
    """Takes the records of `manifest.signed` and `log.checkpoint` and the events they are about, each topic's in their order.

    Args:
        trust: whose signatures count, and which suites are demanded.
        audited: topics whose events must all be given, by `event`: each is matched with its leaf, both ways.
        whole: logs are given from their first leaf; otherwise a contiguous part of each.
        every_signature: check the signatures of every checkpoint, not of each log's newest alone.
        collect: go on after a broken link and report all; otherwise the first is raised.
    """

    def __init__(
        self,
        trust: TrustRoot,
        *,
        audited: Collection[str] = (),
        whole: bool = True,
        every_signature: bool = False,
        collect: bool = False,
    ) -> None:
        self._trust, self._whole, self._every_signature, self._collect = trust, whole, every_signature, collect
        self._policy = trust.policy
        self._logs: dict[str, LogReplay] = {}
        self._epochs: dict[str, EpochReplay] = {}
        self._audited = frozenset(audited)
        self._completeness = Completeness(self._audited, self._fail)
        self._manifests = self._checkpoints = self._signatures = 0
        self.errors: list[VerificationError] = []

    def manifest(self, manifest: ManifestSigned) -> None:
        """Takes a log's next manifest.

        Raises:
            VerificationError: it breaks a link; the message names log, index and what is wrong.
        """
        self._manifests += 1
        if not binds(manifest):
            what = (
                f"leaf {manifest.index} of {manifest.log_id} says that it is about {manifest.event_topic} event {manifest.event_id}"
            )
            self._fail(WrongBinding(f"{what}; the payload is not about that event, digest and subject {manifest.subject}"))
        leaf = manifest_leaf(manifest.payload_type, manifest.payload)
        log = self._logs.get(manifest.log_id) or self._log(manifest.log_id)
        log.leaf(manifest.index, manifest.tree_size, leaf, manifest.inclusion_proof)
        topic = manifest.event_topic
        if topic == EPOCH_TOPIC:
            self._announced(manifest)
        if topic in self._audited:
            self._completeness.leaf(manifest)

    def checkpoint(self, checkpoint: LogCheckpoint) -> None:
        """Takes a log's next checkpoint.

        Raises:
            VerificationError: it breaks a link.
        """
        self._checkpoints += 1
        try:
            note = agreeing_note(checkpoint)
            self._epoch(checkpoint.log_id).checkpoint(note)
            if self._every_signature:
                self._verify(note, covered=True)
        except VerificationError as error:
            self._fail(error)
            return
        self._log(checkpoint.log_id).checkpoint(checkpoint)
        self._noted(note)

    def event(self, topic: str, event_id: str, digest: bytes, settled: bool = True) -> None:
        """Takes an event of an audited topic.

        Args:
            topic: its topic.
            event_id: its `ce_id`.
            digest: `schemas.cloudevents.digest` of it.
            settled: False for an event so young that its manifest may not be signed yet: it is matched, but not missed.

        Raises:
            WrongEvent: it differs from what its manifest was signed about, or stands twice.
        """
        self._completeness.event(topic, event_id, digest, settled)

    def finish(self) -> Report:
        """Checks what can be checked only at the end: the newest signatures, and that nothing is left over.

        Raises:
            VerificationError: a log is cut off or unsigned, an event has no leaf, or a leaf no event.
        """
        for log in self._logs.values():
            log.finish()
            if log.newest is not None:
                try:
                    self._verify(read_note(log.newest.note), again=self._every_signature)
                except VerificationError as error:
                    self._fail(error)
        for epochs in self._epochs.values():
            self._crossed(epochs)
        self._completeness.finish()
        return Report(
            self._manifests,
            self._checkpoints,
            self._signatures,
            self._completeness.matched,
            {name: self._log_report(log.newest) for name, log in sorted(self._logs.items()) if log.newest is not None},
            tuple(self.errors),
        )

    def _noted(self, note: Note) -> None:
        """Told of each checkpoint's note that agrees with its record; for what looks at more of it."""

    def _log(self, log_id: str) -> LogReplay:
        log = self._logs.get(log_id)
        if log is None:
            log = self._logs[log_id] = LogReplay(log_id, self._whole, self._fail)
        return log

    def _epoch(self, log_id: str) -> EpochReplay:
        epochs = self._epochs.get(log_id)
        if epochs is None:
            epochs = self._epochs[log_id] = EpochReplay(log_id, self._policy, self._fail)
        return epochs

    def _announced(self, manifest: ManifestSigned) -> None:
        try:
            self._epoch(manifest.log_id).leaf(manifest.index, epoch_of(manifest))
        except VerificationError as error:
            self._fail(error)

    def _crossed(self, epochs: EpochReplay) -> None:
        for note in epochs.crossings():
            try:
                if not self._every_signature and not revoked(note, self._trust):
                    self._verify(note)
            except VerificationError as error:
                self._fail(error)

    def _log_report(self, newest: LogCheckpoint) -> LogReport:
        return LogReport(newest.tree_size, newest.root_hash, newest.signed_at, self._epoch(newest.log_id).number)

    def _verify(self, note: Note, *, covered: bool = False, again: bool = False) -> None:
        verify_note(note, self._trust, covered=covered)
        self._signatures += not again

    def _fail(self, error: VerificationError) -> None:
        if not self._collect:
            raise error
        self.errors.append(error)


def agreeing_note(checkpoint: LogCheckpoint) -> Note:
    """The checkpoint's note, which alone is signed; the record's own fields must say the same."""
    note = read_note(checkpoint.note)
    said, what = note.checkpoint, f"the checkpoint of {checkpoint.log_id} at size {checkpoint.tree_size}"
    signed = (said.origin, said.size, said.root, said.signed_at)
    if signed != (checkpoint.log_id, checkpoint.tree_size, checkpoint.root_hash, checkpoint.signed_at):
        raise MalformedNote(f"{what} says something else than its signed note: {said.origin} at size {said.size}, {said.signed_at}")
    if checkpoint.heartbeat != (checkpoint.previous_size == checkpoint.tree_size):
        raise MalformedNote(f"{what} continues size {checkpoint.previous_size}; a heartbeat, and nothing else, adds no leaf")
    if not _hashes_to(checkpoint):
        raise MalformedNote(f"{what} has a frontier that is not of its root")
    return note


def _hashes_to(checkpoint: LogCheckpoint) -> bool:
    try:
        return Frontier.of(checkpoint.tree_size, checkpoint.frontier).root() == checkpoint.root_hash
    except LogError:
        return False
