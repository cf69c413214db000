"""Signs manifests in batches: they become leaves of their partition's log, and one checkpoint covers them all.

A checkpoint is signed by every suite that the policy epoch of its log requires. Where another epoch has come into force, the batch
ends with a leaf that says so, and its checkpoint is signed under both epochs.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime

from kms.epoch_leaf import epoch_manifest
from kms.epochs import Epoch, Policy
from kms.errors import KeyMissing, LogError, PolicyExpired, UnboundManifest
from kms.keys import Key
from kms.manifest import binds, manifest_leaf
from kms.merkle import Appended, Frontier
from kms.note import Anchored, Checkpoint, read_note, sign_note, signed_by
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Record, now

HEARTBEAT_SECONDS = 600.0  # a checkpoint has 5 KB and is kept for ever: 0.8 MB a day and partition


@dataclass(frozen=True, slots=True)
class _Crossing:
    """The epoch to sign under; `before` is the one that the log stood under until now, where that is another.

    `anchored` is the log's last checkpoint that carries an anchor.
    """

    epoch: Epoch
    before: Epoch | None
    anchored: Anchored | None

    def suites(self, broken: Container[str]) -> tuple[str, ...]:
        """What must sign: the suites of both, but those that are broken."""
        old = () if self.before is None else tuple(suite for suite in self.before.required if suite not in broken)
        return tuple(dict.fromkeys((*old, *self.epoch.required)))


class LogSigner:
    """The writer of logs, one per partition. It keeps nothing: where a log stands, its own last checkpoint says.

    Args:
        keys: gives the keys to sign with, at least one per suite that is required. Asked at every batch, so that a log's writer can
            be declared before its token is open.
        origin: what the logs' names begin with; partition 3's log is `<origin>/3`.
        previous: the last checkpoint of a partition's log, None where there is none yet.
        heartbeat_seconds: how old the last checkpoint may grow before `heartbeat` says that the log still ends there.
        clock: the current time, UTC.
        policy: gives the epochs; asked at every batch.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[Key]],
        origin: str,
        previous: Callable[[int], LogCheckpoint | None],
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        clock: Callable[[], datetime] = now,
        policy: Callable[[], Policy] = Policy,
    ) -> None:
        self._keys, self._policy, self._origin, self._previous = keys, policy, origin, previous
        self._heartbeat_seconds, self._clock = heartbeat_seconds, clock

    def sign(self, partition: int, requests: Sequence[ManifestRequested]) -> list[Record]:
        """The manifests with their places and proofs, in the order of `requests`, and the checkpoint over them. Milliseconds.

        Raises:
            UnboundManifest: a payload is not about the event that its record names.
            LogError: the log's last checkpoint cannot be continued.
            PolicyExpired: the policy in force has expired.
            TokenError: the token refuses to sign.
        """
        if not requests:
            return []
        for request in requests:
            if not binds(request):
                raise UnboundManifest(
                    f"the payload of the manifest of {request.subject} does not end with the subject {request.event_topic} "
                    f"{request.event_id}; build manifests with kms.manifest"
                )
        return self._grow(partition, requests)

    def heartbeat(self, partition: int) -> list[Record]:
        """Another checkpoint that says that the log still ends there: when the last is old, signed by other keys, or under an older
        epoch; else nothing.

        So what a revoked key has signed soon stands under a checkpoint of the key that followed it.
        """
        last = self._previous(partition)
        return [] if last is not None and self._stands(last) else self.end(partition)

    def end(self, partition: int, anchor: str = "") -> list[Record]:
        """Another checkpoint that says that the log ends there, in any case; and that it carries an anchor of that algorithm, where
        one is named: whoever asks for it adds it.
        """
        return self._grow(partition, (), anchor)

    def _grow(self, partition: int, requests: Sequence[ManifestRequested], anchor: str = "") -> list[Record]:
        log_id, tree = self._log(partition)
        crossing = self._crossing(partition)
        if crossing.before is not None:
            requests = [*requests, epoch_manifest(log_id, crossing.epoch)]
        grown = tree.append([manifest_leaf(request.payload_type, request.payload) for request in requests])
        signed: list[Record] = [
            ManifestSigned.unchecked(
                {
                    **request.__dict__,
                    "log_id": log_id,
                    "index": index,
                    "tree_size": grown.frontier.size,
                    "inclusion_proof": proof,
                }
            )
            for index, (request, proof) in enumerate(zip(requests, grown.inclusion, strict=True), tree.size)
        ]
        return [*signed, self._checkpoint(log_id, tree.size, grown, crossing, anchor=anchor)]

    def _stands(self, last: LogCheckpoint) -> bool:
        if (self._clock() - last.signed_at).total_seconds() >= self._heartbeat_seconds:
            return False
        note, epoch, keys = read_note(last.note), self._in_force(), self._by_suite()
        held = [keys[suite] for suite in epoch.required if suite in keys]
        return max(note.checkpoint.epoch, 1) >= epoch.number and all(signed_by(note, key.public) for key in held)

    def _in_force(self) -> Epoch:
        policy, at = self._policy(), self._clock()
        epoch = policy.at(at)
        if epoch.expires is not None and at >= epoch.expires:
            raise PolicyExpired(
                f"policy epoch {epoch.number} expired at {epoch.expires}: nothing is signed until another takes over; renew it "
                "(`quantumai crypto policy apply`)"
            )
        return epoch

    def _crossing(self, partition: int) -> _Crossing:
        """The epoch to sign under, and the one that the log stands under where that is another."""
        epoch, last = self._in_force(), self._previous(partition)
        said = None if last is None else read_note(last.note).checkpoint
        number = epoch.number if said is None else max(said.epoch, 1)
        if number > epoch.number:
            raise LogError(
                f"the log stands under policy epoch {number}, the key ring knows {epoch.number} only: it is an old copy, restore "
                "the current one"
            )
        before = None if number == epoch.number else self._policy().epoch(number)
        return _Crossing(epoch, before, said.last_anchored if said else None)

    def _by_suite(self) -> dict[str, Key]:
        return {key.public.algorithm: key for key in self._keys()}

    def _log(self, partition: int) -> tuple[str, Frontier]:
        log_id, last = f"{self._origin}/{partition}", self._previous(partition)
        if last is None:
            return log_id, Frontier()
        if last.log_id != log_id:
            raise LogError(
                f"partition {partition} ends with a checkpoint of {last.log_id}, not of {log_id}: do not change the origin"
            )
        tree = Frontier.of(last.tree_size, last.frontier)
        if tree.root() != last.root_hash:
            raise LogError(f"the last checkpoint of {log_id} has a frontier that is not of its root; the log cannot be continued")
        return log_id, tree

    def _checkpoint(self, log_id: str, old_size: int, grown: Appended, crossing: _Crossing, *, anchor: str) -> LogCheckpoint:
        size, keys = grown.frontier.size, self._by_suite()
        suites = crossing.suites(self._policy().broken)
        if missing := [suite for suite in suites if suite not in keys]:
            what = f"policy epoch {crossing.epoch.number} requires {', '.join(missing)}"
            raise KeyMissing(f"{what}, and there is no such key at hand: make one (`quantumai kms create`)")
        checkpoint = Checkpoint(log_id, size, grown.root, suites, self._clock(), crossing.epoch.number, anchor, crossing.anchored)
        return LogCheckpoint(
            log_id=log_id,
            tree_size=size,
            root_hash=grown.root,
            note=sign_note(checkpoint, [keys[suite] for suite in suites]),
            previous_size=old_size,
            consistency_proof=grown.consistency,
            frontier=grown.frontier.joined(),
            heartbeat=size == old_size,
            signed_at=checkpoint.signed_at,
        )
