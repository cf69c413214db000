"""Moves a running system from classical to dual to post-quantum signatures, by policy epochs.

Dual is the phase in between: each checkpoint is signed by both (dual-write), verifiers demand both (dual-verify). Nothing is kept
but the target and the verifiers to wait for; where a migration stands follows from the policy, the logs, the keys and what
verifiers remember. So every step can be asked for again, and goes on where it was interrupted.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from kms.epoch_memory import Memory
from kms.epoch_ring import read_policy, write_policy
from kms.epochs import CLASSICAL, DUAL, PHASES, POST_QUANTUM, Epoch, Policy, first
from kms.errors import KmsError, NotReady, WeakerPolicy
from kms.keyring import NOTICE, KeyRing
from kms.keys import LOG_USE
from kms.note import read_note
from kms.store import Execute, Store
from schemas.manifests import LogCheckpoint
from schemas.record import now

TARGETS = (DUAL, POST_QUANTUM)
_ORDER = tuple(PHASES)
_TABLE = "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, document TEXT NOT NULL)"
_WRITE = """
INSERT INTO migrations (name, document) VALUES ('current', ?)
ON CONFLICT (name) DO UPDATE SET document = excluded.document
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """What was started.

    Attributes:
        target: the phase to reach.
        verifiers: files in which verifiers remember what they have seen; each must have seen an epoch before the next.
        started: when, UTC.
    """

    target: str
    verifiers: tuple[str, ...]
    started: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of the next step.

    Attributes:
        met: whether it is.
        says: what was looked at, and, where it is not met, what to do.
    """

    met: bool
    says: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a system stands.

    Attributes:
        epoch: in force.
        scheduled: announced, not begun; else None.
        following: the phase that `advance` leads to; None at the target.
        checks: what must hold before.
    """

    epoch: Epoch
    scheduled: Epoch | None
    following: str | None
    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether all checks are met."""
        return all(check.met for check in self.checks)


def start(ring: KeyRing, target: str, verifiers: Sequence[Path]) -> Migration:
    """Notes the target and makes the keys that the next phase needs; the same again changes nothing.

    Raises:
        NotReady: another migration is under way, or there is nothing to do.
        KeyRingError, TokenError: the keys cannot be made.
    """
    found, policy = current(ring.store), read_policy(ring.store)
    wanted = Migration(target, tuple(sorted(str(path.resolve()) for path in verifiers)), found.started if found else now())
    if found is not None and found != wanted and _next(policy.newest, found.target) is not None:
        raise NotReady(
            f"a migration to {found.target} is under way since {found.started:%Y-%m-%d %H:%M}: advance it, or "
            "roll it back, first (`quantumai crypto migrate`)"
        )
    following = _next(policy.newest, target)
    if following is None:
        raise NotReady(f"the policy in force is {policy.newest.phase} already: there is nothing to migrate to {target}")
    _make_keys(ring, PHASES[following])
    if found != wanted:
        document = {"target": target, "verifiers": wanted.verifiers, "started": wanted.started.isoformat()}
        with ring.store.transaction(write=True) as execute:
            execute(_TABLE)
            execute(_WRITE, json.dumps(document))
    return wanted


def current(store: Store) -> Migration | None:
    """The migration that was started last; None where none ever was."""
    with store.transaction() as execute:
        rows = execute("SELECT document FROM migrations") if _there(store, execute) else ()
    if not rows:
        return None
    document = json.loads(rows[0]["document"])
    return Migration(document["target"], tuple(document["verifiers"]), datetime.fromisoformat(document["started"]))


def standing(ring: KeyRing, target: str, verifiers: Collection[str], heads: Sequence[LogCheckpoint] | None) -> Standing:
    """Where a system stands, and what is missing for the next step.

    Args:
        ring: need not have its token.
        target: the phase to reach.
        verifiers: files in which verifiers remember.
        heads: the last checkpoint of each log; None where nobody can be asked.
    """
    policy, at = read_policy(ring.store), now()
    epoch = policy.at(at)
    scheduled = policy.newest if policy.newest.number > epoch.number else None
    following = _next(epoch, target)
    checks = [_begun(scheduled), *_keys(ring, following), _signed(epoch, heads), *(_seen(epoch, path) for path in verifiers)]
    return Standing(epoch, scheduled, following, tuple(checks))


def advance(ring: KeyRing, stands: Standing, expires: timedelta | None = None) -> Epoch:
    """Announces the epoch of the next phase; it begins in two seconds, when every signer has seen it.

    Raises:
        NotReady: a check is not met, or the target is reached.
        WeakerPolicy, KeyRingError: the epoch is refused.
    """
    if stands.following is None:
        raise NotReady(f"the policy in force is {stands.epoch.phase}: the target is reached, there is nothing to advance to")
    if not stands.ready:
        missing = "; ".join(check.says for check in stands.checks if not check.met)
        raise NotReady(f"not yet: {missing}")
    return announce(ring, PHASES[stands.following], expires=expires)


def rollback(ring: KeyRing, expires: timedelta | None = None) -> Epoch:
    """Takes the last step back, by another epoch: a scheduled one is withdrawn, post-quantum becomes dual again.

    What was signed stays verifiable: old epochs stay in the policy. From dual there is no way back to classical, because logs and
    verifiers hold dual already.

    Raises:
        WeakerPolicy: the step cannot be taken back.
        KeyRingError, TokenError: as `start`.
    """
    policy = read_policy(ring.store)
    epoch, newest = policy.at(now()), policy.newest
    if newest.number > epoch.number:
        return announce(ring, epoch.required, allowed=epoch.allowed, expires=expires)
    if epoch.phase != POST_QUANTUM:
        raise WeakerPolicy(
            f"epoch {epoch.number} is {epoch.phase}: a step back from it would give up protection against quantum computers, which "
            "logs and verifiers demand since, or there is no step before it; a policy never goes backwards"
        )
    classical = [name for name in PHASES[CLASSICAL] if name not in policy.broken]
    if not classical:
        raise WeakerPolicy(f"{', '.join(PHASES[CLASSICAL])} is broken: a dual policy with it would promise what it does not keep")
    return announce(ring, [*classical, *epoch.required], expires=expires)


def announce(
    ring: KeyRing,
    required: Sequence[str],
    *,
    allowed: Sequence[str] = (),
    broken: Sequence[str] = (),
    expires: timedelta | None = None,
    begins: datetime | None = None,
) -> Epoch:
    """Makes the keys that an epoch needs, and adds it to the policy; one that demands just what is in force is not added again.

    Args:
        ring: with its token.
        required: suites that must all sign.
        allowed: what may sign; empty: what fits.
        broken: what counts no more, beside what did not before.
        expires: after how long; None: never.
        begins: when; None: as soon as every signer has seen it.

    Raises:
        WeakerPolicy, MalformedPolicy, UnknownAlgorithm: it cannot follow the policy in force.
        KeyRingError, TokenError: the keys cannot be made.
    """
    policy, begins = read_policy(ring.store), begins or now() + NOTICE
    ends = None if expires is None else begins + expires
    grown = policy.following(required, begins, allowed=allowed, broken=broken, expires=ends)
    _make_keys(ring, required)
    if _same(policy.newest, grown.newest) and begins <= now() + NOTICE:
        return policy.newest
    write_policy(ring.store, grown)
    return grown.newest


def begin(ring: KeyRing, required: Sequence[str], heads: Sequence[LogCheckpoint] | None, expires: timedelta | None = None) -> Epoch:
    """The first policy of a system that has signed nothing yet: the one way to a classical one.

    Raises:
        NotReady: there is a policy, or a log, already.
    """
    at = now()
    used = any(entry.uses for entry in ring.entries() if entry.public.use == LOG_USE)
    if read_policy(ring.store) != Policy() or heads or used:
        raise NotReady("logs or epochs are there already: a first policy is for a system that has signed nothing yet")
    _make_keys(ring, required)
    made = first(required, expires=None if expires is None else at + expires)
    write_policy(ring.store, made)
    return made.newest


def retire(ring: KeyRing, stands: Standing) -> list[str]:
    """Disables the log keys that nothing asks for any more, once every check of the last phase is met; their names.

    Raises:
        NotReady: it is too early.
    """
    if stands.following is not None or not stands.ready:
        raise NotReady(
            "not yet: " + ("; ".join(check.says for check in stands.checks if not check.met) or "the target is not reached")
        )
    spare = [entry.public for entry in ring.entries() if entry.public.use == LOG_USE and entry.public.state == "active"]
    spare = [key for key in spare if key.algorithm not in stands.epoch.required]
    return [ring.change(key.kid, "disable").label for key in spare]


def standing_under(head: LogCheckpoint) -> int:
    """The epoch that a log's checkpoint stands under."""
    return max(read_note(head.note).checkpoint.epoch, 1)


def _make_keys(ring: KeyRing, suites: Sequence[str]) -> None:
    for key in ring.ensure(LOG_USE, suites):
        key.sign(b"can this token sign under the next policy epoch?")


def _same(one: Epoch, other: Epoch) -> bool:
    return (one.required, set(one.allowed), one.broken, one.expires) == (
        other.required,
        set(other.allowed),
        other.broken,
        other.expires,
    )


def _next(epoch: Epoch, target: str) -> str | None:
    here, there = _ORDER.index(epoch.phase), _ORDER.index(target)
    return _ORDER[here + 1] if here < there else None


def _begun(scheduled: Epoch | None) -> Check:
    if scheduled is None:
        return Check(True, "no epoch is waiting to begin")
    return Check(False, f"epoch {scheduled.number} begins at {scheduled.begins:%Y-%m-%d %H:%M:%S} only: wait, or roll it back")


def _keys(ring: KeyRing, following: str | None) -> list[Check]:
    if following is None:
        return []
    active = {entry.public.algorithm for entry in ring.entries() if (entry.public.use, entry.public.state) == (LOG_USE, "active")}
    return [
        Check(True, f"there is an active {suite} key for logs")
        if suite in active
        else Check(False, f"there is no active {suite} key for logs: `quantumai crypto migrate start` makes it")
        for suite in PHASES[following]
    ]


def _signed(epoch: Epoch, heads: Sequence[LogCheckpoint] | None) -> Check:
    if heads is None:
        return Check(False, "the logs cannot be read: is the broker running?")
    if not heads:
        return Check(False, "there is no log yet: start the signer")
    behind = [head.log_id for head in heads if standing_under(head) < epoch.number]
    if behind:
        return Check(False, f"{', '.join(behind)} not signed under epoch {epoch.number} yet: is the signer running?")
    return Check(True, f"all {len(heads)} logs are signed under epoch {epoch.number}")


def _seen(epoch: Epoch, path: str) -> Check:
    try:
        memory = Memory.load(Path(path))
    except (KmsError, OSError) as error:
        return Check(False, str(error))
    behind = sorted(log for log, number in memory.logs.items() if number < epoch.number)
    if memory.number < epoch.number or behind or not memory.logs:
        what = f"the verifier of {path} has not seen epoch {epoch.number}" + (
            " in every log" if memory.number >= epoch.number else ""
        )
        return Check(False, f"{what}: let it verify (`quantumai verify`) with the newest trust root")
    return Check(True, f"the verifier of {path} has seen epoch {epoch.number}")


def _there(store: Store, execute: Execute) -> bool:
    return bool(execute(store.columns, "migrations"))
