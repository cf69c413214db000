"""Signs manifests in batches: they become leaves of their partition's log, and one checkpoint, signed twice, covers them all."""

from collections.abc import Callable, Sequence
from datetime import datetime

from kms.errors import LogError, UnboundManifest
from kms.keys import Key
from kms.manifest import binds, manifest_leaf
from kms.merkle import Appended, Frontier
from kms.note import Checkpoint, read_note, sign_note, signed_by
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Record, now

HEARTBEAT_SECONDS = 600.0  # a checkpoint has 5 KB and is kept for ever: 0.8 MB a day and partition


class LogSigner:
    """The writer of logs, one per partition. It keeps nothing: where a log stands, its own last checkpoint says.

    Args:
        keys: gives the keys to sign with, one per suite; a checkpoint demands and carries the signatures of all. Asked at every
            batch, so that a log's writer can be declared before its token is open.
        origin: what the logs' names begin with; partition 3's log is `<origin>/3`.
        previous: the last checkpoint of a partition's log, None where there is none yet.
        heartbeat_seconds: how old the last checkpoint may grow before `heartbeat` says that the log still ends there.
        clock: the current time, UTC.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[Key]],
        origin: str,
        previous: Callable[[int], LogCheckpoint | None],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._keys, self._origin, self._previous = keys, origin, previous
        self._heartbeat_seconds, self._clock = heartbeat_seconds, clock

    def sign(self, partition: int, requests: Sequence[ManifestRequested]) -> list[Record]:
        """The manifests with their places and proofs, in the order of `requests`, and the checkpoint over them. Milliseconds.

        Raises:
            UnboundManifest: a payload is not about the event that its record names.
            LogError: the log's last checkpoint cannot be continued.
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
        log_id, tree = self._log(partition)
        grown = tree.append([manifest_leaf(request.payload_type, request.payload) for request in requests])
        signed = [
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
        return [*signed, self._checkpoint(log_id, tree.size, grown)]

    def heartbeat(self, partition: int) -> list[Record]:
        """Another checkpoint that says that the log still ends there, when the last is old or signed by other keys; else nothing.

        So what a revoked key has signed soon stands under a checkpoint of the key that followed it.
        """
        last = self._previous(partition)
        if last is not None and self._stands(last):
            return []
        log_id, tree = self._log(partition)
        return [self._checkpoint(log_id, tree.size, tree.append(()))]

    def _stands(self, last: LogCheckpoint) -> bool:
        young = (self._clock() - last.signed_at).total_seconds() < self._heartbeat_seconds
        return young and all(signed_by(read_note(last.note), key.public) for key in self._keys())

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

    def _checkpoint(self, log_id: str, old_size: int, grown: Appended) -> LogCheckpoint:
        size = grown.frontier.size
        keys = self._keys()
        suites = tuple(key.public.algorithm for key in keys)
        checkpoint = Checkpoint(log_id, size, grown.root, suites, self._clock())
        return LogCheckpoint(
            log_id=log_id,
            tree_size=size,
            root_hash=grown.root,
            note=sign_note(checkpoint, keys),
            previous_size=old_size,
            consistency_proof=grown.consistency,
            frontier=grown.frontier.joined(),
            heartbeat=size == old_size,
            signed_at=checkpoint.signed_at,
        )
