"""Seals secrets by an AES-256 key of the token, for algorithms that the token does not know: AES-GCM, bound to what the key is."""

import secrets
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions

from kms.errors import SealBroken
from kms.inside import PRIVATE
from kms.keys import TokenKey

_SEALING_KEY = b"quantumai/seal"
_NONCE_BYTES = 12


def seal(session: pkcs11.Session, secret: bytes, binding: bytes) -> bytes:
    """nonce || ciphertext || tag; the sealing key is made in the token when it is not there yet."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + bytes(
        _sealing_key(session).encrypt(secret, mechanism=Mechanism.AES_GCM, mechanism_param=pkcs11.GCMParams(nonce, binding, 128))
    )


def unseal(session: pkcs11.Session, key: TokenKey) -> bytes:
    """The secret of a sealed key.

    Raises:
        SealBroken: the blob was changed, or sealed for another key, version, algorithm or use.
        pkcs11.exceptions.NoSuchKey: the token has no sealing key.
    """
    sealed = key.sealed or b""
    parameters = pkcs11.GCMParams(sealed[:_NONCE_BYTES], key.binding, 128)
    try:
        sealing_key: Any = session.get_key(object_class=ObjectClass.SECRET_KEY, id=_SEALING_KEY)
        return bytes(sealing_key.decrypt(sealed[_NONCE_BYTES:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters))
    except (exceptions.GeneralError, exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange):
        raise SealBroken(f"the sealed key {key.kid} does not open: blob, version, algorithm or use were changed") from None


def _sealing_key(session: pkcs11.Session) -> Any:
    try:
        return session.get_key(object_class=ObjectClass.SECRET_KEY, id=_SEALING_KEY)
    except exceptions.NoSuchKey:
        template = {**PRIVATE, Attribute.ENCRYPT: True, Attribute.DECRYPT: True}
        return session.generate_key(KeyType.AES, 256, store=True, template=template, label=_SEALING_KEY.decode(), id=_SEALING_KEY)
