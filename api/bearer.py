"""Bearer tokens: JWT access tokens (RFC 9068), signed by a key of the key ring.

They are signed by keys of the use `api-token` and verified by the public halves of the same keys, which stand in the trust root.
The algorithm is the key's, never the token's say: a token names a key (`kid`) and is verified as that key's algorithm demands.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
from fastapi import Request
from jwt.algorithms import Algorithm
from jwt.types import Options
from pydantic import TypeAdapter, ValidationError

from api.errors import TokenImpossible, TokenRefused
from api.problems import Problem
from api.roles import Principal, Role
from kms.algorithms import SIGNATURES
from kms.errors import OutOfForce, VerificationError
from kms.keys import Key, PublicKey
from schemas.record import Identifier, now

TOKEN_USE = "api-token"  # noqa: S105 - the use of keys that sign tokens
LEEWAY = timedelta(seconds=30)
"""How far the clocks of issuer and service may differ."""
LONGEST = timedelta(days=90)

_TYPE = "at+jwt"
_CHECKS: Options = {
    "verify_signature": False,  # done before, by the key's own algorithm
    "require": ["iss", "sub", "aud", "iat", "exp", "jti", "roles"],
    "verify_exp": True,
    "verify_iat": True,
    "verify_nbf": True,
    "verify_aud": True,
    "verify_iss": True,
    "verify_sub": True,
    "verify_jti": True,
}
_NAME = TypeAdapter(Identifier)
_ROLES = TypeAdapter(frozenset[Role])


class _Ours(Algorithm):
    """An algorithm of `kms.algorithms` as JOSE sees it: keys sign in their token."""

    def prepare_key(self, key: Any) -> Any:
        return key

    def sign(self, msg: bytes, key: Key) -> bytes:
        return key.sign(msg)

    def verify(self, msg: bytes, key: PublicKey, sig: bytes) -> bool:
        try:
            key.verify(sig, msg)
        except VerificationError:
            return False
        return True

    @staticmethod
    def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:
        raise jwt.InvalidKeyError("keys are exported by `quantumai kms public`, not from a token's verifier")

    @staticmethod
    def from_jwk(jwk: Any) -> Any:
        raise jwt.InvalidKeyError("keys come from the trust root, never from a token")


def _jws() -> jwt.PyJWS:
    jws = jwt.PyJWS(algorithms=[])
    for row in SIGNATURES.values():
        if row.jose:
            jws.register_algorithm(row.jose, _Ours())
    return jws


_JWS = _jws()


def issue(key: Key, issuer: str, *, subject: str, roles: Iterable[Role], audience: Sequence[str], lifetime: timedelta) -> str:
    """A token that says who `subject` is.

    Args:
        key: of the use `api-token`.
        issuer: the deployment, `Settings.origin`.
        subject: name of the principal.
        roles: that it has.
        audience: services that take it: `kms`, `policy`, `threat`.
        lifetime: at most 90 days; a token cannot be taken back but by revoking the key.

    Raises:
        TokenImpossible: no name of a principal, no role, too long, or a key whose algorithm has no name in JOSE.
        TokenError: the key's token refuses.
    """
    name = SIGNATURES[key.public.algorithm].jose
    granted = sorted(set(roles))
    if not name:
        raise TokenImpossible(f"{key.public.algorithm} has no name in JOSE: sign tokens with ECDSA-P384, Ed25519 or ML-DSA-65")
    if not granted or not audience:
        raise TokenImpossible("a token needs at least one role and one service that takes it")
    if not timedelta(0) < lifetime <= LONGEST:
        raise TokenImpossible(f"a token lives for at most {LONGEST.days} days, not {lifetime}")
    try:
        _NAME.validate_python(subject)
    except ValidationError as error:
        raise TokenImpossible(
            f"{subject!r} is no name of a principal: 1 to 128 letters, digits and . _ : / @ -, first a letter or digit"
        ) from error
    begins = int(now().timestamp())
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": list(audience),
        "iat": begins,
        "exp": begins + int(lifetime.total_seconds()),
        "jti": str(uuid4()),
        "roles": granted,
    }
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return _JWS.encode(payload, key, name, {"typ": _TYPE, "kid": key.public.kid})  # type: ignore[arg-type]


class BearerTokens:
    """Authentication by `Authorization: Bearer …`.

    Args:
        issuer: whose tokens are taken.
        audience: this service.
        keys: the public keys of the use `api-token`, asked for each request.
    """

    def __init__(self, issuer: str, audience: str, keys: Callable[[], Sequence[PublicKey]]) -> None:
        self._issuer, self._audience, self._keys = issuer, audience, keys

    def __call__(self, request: Request) -> Principal | None:
        """Who the token says; None without a token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        try:
            if scheme.lower() != "bearer":
                raise TokenRefused(f"the scheme {scheme[:20]!r} is not taken: send `Authorization: Bearer TOKEN`")
            return self.principal(token.strip())
        except TokenRefused as error:
            challenge = {"WWW-Authenticate": 'Bearer realm="quantumai", error="invalid_token"'}
            raise Problem(401, str(error), challenge) from None

    def principal(self, token: str) -> Principal:
        """Who a token says, verified.

        Raises:
            TokenRefused: by signature, issuer, audience, time or contents.
            KeysUnreadable: the keys to verify with cannot be read.
        """
        key = self._key(token)
        try:
            _JWS.decode(token, key, [SIGNATURES[key.algorithm].jose])  # type: ignore[arg-type]
            claims = jwt.decode(
                token,
                options=_CHECKS,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
            )
            key.check_place(TOKEN_USE, 0, datetime.fromtimestamp(claims["iat"], UTC))
            name, roles = _NAME.validate_python(claims["sub"], strict=True), _ROLES.validate_python(claims["roles"])
        except (jwt.InvalidTokenError, OutOfForce) as error:
            raise TokenRefused(f"the bearer token is not valid: {error}; `quantumai token issue` makes another") from None
        except (ValidationError, OverflowError):
            raise TokenRefused("the bearer token is not valid: its claims name no principal or no known roles") from None
        return Principal(name, roles, f"bearer {claims['jti']}")

    def _key(self, token: str) -> PublicKey:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise TokenRefused(f"the bearer token is no JWT that can be read here: {error}") from None
        if header.get("typ") != _TYPE:
            raise TokenRefused(f"the bearer token has not the type {_TYPE} (RFC 9068)")
        found = [key for key in self._keys() if key.use == TOKEN_USE and key.verifies and key.kid == header.get("kid")]
        if not found:
            raise TokenRefused("the bearer token is signed by no key that is trusted here, or by one that was revoked")
        return found[0]
