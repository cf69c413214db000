"""What a key is: its purpose, its name, its public half, and the place of its private half in a token."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from kms.algorithms import signature_algorithm
from kms.errors import OutOfForce, WrongUse
from kms.life import ALLOWED, KeyState, Life

Place = Literal["inside", "sealed"]
"""Where a private key lives: inside the token, or sealed by it and in this process's memory while it is used."""

_USE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

LOG_USE = "log"
"""The use of keys that sign checkpoints of manifest logs."""

SLACK = timedelta(seconds=60)
"""How far clocks of two machines may differ, and how late a signer may notice that it has another key."""


def kid(spki: bytes, algorithm: str, use: str) -> str:
    """The name of a key: SHA-256 (hex) over its public key (SPKI, DER), algorithm and use, so that it serves no other."""
    return hashlib.sha256(spki + f"|{algorithm}|{use}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeySpec:
    """The key that is wanted: the `version`-th (from 1) of an algorithm for a use."""

    use: str
    algorithm: str
    version: int

    def __post_init__(self) -> None:
        if not _USE.fullmatch(self.use):
            raise WrongUse(
                f"{self.use!r} is no name of a use: 1 to 64 of a-z, 0-9, dot, dash and underscore, first a letter or digit"
            )

    @property
    def label(self) -> str:
        """What the token's objects are called."""
        return f"{self.use}/{self.algorithm}/{self.version}"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key as a token made it. Public throughout: `sealed` opens in the token alone.

    Attributes:
        spec: what it is for.
        spki: SubjectPublicKeyInfo, DER.
        object_id: CKA_ID of the token's objects.
        sealed: for a token without the algorithm, the seed under a token key (nonce || ciphertext || tag); else None.
    """

    spec: KeySpec
    spki: bytes
    object_id: bytes
    sealed: bytes | None = None

    @property
    def kid(self) -> str:
        """The key's name."""
        return kid(self.spki, self.spec.algorithm, self.spec.use)

    @property
    def binding(self) -> bytes:
        """What a sealed key is bound to (AES-GCM's additional data): kid|version|algorithm|use."""
        return f"{self.kid}|{self.spec.version}|{self.spec.algorithm}|{self.spec.use}".encode()


@dataclass(frozen=True, slots=True)
class LogRange:
    """The part of a log that a key has signed.

    Attributes:
        log_id: the log.
        first: no checkpoint of a smaller tree is signed by the key.
        last: no checkpoint of a larger tree is; None while it may still sign.
    """

    log_id: str
    first: int
    last: int | None = None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The half of a key that a verifier holds.

    Attributes:
        state: when this was written; what came of itself since then (a scheduled version became active) follows from `life`.
        life: its times.
        ranges: the parts of logs outside of which its signatures do not count; logs that are not named have no limits.
    """

    kid: str
    use: str
    algorithm: str
    version: int
    state: KeyState
    spki: bytes
    life: Life = field(default_factory=Life)
    ranges: tuple[LogRange, ...] = ()

    @property
    def label(self) -> str:
        """Its name for people: use, algorithm and version."""
        return KeySpec(self.use, self.algorithm, self.version).label

    @property
    def verifies(self) -> bool:
        """Whether what it signed counts, at its time and place."""
        if self.state == "pre-active":
            return self.life.activates is not None
        return self.state in ALLOWED["verify"] and self.life.revoked is None

    def check_place(self, log_id: str, size: int, signed_at: datetime) -> None:
        """Does nothing where the key was in force when it signed the checkpoint of that size of a log.

        Raises:
            OutOfForce: it was not yet, or no more, by the time or by the place.
        """
        begins, ends = self.life.activates, self.life.ends
        what = f"{self.algorithm} version {self.version} ({self.kid[:16]}…)"
        if begins is not None and signed_at < begins - SLACK:
            raise OutOfForce(f"signed at {signed_at} by {what}, which was in force from {begins} on")
        if ends is not None and signed_at > ends + SLACK:
            raise OutOfForce(f"signed at {signed_at} by {what}, which was in force until {ends}")
        for part in self.ranges:
            if part.log_id == log_id and not part.first <= size <= (size if part.last is None else part.last):
                raise OutOfForce(f"signed at size {size} by {what}, which signed sizes {part.first} to {part.last or 'now'} only")

    def verify(self, signature: bytes, data: bytes) -> None:
        """Checks a signature over `data`.

        Raises:
            WrongSignature: it does not verify.
        """
        signature_algorithm(self.algorithm).verify(self.spki, signature, data)


class Signer(Protocol):
    """Whatever can sign with a token's key."""

    def sign(self, key: TokenKey, data: bytes) -> bytes:
        """The signature in the form of `kms.algorithms`."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """A key that can sign: a public key and the token that holds its private half."""

    public: PublicKey
    inside: TokenKey
    token: Signer

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`, made in (or with) the token. Takes about a millisecond and may be called in any thread.

        Raises:
            TokenError: the token refuses or is gone.
        """
        return self.token.sign(self.inside, data)
