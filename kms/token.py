"""The token that holds the private keys: a PKCS#11 module behind one interface, whatever it can do.

| token | PKCS#11 | RSA, ECDSA, Ed25519 | ML-DSA, ML-KEM, SLH-DSA |
|---|---|---|---|
| Kryoptic, `deploy/token/` | 3.2 | inside, not extractable | inside, not extractable |
| SoftHSM2 and most HSMs in the field | 2.40 | inside, not extractable | secret sealed by an AES key of the token |

A sealed secret is in this process's memory while it is used, so whoever reads that memory has the key.
Which of the two a token is, it says itself, algorithm by algorithm: by offering the mechanism (CKM_ML_DSA for example) or not.
"""

import os
from pathlib import Path
from typing import Protocol

from kms import cryptoki
from kms.cryptoki import Cryptoki, Device
from kms.errors import PinMissing
from kms.importing import PrivateKey
from kms.keys import KeySpec, Place, TokenKey
from kms.modules import environment, login_alone
from kms.pkcs11_token import Pkcs11Token


class Token(Protocol):
    """What the key ring and the signers need of a token. Safe to use from several threads."""

    label: str

    def generate(self, spec: KeySpec) -> TokenKey:
        """A new key pair. Callers hold a lock across processes: a token need not bear two writers."""
        ...

    def adopt(self, spec: KeySpec, private: PrivateKey) -> TokenKey:
        """A key that was made elsewhere, from now on in the token or sealed by it; under the same lock."""
        ...

    def place(self, name: str) -> Place | None:
        """Where keys of an algorithm live; None where the token can do nothing for it."""
        ...

    def sign(self, key: TokenKey, data: bytes) -> bytes:
        """A signature over `data`, in the form that `kms.algorithms` describes."""
        ...

    def decapsulate(self, key: TokenKey, ciphertext: bytes) -> bytes:
        """The shared secret in a ciphertext."""
        ...

    def destroy(self, key: TokenKey) -> None:
        """Deletes what the token holds of a key."""
        ...

    def device(self) -> Device:
        """What the token says of itself."""
        ...


def open_token(module: Path, label: str, pin: str, folder: Path | None = None) -> Token:
    """Logs in to the token `label` of a PKCS#11 module. Call it after the last fork: a token does not survive one.

    Args:
        module: the module's shared library.
        label: the token's label.
        pin: the user's PIN.
        folder: where `kms.provision.init_token` put the token; None when the environment (KRYOPTIC_CONF, SOFTHSM2_CONF,
            or what the vendor's module reads) says it already.

    Raises:
        ModuleMissing: no such module, or it does not load.
        TokenMissing: the module has no initialised token of that label.
        PinMissing: the PIN is empty.
        WrongPin: the token refuses it.
        TokenLocked: it was wrong too often.
    """
    if not pin:
        raise PinMissing(
            f"no PIN for token {label!r}: set QUANTUMAI_TOKEN_PIN, or QUANTUMAI_TOKEN_PIN_FILE to a file that holds it"
        )
    if folder is not None:
        os.environ.update(environment(module, folder))
    with login_alone(module):
        return Pkcs11Token(Cryptoki.login(module, label, pin))


def unlock_token(module: Path, label: str, so_pin: str, pin: str, folder: Path | None = None) -> None:
    """Gives a token that was locked after too many wrong PINs its user's PIN anew; or another one.

    Args:
        module, label, folder: as `open_token`.
        so_pin: the security officer's PIN.
        pin: the user's from now on.

    Raises:
        ModuleMissing, TokenMissing: as `open_token`.
        WrongPin: the security officer's PIN is wrong.
    """
    if folder is not None:
        os.environ.update(environment(module, folder))
    with login_alone(module):
        cryptoki.unlock(module, label, so_pin, pin)
