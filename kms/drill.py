"""A drill: an algorithm is taken as broken. What can be forged by it alone, what still stands, and what has to be done.

Forgeries are made with the real key of that algorithm, as somebody would who has it, and judged by the real verifier. They live in
memory only: nothing forged is written or printed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from kms.algorithms import LOG_SUITES, SIGNATURES
from kms.epoch_memory import Memory
from kms.epoch_ring import read_policy
from kms.epochs import Epoch
from kms.errors import NotReady, VerificationError
from kms.keyring import KeyRing
from kms.keys import LOG_USE, Key
from kms.migration import announce
from kms.note import Checkpoint, Note, key_id, read_note, sign_note, verify_note
from kms.trust import TrustRoot
from schemas.manifests import LogCheckpoint
from schemas.record import now

FORGED_ROOT = bytes(32)
"""The root of a tree that nobody can have: what a forged checkpoint says."""

FALLBACKS = (*LOG_SUITES, "SLH-DSA-SHA2-128f")
"""What takes the place of a broken algorithm, in this order; the last stands on hash functions alone (FIPS 205)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to pass off a forged checkpoint.

    Attributes:
        how: what was forged, in a word.
        says: what it is.
        refused: the name of the error; empty where it was ACCEPTED.
        why: what the verifier said.
    """

    how: str
    says: str
    refused: str
    why: str


@dataclass(frozen=True, slots=True)
class Forgery:
    """A forged checkpoint, and what it is."""

    how: str
    says: str
    note: Note


@dataclass(frozen=True, slots=True)
class Stands:
    """What a log stands on without the broken algorithm.

    Attributes:
        log_id: the log.
        leaves: that its newest checkpoint covers.
        by: the unbroken suites that signed it; empty: it has to be signed anew.
    """

    log_id: str
    leaves: int
    by: tuple[str, ...]


def forgeries(ring: KeyRing, broken: str, head: LogCheckpoint) -> list[Forgery]:
    """What somebody with the key of the broken algorithm can make of a log's newest checkpoint; none where no such key signed logs.

    Raises:
        KeyRingError, TokenError: the token is not there, or refuses.
    """
    keys = _keys(ring, broken)
    if not keys:
        return []
    said, epochs = read_note(head.note), read_policy(ring.store).epochs
    fake = replace(said.checkpoint, root=FORGED_ROOT, signed_at=now())
    made = [Forgery(how, says, make(fake, keys[-1], said)) for how, (says, make) in _FORGERIES.items()]
    for epoch, following in pairwise(epochs):
        if set(epoch.required) <= {broken}:
            made += _old_policy(fake, epoch, following.begins, keys[0])
    return made


def attempts(made: Sequence[Forgery], trust: TrustRoot, memory: Memory) -> list[Attempt]:
    """Each forgery before the verifier: of the current trust root, with what it remembers."""
    return [Attempt(forged.how, forged.says, *_judged(forged.note, trust, memory)) for forged in made]


def stands(heads: Sequence[LogCheckpoint], broken: str) -> list[Stands]:
    """What each log stands on without the algorithm."""
    found = []
    for head in heads:
        suites = read_note(head.note).checkpoint.suites
        found.append(Stands(head.log_id, head.tree_size, tuple(suite for suite in suites if suite != broken)))
    return found


def replacement(epoch: Epoch, broken: str, already: Sequence[str] = ()) -> tuple[str, ...]:
    """The suites to require when an algorithm of an epoch breaks: those left, and, so that post-quantum protection stays, another.

    Raises:
        NotReady: nothing is left to take.
    """
    if broken not in epoch.required:
        return epoch.required
    gone = {broken, *already}
    left = [suite for suite in epoch.required if suite not in gone]
    if all(SIGNATURES[suite].classical for suite in left):
        family = broken.rsplit("-", 1)[0]
        spare = [name for name in FALLBACKS if name not in gone and not SIGNATURES[name].classical and not name.startswith(family)]
        if not spare:
            raise NotReady(
                "every post-quantum suite to fall back to is broken: write a policy (`quantumai crypto policy apply FILE`)"
            )
        left.append(spare[0])
        if len(left) == 1 and not SIGNATURES[broken].classical:
            left = [*(name for name in LOG_SUITES if SIGNATURES[name].classical and name not in gone), *left]
    return tuple(left)


def respond(ring: KeyRing, broken: str) -> tuple[Epoch, list[str]]:
    """Calls the algorithm broken in another epoch, by which signers sign every log anew, and revokes its keys; may be repeated.

    The epoch comes first: a signer that lost its key before would make another one of the broken algorithm.

    Raises:
        NotReady, WeakerPolicy, KeyRingError, TokenError: it cannot be done.
    """
    policy = read_policy(ring.store)
    epoch = policy.newest
    if broken not in policy.broken:
        epoch = announce(ring, replacement(policy.newest, broken, policy.newest.broken), broken=[broken])
    live = [entry.public for entry in ring.entries() if entry.public.algorithm == broken]
    lost = [key for key in live if key.state not in ("revoked", "destroyed")]
    return epoch, [ring.change(key.kid, "revoke").label for key in lost]


def _keys(ring: KeyRing, broken: str) -> list[Key]:
    """Keys that signed logs and whose private half is still there, the oldest first."""
    entries = [entry for entry in ring.entries() if (entry.public.use, entry.public.algorithm) == (LOG_USE, broken)]
    return [ring.hold(entry) for entry in entries if entry.public.state not in ("destroyed", "pre-active")]


def _alone(fake: Checkpoint, key: Key, _: Note) -> Note:
    return read_note(sign_note(replace(fake, suites=(key.public.algorithm,)), [key]))


def _stripped(fake: Checkpoint, key: Key, _: Note) -> Note:
    return read_note(sign_note(fake, [key]))


def _grafted(fake: Checkpoint, key: Key, genuine: Note) -> Note:
    forged = read_note(sign_note(fake, [key]))
    own = key_id(fake.origin, key.public)
    others = tuple(line for line in genuine.lines if line.key_id != own)
    return replace(forged, lines=(*forged.lines, *others))


_FORGERIES: Mapping[str, tuple[str, Callable[[Checkpoint, Key, Note], Note]]] = {
    "alone": ("another root, which says that this suite alone must sign", _alone),
    "stripped": ("another root, signed by this suite alone", _stripped),
    "grafted": ("another root, with the other signatures copied from the genuine checkpoint", _grafted),
}


def _old_policy(fake: Checkpoint, epoch: Epoch, ended: datetime, key: Key) -> list[Forgery]:
    """Under an epoch that this suite alone satisfied: dated now, and dated back to where the epoch was in force."""
    old = replace(fake, suites=epoch.required, epoch=epoch.number)
    begins = key.public.life.activates or ended - timedelta(minutes=1)
    back = replace(old, signed_at=max(begins, ended - timedelta(seconds=1)))
    return [
        Forgery("old policy", f"another root under epoch {epoch.number}, dated now", read_note(sign_note(old, [key]))),
        Forgery("dated back", f"another root under epoch {epoch.number}, dated into its time", read_note(sign_note(back, [key]))),
    ]


def _judged(note: Note, trust: TrustRoot, memory: Memory) -> tuple[str, str]:
    try:
        memory.check(trust.policy)
        verify_note(note, trust)
        memory.check_log(note.checkpoint.origin, max(note.checkpoint.epoch, 1))
    except VerificationError as error:
        return type(error).__name__, str(error)
    return "", "every check of the verifier passed"
