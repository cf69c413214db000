"""What a key is: its purpose, its name, its public half, and the place of its private half in a token."""

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

from kms.algorithms import signature_algorithm

KeyState = Literal["pre-active", "active", "verify-only", "deprecated", "revoked"]

Place = Literal["inside", "sealed"]
"""Where a private key lives: inside the token, or sealed by it and in this process's memory while it is used."""

LOG_USE = "log"
"""The use of keys that sign checkpoints of manifest logs."""


def kid(spki: bytes, algorithm: str, use: str) -> str:
    """The name of a key: SHA-256 (hex) over its public key (SPKI, DER), algorithm and use, so that it serves no other."""
    return hashlib.sha256(spki + f"|{algorithm}|{use}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeySpec:
    """The key that is wanted: the `version`-th (from 1) of an algorithm for a use."""

    use: str
    algorithm: str
    version: int

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
class PublicKey:
    """The half of a key that a verifier holds."""

    kid: str
    use: str
    algorithm: str
    version: int
    state: KeyState
    spki: bytes

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
