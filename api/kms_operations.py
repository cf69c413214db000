"""What keys do: sign and verify, encapsulate and decapsulate. Private keys stay in the token, or sealed by it."""

from typing import Annotated

from pydantic import Field

from api.base64_bytes import Bytes
from api.errors import ReservedUse
from api.kms_keys import PREFIX, Ring, named
from api.roles import Face, Facts, Role, allow
from kms.algorithms import ENCAPSULATIONS
from kms.errors import UnknownAlgorithm, WrongSignature
from kms.keys import PublicKey
from kms.life import allow as in_force
from kms.uses import USES
from schemas.record import Part

operations = Face(PREFIX, "operations")


class Data(Part):
    """What to sign."""

    data: Bytes


class Signed(Part):
    """A signature, in the form that docs/kms.md names."""

    kid: str
    algorithm: str
    signature: Bytes


class Claim(Part):
    """What may be signed."""

    data: Bytes
    signature: Bytes


class Verdict(Part):
    """Whether a signature holds, and if not, why."""

    kid: str
    valid: bool
    reason: str = ""


class Ciphertext(Part):
    """What only the holder of a private key opens."""

    ciphertext: Bytes


class Secret(Part):
    """32 bytes that both ends share."""

    kid: str
    shared_secret: Annotated[Bytes, Field(repr=False)]


class Encapsulated(Secret):
    """The secret, and what carries it to the holder of the private key."""

    ciphertext: Bytes


@operations.post("/keys/{name}/sign")
@allow(Role.SIGNER)
def sign(name: str, message: Data, ring: Ring, facts: Facts) -> Signed:
    """Sign by an active key of a use of yours; RSA and ECDSA hash the data, the others take it as it is."""
    key = named(ring, name, facts)
    if key.use in USES:
        raise ReservedUse(f"keys of the use {key.use} are for {USES[key.use]}, and sign nothing else: make a key of another use")
    return Signed(kid=key.kid, algorithm=key.algorithm, signature=ring.sign(key.kid, message.data))


@operations.post("/keys/{name}/verify")
@allow(Role.SIGNER, Role.AUDITOR, Role.READER)
def verify(name: str, claim: Claim, ring: Ring, facts: Facts) -> Verdict:
    """Verify a signature by a key whose signatures count."""
    key = named(ring, name, facts)
    in_force("verify", key.state, key.kid)
    reason = _fault(key, claim)
    facts["detail"] = reason or "valid"
    return Verdict(kid=key.kid, valid=not reason, reason=reason)


@operations.post("/keys/{name}/encapsulate")
@allow(Role.SIGNER)
def encapsulate(name: str, ring: Ring, facts: Facts) -> Encapsulated:
    """A fresh secret for whoever may decapsulate with the key."""
    key = named(ring, name, facts)
    _check_kem(key)
    ciphertext, secret = ring.encapsulate(key.kid)
    return Encapsulated(kid=key.kid, ciphertext=ciphertext, shared_secret=secret)


@operations.post("/keys/{name}/decapsulate")
@allow(Role.SIGNER)
def decapsulate(name: str, message: Ciphertext, ring: Ring, facts: Facts) -> Secret:
    """The secret in a ciphertext; of one that was changed another secret comes out (FIPS 203, implicit rejection)."""
    key = named(ring, name, facts)
    _check_kem(key)
    return Secret(kid=key.kid, shared_secret=ring.decapsulate(key.kid, message.ciphertext))


def _fault(key: PublicKey, claim: Claim) -> str:
    try:
        key.verify(claim.signature, claim.data)
    except WrongSignature as error:
        return str(error)
    return ""


def _check_kem(key: PublicKey) -> None:
    if key.algorithm not in ENCAPSULATIONS:
        raise UnknownAlgorithm(f"{key.algorithm} keys sign; take one of {', '.join(ENCAPSULATIONS)}")
