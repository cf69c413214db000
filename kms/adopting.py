"""Takes a key that was made elsewhere into a token, once it has shown there that it fits its public half."""

import secrets

from kms.algorithms import ENCAPSULATIONS, SIGNATURES, raw_public_key
from kms.errors import WrongPrivateKey, WrongSignature
from kms.importing import PrivateKey
from kms.keys import KeySpec, TokenKey
from kms.token import Token


def adopted(token: Token, spec: KeySpec, private: PrivateKey) -> TokenKey:
    """The key in the token.

    Raises:
        WrongPrivateKey: it does not fit its public half; nothing of it stays in the token.
        TokenError: the token refuses.
    """
    made = token.adopt(spec, private)
    try:
        fits = _signs(token, made) if spec.algorithm in SIGNATURES else _opens(token, made)
    except BaseException:
        token.destroy(made)
        raise
    if not fits:
        token.destroy(made)
        raise WrongPrivateKey(
            f"the {spec.algorithm} private key does not belong to the public key that stands beside it in the file"
        )
    return made


def _signs(token: Token, key: TokenKey) -> bool:
    data = secrets.token_bytes(32)
    try:
        SIGNATURES[key.spec.algorithm].verify(key.spki, token.sign(key, data), data)
    except WrongSignature:
        return False
    return True


def _opens(token: Token, key: TokenKey) -> bool:
    ciphertext, secret = ENCAPSULATIONS[key.spec.algorithm].encapsulate(raw_public_key(key.spec.algorithm, key.spki))
    return token.decapsulate(key, ciphertext) == secret
