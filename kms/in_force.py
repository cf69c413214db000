"""The keys and the policy to sign with now: asked at every batch, and a new version, a schedule, a revocation or a new policy epoch
takes effect without a restart.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from kms.epoch_ring import read_policy
from kms.epochs import FIRST, Policy, first
from kms.errors import KeyRingError
from kms.keyring import KeyRing
from kms.keys import LOG_USE, SLACK, Key, LogRange, PublicKey, TokenKey
from kms.note import read_note
from kms.trust import TrustRoot
from schemas.manifests import LogCheckpoint
from schemas.record import now

LOOK_SECONDS = 1.0
NOTE_SECONDS = 10.0
BLIND_SECONDS = 300.0
"""How long signing goes on while the key ring does not answer: then a revocation may have been missed for too long."""

_LOG = logging.getLogger(__name__)


class KeysInForce:
    """The active keys of a use, one per algorithm that is asked for; a callable for `kms.signing.LogSigner`, from any thread.

    It looks at the ring's revision once a second. When it has changed, or when the time of a scheduled version has come, keys are
    read anew (and made, where the last one of an algorithm was revoked). It notes in the ring which part of which log a key has
    signed: the beginning when it takes up a key; the end when nobody can sign with it any more.

    Args:
        ring: opened with its token.
        use: what the keys are for.
        algorithms: one key of each, in this order, but for logs whose key ring holds a policy.
        heads: the last checkpoints of the logs that are written here.
        publish: takes the trust root whenever it has changed.
        used: takes how often which key has signed, each ten seconds in which one has.
    """

    def __init__(
        self,
        ring: KeyRing,
        use: str,
        algorithms: Sequence[str],
        heads: Callable[[], Sequence[LogCheckpoint]] = tuple,
        publish: Callable[[TrustRoot], None] = lambda _: None,
        *,
        used: Callable[[Sequence[tuple[PublicKey, int]]], None] = lambda _: None,
    ) -> None:
        self._ring, self._use, self._algorithms, self._heads, self._publish = ring, use, tuple(algorithms), heads, publish
        self._used = used
        self._lock, self._noting, self._counting = threading.Lock(), threading.Lock(), threading.Lock()
        self._keys: list[Key] = []
        self._retired: list[PublicKey] = []
        self._tokens: dict[bytes, Key] = {}
        self._uses: Counter[bytes] = Counter()
        self._revision, self._policy = -1, first(algorithms)
        self._turns: datetime | None = None
        self._look_at = self._note_at = self._seen_at = 0.0

    def __call__(self) -> list[Key]:
        """The keys, in the order of the algorithms. A microsecond, but for once a second.

        Raises:
            KeyRingError: the ring cannot be read, and has not been for minutes.
            TokenError: a key must be made, and the token refuses.
        """
        if time.monotonic() >= self._look_at:
            with self._lock:
                if time.monotonic() >= self._look_at:
                    self._look_at = time.monotonic() + self._answered(self._look)
            if time.monotonic() >= self._note_at and self._noting.acquire(blocking=False):
                try:  # not under the lock: one thread writes to disks, the others go on signing
                    self._note_at = time.monotonic() + NOTE_SECONDS
                    self._answered(self._note)
                finally:
                    self._noting.release()
        return self._keys

    def policy(self) -> Policy:
        """The policy, as new as the keys.

        Raises:
            KeyRingError, TokenError: as the call.
        """
        self()
        return self._policy

    def sign(self, key: TokenKey, data: bytes) -> bytes:
        """Signs with the token, and counts."""
        with self._counting:
            self._uses[key.object_id] += 1
        return self._tokens[key.object_id].sign(data)

    def _answered(self, ask: Callable[[], None]) -> float:
        """Asks the ring for something; in how many seconds to look again."""
        try:
            ask()
        except KeyRingError as error:
            blind = time.monotonic() - self._seen_at
            if not self._keys or blind > BLIND_SECONDS:
                raise
            _LOG.warning("%s; signing goes on with the keys of %.0f s ago", error, blind)
            return NOTE_SECONDS
        return LOOK_SECONDS

    def _look(self) -> None:
        """Brings the keys up to date."""
        revision = self._ring.revision()
        if revision != self._revision or (self._turns is not None and now() >= self._turns):
            self._read()
            self._revision = revision

    def _read(self) -> None:
        at = now()  # before the keys are asked for: a version that begins meanwhile is a turn to come, not one that was missed
        policy, heads = self._epochs(), self._heads()
        keys = self._ring.ensure(self._use, _suites(policy, at, heads))
        before = {key.public.kid for key in self._keys}
        taken_up = [key.public.kid for key in keys if before and key.public.kid not in before]
        if taken_up and heads:
            self._ring.limit((kid, LogRange(head.log_id, head.tree_size)) for kid in taken_up for head in heads)
        mine = [entry.public for entry in self._ring.entries() if entry.public.use == self._use]
        times = [time for key in mine for time in (key.life.activates, key.life.ends)]
        times += [epoch.begins for epoch in policy.epochs]
        self._turns = min((time for time in times if time is not None and time > at), default=None)
        self._retired = [key for key in mine if key.verifies and key.life.activates and key.life.ends]
        try:
            self._publish(self._ring.public())
        except OSError as error:
            _LOG.warning("the trust root cannot be written (%s): verifiers do not learn of new keys from here", error)
        self._tokens |= {key.inside.object_id: key for key in keys}
        self._keys, self._policy = [Key(key.public, key.inside, self) for key in keys], policy

    def _epochs(self) -> Policy:
        found = read_policy(self._ring.store)
        return found if self._use == LOG_USE and found.epochs != (FIRST,) else first(self._algorithms)

    def _note(self) -> None:
        """Writes to the ring what has been counted, and where retired keys ended."""
        with self._counting:
            counted, self._uses = self._uses, Counter()
        if counted:
            used = [(self._tokens[object_id].public, times) for object_id, times in counted.items()]
            self._ring.count({key.kid: times for key, times in used})
            self._used(used)
        ended = [
            (key.kid, LogRange(head.log_id, 0, head.tree_size))
            for key in self._retired
            for head in self._heads()
            if _over(key, head)
        ]
        if ended:
            self._ring.limit(ended)
        self._seen_at = time.monotonic()


def _suites(policy: Policy, at: datetime, heads: Sequence[LogCheckpoint]) -> list[str]:
    """What logs must be signed by: under the epoch in force, the one that comes next, and those that logs still stand under."""
    number, last = policy.at(at).number, policy.newest.number
    numbers = {number, number + 1} | {max(read_note(head.note).checkpoint.epoch, 1) for head in heads}
    wanted = [suite for each in sorted(numbers) if each <= last for suite in policy.epoch(each).required]
    return [suite for suite in dict.fromkeys(wanted) if suite not in policy.broken]


def _over(key: PublicKey, head: LogCheckpoint) -> bool:
    """Whether a checkpoint is so late that no larger tree was signed by a retired key, and that is not noted yet."""
    known = any(part.log_id == head.log_id and part.last is not None for part in key.ranges)
    return not known and key.life.ends is not None and head.signed_at > key.life.ends + SLACK
