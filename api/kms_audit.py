"""The audit: what each request becomes there, and how it is read."""

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Request

from api.errors import CursorUnusable
from api.kms_keys import PREFIX
from api.requests import Access
from api.roles import Face, Role, allow
from kms.audit.entry import NO_KEY, NOBODY
from kms.audit.trail import FILE
from schemas.manifests import KmsAudit, Outcome
from schemas.record import Part

audit = Face(PREFIX, "audit")

_DENIED = (401, 403, 429)
_MOST_CHARACTERS = 300


class Page(Part):
    """Entries, as they stand in the chain: canonical JSON (RFC 8785) of each is what the next one's `previous` is the digest of."""

    entries: list[dict[str, Any]]
    next: int
    """Where the next page begins."""


@audit.get("/audit")
@allow(Role.AUDITOR)
def read_audit(
    request: Request,
    begin: Annotated[int, Query(alias="from", ge=0, description="0, or `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page:
    """The audit from its beginning on, page by page. `quantumai kms audit verify` verifies it."""
    return _page(request.app.state.kms.settings.home / FILE, begin, limit)


def entry(access: Access) -> KmsAudit:
    """What a request becomes."""
    facts, status = access.facts, access.status
    outcome: Outcome = "DENIED" if status in _DENIED else "FAILURE" if status >= 400 else "SUCCESS"
    said = ": ".join(filter(None, (f"{access.method} {access.path}", facts.get("detail"), facts.get("reason"))))
    return KmsAudit(
        kid=facts.get("kid", NO_KEY),
        actor=access.principal.name if access.principal else NOBODY,
        action=access.operation or "unknown",
        outcome=outcome,
        algorithm=facts.get("algorithm", ""),
        detail=said if len(said) <= _MOST_CHARACTERS else f"{said[:_MOST_CHARACTERS]}…",
        source=access.address,
        request_id=access.request_id,
        status=status,
    )


def _page(file: Path, begin: int, limit: int) -> Page:
    found: list[dict[str, Any]] = []
    with file.open("rb") as content:
        if begin:
            content.seek(begin - 1)
            if content.read(1) != b"\n":
                raise CursorUnusable(f"no entry begins at {begin}: take `next` of the page before, or 0")
        while len(found) < limit and (line := content.readline()).endswith(b"\n"):
            found.append(json.loads(line))
            begin += len(line)
    return Page(entries=found, next=begin)
