"""Policies by epoch: which suites must sign, from when on, and which algorithms count at all. A policy never goes backwards.

An epoch is one version of the policy. Its number only grows; it names the digest of the epoch before it; what was found broken
stays broken; and protection against quantum computers, once demanded, is demanded by every later epoch. NIST CSWP 39 calls this
ability cryptographic agility.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import rfc8785

from kms.algorithms import LOG_SUITES, SIGNATURES, signature_algorithm
from kms.errors import KmsError, MalformedPolicy, UnknownEpoch, WeakerPolicy

GRACE = timedelta(seconds=360)
"""How late a signer may notice an epoch: it may go on for 300 s while the key ring is away, and clocks differ by a minute."""

ALWAYS = datetime.min.replace(tzinfo=UTC)
CLASSICAL, DUAL, POST_QUANTUM = "classical", "dual", "post-quantum"
_LISTS = ("required", "allowed", "broken")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One version of the policy.

    Attributes:
        number: from 1, without a gap.
        required: signature algorithms of which EACH must have signed.
        allowed: those that may stand on a checkpoint at all; `required` among them.
        begins: from when on it is in force, UTC.
        broken: those whose signatures count no more, of whatever epoch.
        expires: from when on nothing that is signed under it is accepted; None: never.
        previous: digest (SHA-256, hex) of the epoch before; empty for the first.
    """

    number: int
    required: tuple[str, ...]
    allowed: tuple[str, ...]
    begins: datetime
    broken: tuple[str, ...] = ()
    expires: datetime | None = None
    previous: str = ""

    def __post_init__(self) -> None:
        what = f"epoch {self.number} of the policy"
        for name in {*self.required, *self.allowed, *self.broken}:
            signature_algorithm(name)
        if self.number < 1 or not self.required:
            raise MalformedPolicy(f"{what} requires no suite, or has no number from 1 on: name an algorithm that must sign")
        if missing := [name for name in self.required if name not in self.allowed]:
            raise MalformedPolicy(f"{what} requires {', '.join(missing)} and does not allow it: add it to `allowed`")
        if broken := [name for name in self.allowed if name in self.broken]:
            raise MalformedPolicy(f"{what} allows {', '.join(broken)}, which it calls broken: take it out of `allowed`")
        times = [time for time in (self.begins, self.expires) if time is not None]
        if any(time.tzinfo is None for time in times) or times != sorted(set(times)):
            raise MalformedPolicy(f"{what} needs times with a time zone, and must expire after it begins")

    @property
    def phase(self) -> str:
        """`classical`, `dual` or `post-quantum`: what its required suites are."""
        kinds = {SIGNATURES[name].classical for name in self.required}
        return DUAL if len(kinds) > 1 else CLASSICAL if True in kinds else POST_QUANTUM

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        times = {name: time and time.isoformat() for name, time in (("begins", self.begins), ("expires", self.expires))}
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        return {"number": self.number, **lists, **times, "previous": self.previous}

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON (RFC 8785), which the next epoch and the log's leaf name."""
        return hashlib.sha256(rfc8785.dumps(self.document)).digest()


def read_epoch(document: Any) -> Epoch:
    """The epoch in a JSON object.

    Raises:
        MalformedPolicy: a field is missing, unknown, or of the wrong type.
        UnknownAlgorithm: an algorithm is not in our table.
    """
    known = [field.name for field in fields(Epoch)]
    if not isinstance(document, dict):
        raise MalformedPolicy(f"an epoch of a policy is a JSON object with {', '.join(known)}, not {type(document).__name__}")
    if unknown := sorted(set(document) - set(known)):
        raise MalformedPolicy(f"the policy has unknown fields {', '.join(unknown)}; known: {', '.join(known)}: correct them")
    try:
        lists = {name: _names(document[name]) for name in _LISTS if name in document}
        times = {name: _time(document[name]) for name in ("begins", "expires") if document.get(name) is not None}
        return Epoch(**{**document, **lists, **times})
    except (TypeError, ValueError) as error:
        if isinstance(error, KmsError):
            raise
        raise MalformedPolicy(f"the policy cannot be read: {error}") from error


FIRST = Epoch(1, LOG_SUITES, tuple(SIGNATURES), ALWAYS)
"""What holds where nothing else was ever said: dual signatures."""


@dataclass(frozen=True, slots=True)
class Policy:
    """All epochs.

    Raises:
        MalformedPolicy: numbers with gaps, a digest that is not of the epoch before, or a broken algorithm that is whole again.
        WeakerPolicy: an epoch demands less than the one in force before it.
    """

    epochs: tuple[Epoch, ...] = (FIRST,)

    def __post_init__(self) -> None:
        for number, epoch in enumerate(self.epochs, 1):
            if epoch.number != number:
                raise MalformedPolicy(f"epoch {number} of the policy is missing: there is number {epoch.number} in its place")
            if number == 1:
                continue
            last = self.epochs[number - 2]
            if epoch.previous != last.digest.hex():
                raise MalformedPolicy(f"epoch {number} does not follow epoch {number - 1}: one of them was changed")
            refuse_weaker(self._in_force(epoch.begins, number - 1), epoch)
            if healed := [name for name in last.broken if name not in epoch.broken]:
                raise WeakerPolicy(f"epoch {number} trusts {', '.join(healed)} again, which epoch {number - 1} calls broken")

    @property
    def newest(self) -> Epoch:
        """The last that was announced, begun or not."""
        return self.epochs[-1]

    @property
    def broken(self) -> frozenset[str]:
        """Algorithms whose signatures count no more."""
        return frozenset(self.newest.broken)

    def at(self, time: datetime) -> Epoch:
        """The epoch in force: the highest that has begun."""
        return self._in_force(time, len(self.epochs))

    def epoch(self, number: int) -> Epoch:
        """The epoch of a number; 0, of checkpoints from before there were epochs, is the first.

        Raises:
            UnknownEpoch: there is none.
        """
        if number > len(self.epochs):
            raise UnknownEpoch(
                f"policy epoch {number} is not known here, the last is {len(self.epochs)}: take the newer trust root (trust.json)"
            )
        return self.epochs[max(number, 1) - 1]

    def before(self, number: int) -> Epoch | None:
        """The epoch that was in force until this one began."""
        return None if number <= 1 else self._in_force(self.epoch(number).begins, number - 1)

    def successor(self, number: int, time: datetime) -> Epoch | None:
        """The epoch that had taken over from this one at a time, so long ago that every signer knew."""
        later = self.epochs[max(number, 1) :]
        return next((epoch for epoch in reversed(later) if time - epoch.begins > GRACE), None)

    def following(self, required: Sequence[str], begins: datetime, *, allowed: Iterable[str] = (), **more: Any) -> "Policy":
        """This policy and one epoch more; `more`: `broken`, which adds to what is, and `expires`.

        Raises:
            MalformedPolicy, WeakerPolicy, UnknownAlgorithm: as above.
        """
        last = self.newest
        broken = tuple(dict.fromkeys((*last.broken, *more.pop("broken", ()))))
        names = tuple(allowed) or tuple(name for name in SIGNATURES if name not in broken and _suits(name, required))
        epoch = Epoch(last.number + 1, tuple(required), names, begins, broken, previous=last.digest.hex(), **more)
        return replace(self, epochs=(*self.epochs, epoch))

    def _in_force(self, time: datetime, count: int) -> Epoch:
        return next((epoch for epoch in reversed(self.epochs[:count]) if epoch.begins <= time), self.epochs[0])


def first(required: Sequence[str], begins: datetime = ALWAYS, **more: Any) -> Policy:
    """A policy of one epoch."""
    allowed = tuple(name for name in SIGNATURES if _suits(name, required) and name not in more.get("broken", ()))
    return Policy((Epoch(1, tuple(required), allowed, begins, **more),))


def refuse_weaker(before: Epoch, after: Epoch) -> None:
    """Does nothing where an epoch protects against quantum computers if the one before did.

    Raises:
        WeakerPolicy: it does not.
    """
    if before.phase != CLASSICAL and after.phase == CLASSICAL:
        raise WeakerPolicy(
            f"epoch {after.number} would require {', '.join(after.required)} alone, no post-quantum signature, where epoch "
            f"{before.number} requires {', '.join(before.required)}: a policy never goes backwards; roll back to dual at most"
        )


PHASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        CLASSICAL: tuple(name for name in LOG_SUITES if SIGNATURES[name].classical),
        DUAL: LOG_SUITES,
        POST_QUANTUM: tuple(name for name in LOG_SUITES if not SIGNATURES[name].classical),
    }
)
"""The way of a migration: phase -> the suites that are required."""


def _suits(name: str, required: Sequence[str]) -> bool:
    """Whether an algorithm may stand beside those required: under a post-quantum policy no classical one may."""
    return not SIGNATURES[name].classical or any(signature_algorithm(each).classical for each in required)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"expected a list of names of algorithms, got {value!r}")
    return tuple(value)


def _time(text: Any) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return time
