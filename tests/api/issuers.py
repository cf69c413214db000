"""An issuer of bearer tokens that is not ours: PyJWT with keys of `cryptography`; and an application with one face to knock at."""

from datetime import UTC, datetime

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.application import application
from api.authentication import Gate
from api.bearer import TOKEN_USE, BearerTokens
from api.rate_limits import RateLimits
from api.roles import Face, Facts, Role, Who, allow, public
from kms.keys import PublicKey, kid
from kms.life import Life

KINDS = {
    "ECDSA-P384": ("ES384", lambda: ec.generate_private_key(ec.SECP384R1())),
    "ECDSA-P256": ("ES256", lambda: ec.generate_private_key(ec.SECP256R1())),
    "Ed25519": ("EdDSA", ed25519.Ed25519PrivateKey.generate),
}


class Issuer:
    """A private key outside of any token, and its public half as a trust root has it."""

    def __init__(self, algorithm="ECDSA-P384", **key):
        self.jose, make = KINDS[algorithm]
        self.private = make()
        spki = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        use = key.pop("use", TOKEN_USE)
        known = {"version": 1, "state": "active", "life": Life(), **key}
        self.public = PublicKey(kid(spki, algorithm, use), use, algorithm, spki=spki, **known)

    def token(self, alg=None, headers=None, signed_with=None, **claims):
        now = int(datetime.now(UTC).timestamp())
        usual = {"iss": "tests", "sub": "alice", "aud": "kms", "iat": now, "exp": now + 60, "jti": "1", "roles": ["signer"]}
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        header = {"typ": "at+jwt", "kid": self.public.kid, **(headers or {})}
        return jwt.encode(said, self.private if signed_with is None else signed_with, alg or self.jose, header)


def knocked_at(*issuers, ways=(), limits=None, failures=None, **how):
    """An application with endpoints for signers and for everybody; how often it was called is `app.state.calls`."""
    face, calls = Face("", "tests"), []

    @face.get("/signers")
    @allow(Role.SIGNER)
    def signers(who: Who, facts: Facts) -> dict[str, str]:
        calls.append(who)
        facts["kid"] = "k"
        return {"name": who.name, "by": who.by}

    @face.post("/admins")
    @allow(Role.ADMIN, Role.AUDITOR)
    def admins(who: Who, body: dict[str, int]) -> dict[str, int]:
        calls.append(who)
        return body

    @face.get("/everybody")
    @public
    def everybody() -> str:
        return "welcome"

    @face.get("/fails")
    @allow(Role.SIGNER)
    def fails() -> None:
        raise ZeroDivisionError("secret-4711")

    ways = (BearerTokens("tests", "kms", lambda: [issuer.public for issuer in issuers]), *ways)
    gate = Gate(ways, limits or RateLimits(1000, 1000), failures or RateLimits(1000, 1000))
    app = application("tests", [face], gate, **how)
    app.state.calls = calls
    return app


async def ask(app, path="/signers", token=None, method="GET", **how):
    headers = {**how.pop("headers", {}), **({"authorization": f"Bearer {token}"} if token else {})}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.request(method, path, headers=headers, **how)
