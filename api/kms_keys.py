"""Keys: list, make, rotate, retire; public halves in every form."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import AwareDatetime, Field

from api.roles import Face, Facts, Role, allow
from kms.export import FORMS, export
from kms.keyring import KeyRing
from kms.keys import PublicKey
from kms.life import TIMES, KeyState
from kms.ring_rows import Entry
from schemas.record import Part

PREFIX = "/api/v1/kms"
keys = Face(PREFIX, "keys")

_MEDIA = {
    "pem": "application/x-pem-file",
    "der": "application/octet-stream",
    "raw": "application/octet-stream",
    "jwk": "application/jwk+json",
}


class Kind(Part):
    """What a key is for, and its algorithm."""

    use: Annotated[str, Field(examples=["files"])]
    algorithm: Annotated[str, Field(examples=["ML-DSA-65"])]


class Rotation(Kind):
    """A rotation."""

    at: AwareDatetime | None = None
    """When the new version takes over; None: as soon as every signer has seen it."""


class Schedule(Part):
    """When a version takes over."""

    at: AwareDatetime


class KeyView(Part):
    """A key as the ring knows it; nothing here is secret."""

    kid: str
    use: str
    algorithm: str
    version: int
    state: KeyState
    times: dict[str, datetime]
    """When it entered its states, or will."""
    uses: int = 0
    token: str = ""
    imported: str = ""
    """Why it was let in, of a key that was made elsewhere."""


def ring_of(request: Request) -> KeyRing:
    """The key ring, with its token."""
    return request.app.state.kms.ring  # type: ignore[no-any-return]


Ring = Annotated[KeyRing, Depends(ring_of)]


def named(ring: KeyRing, name: str, facts: dict[str, str]) -> PublicKey:
    """A key by kid, by 8 characters of it or more, by USE:ALGORITHM:VERSION, or the active one of USE:ALGORITHM.

    Raises:
        UnknownKey: there is none, or more than one.
    """
    parts = name.split(":")
    if len(parts) == 2:
        active = [entry.public for entry in ring.entries() if entry.public.state == "active"]
        name = next((key.kid for key in active if [key.use, key.algorithm] == parts), name)
    key = ring.key(name.replace(":", "/"))
    facts.update(kid=key.kid, algorithm=key.algorithm)
    return key


@keys.get("/keys")
@allow(Role.ADMIN, Role.AUDITOR, Role.SIGNER)
def list_keys(
    ring: Ring,
    use: Annotated[str | None, Query(description="Only of this use.")] = None,
    state: Annotated[KeyState | None, Query(description="Only in this state.")] = None,
) -> list[KeyView]:
    """All keys, by use, algorithm and version."""
    found = [entry for entry in ring.entries() if use in (None, entry.public.use) and state in (None, entry.public.state)]
    return [_view(entry.public, entry) for entry in found]


@keys.post("/keys", status_code=201)
@allow(Role.ADMIN)
def create(kind: Kind, ring: Ring, request: Request, facts: Facts) -> KeyView:
    """Make a new version: active where there is no active one, otherwise pre-active until it is scheduled."""
    facts["detail"] = f"{kind.use}/{kind.algorithm}"
    return _changed(request, facts, ring.create(kind.use, kind.algorithm))


@keys.post("/rotate", status_code=201)
@allow(Role.ADMIN)
def rotate(rotation: Rotation, ring: Ring, request: Request, facts: Facts) -> KeyView:
    """Make a new version that takes over, now or later; the old one then only verifies."""
    facts["detail"] = f"{rotation.use}/{rotation.algorithm}"
    return _changed(request, facts, ring.rotate(rotation.use, rotation.algorithm, rotation.at))


@keys.get("/keys/{name}")
@allow(Role.ADMIN, Role.AUDITOR, Role.SIGNER)
def key(name: str, ring: Ring, facts: Facts) -> KeyView:
    """One key."""
    found = named(ring, name, facts)
    return _view(found, next(entry for entry in ring.entries() if entry.public.kid == found.kid))


@keys.get("/keys/{name}/public", response_class=Response)
@allow(Role.ADMIN, Role.AUDITOR, Role.SIGNER, Role.READER)
def public(
    name: str,
    ring: Ring,
    facts: Facts,
    form: Annotated[str, Query(alias="format", description=f"One of {', '.join(FORMS)}.")] = "pem",
) -> Response:
    """A public key: PEM or DER (SubjectPublicKeyInfo), raw bytes, or JWK."""
    content = export(named(ring, name, facts), form)
    return Response(content, media_type=_MEDIA[form])


@keys.post("/keys/{name}/schedule")
@allow(Role.ADMIN)
def schedule(name: str, plan: Schedule, ring: Ring, request: Request, facts: Facts) -> KeyView:
    """Let a pre-active version take over at a time."""
    return _changed(request, facts, ring.schedule(named(ring, name, facts).kid, plan.at))


def _transition(transition: str, says: str) -> None:
    def change(name: str, ring: Ring, request: Request, facts: Facts) -> KeyView:
        return _changed(request, facts, ring.change(named(ring, name, facts).kid, transition))

    change.__doc__ = says
    keys.post(f"/keys/{{name}}/{transition}", name=transition)(allow(Role.ADMIN)(change))


for _name, _says in {
    "disable": "Let a key sign no more; what it signed goes on counting.",
    "deprecate": "As disable, for what should be replaced.",
    "revoke": "Let nothing count that a key ever signed, and let it decapsulate no more: for a key that somebody else has.",
    "destroy": "Delete a key's private half; what was encapsulated for it is lost.",
}.items():
    _transition(_name, _says)


def _changed(request: Request, facts: dict[str, str], key: PublicKey) -> KeyView:
    """Brings the trust root up to date."""
    request.app.state.kms.publish()
    facts.update(kid=key.kid, algorithm=key.algorithm)
    return _view(key)


def _view(key: PublicKey, entry: Entry | None = None) -> KeyView:
    about: dict[str, Any] = {name: getattr(key, name) for name in ("kid", "use", "algorithm", "version", "state")}
    times = {name: time for name in TIMES if (time := getattr(key.life, name)) is not None}
    known = {"uses": entry.uses, "token": entry.token, "imported": entry.imported} if entry else {}
    return KeyView(**about, times=times, **known)
