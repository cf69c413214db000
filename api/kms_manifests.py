"""Manifests: ask the signer for one, through Kafka; read a signed one with its proof."""

import hashlib
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

import rfc8785
from fastapi import Query, Request
from pydantic import AwareDatetime, Field

from api.errors import ManifestUnusable
from api.kms_keys import PREFIX
from api.roles import Face, Facts, Role, Who, allow
from kms.canonical import exact
from kms.manifest import PAYLOAD_TYPE, STATEMENT_TYPE
from kms.merkle import HASH_BYTES
from schemas.codec import decode
from schemas.errors import InputError
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Identifier, Part
from streams.records import messages

manifests = Face(PREFIX, "manifests")

EXTERNAL = "external"
"""The topic that a manifest of ours names as its event's: there is no such topic, what is said stands in the manifest."""

TYPE = "urn:quantumai:manifest:external:v1"
_PAST = timedelta(hours=1)
_MOST = 1000


class ManifestRequest(Part):
    """What is to stand in a log, said by the caller."""

    subject: Identifier
    """What it is about: a job, a release, a model."""
    statement: dict[str, Any]
    """What is said of it."""


class Requested(Part):
    """A manifest that was asked for."""

    subject: str
    event_id: str
    """Its name in the log."""
    digest: str
    """SHA-256 of its payload, hex."""


class Proved(Part):
    """A signed manifest, with what a verifier needs beside the trust root."""

    subject: str
    event_id: str
    event_topic: str
    payload_type: str
    payload: str
    log_id: str
    index: Annotated[int, Field(ge=0)]
    tree_size: int
    inclusion_proof: list[str]
    """RFC 6962 audit path, bottom-up, hex."""
    checkpoint: str | None
    """The signed note over that tree; None while it is under way."""


@manifests.post("/manifests", status_code=202)
@allow(Role.SIGNER, Role.PRODUCER)
async def request_manifest(asked: ManifestRequest, who: Who, request: Request, facts: Facts) -> Requested:
    """Ask for a manifest of anything outside the platform. The signer takes it from Kafka; who asked for it stands inside."""
    event_id = str(uuid4())
    made = _manifest(asked, who.name, event_id)
    await request.app.state.kms.client.request_manifest(made)
    facts["detail"] = f"{asked.subject} {event_id}"
    return Requested(subject=asked.subject, event_id=event_id, digest=hashlib.sha256(made.payload).hexdigest())


@manifests.get("/manifests")
@allow(Role.ADMIN, Role.AUDITOR, Role.SIGNER, Role.PRODUCER, Role.READER)
async def read_manifest(
    request: Request,
    facts: Facts,
    subject: Annotated[str, Query(description="What it is about: a job's id, for example.")],
    since: Annotated[AwareDatetime | None, Query(description="When to begin to look; an hour ago when not given.")] = None,
) -> list[Proved]:
    """The signed manifests about a subject, each with its proof and checkpoint; at most 1,000."""
    facts["detail"] = subject[:128]
    signed, notes = list[ManifestSigned](), dict[tuple[str, int], str]()
    topics = [ManifestSigned.topic, LogCheckpoint.topic]
    begin = since or datetime.now(UTC) - _PAST
    async with aclosing(messages(request.app.state.kms.settings.brokers, topics, begin)) as batches:
        async for batch in batches:
            for message in batch:
                if message.topic == LogCheckpoint.topic:
                    checkpoint = _decoded(LogCheckpoint, message.value)
                    if checkpoint is not None:
                        notes[checkpoint.log_id, checkpoint.tree_size] = checkpoint.note
                elif message.key == subject.encode() and len(signed) < _MOST:
                    found = _decoded(ManifestSigned, message.value)
                    signed += [found] if found is not None else []
    return [_proved(one, notes.get((one.log_id, one.tree_size))) for one in signed]


def _manifest(asked: ManifestRequest, who: str, event_id: str) -> ManifestRequested:
    try:
        said = rfc8785.dumps(exact(asked.statement))
        statement: dict[str, Any] = {
            "_type": STATEMENT_TYPE,
            "predicateType": TYPE,
            "predicate": {"requested_by": who, "statement": exact(asked.statement)},
            "subject": [
                {
                    "name": event_id,
                    "digest": {"sha256": hashlib.sha256(said).hexdigest()},
                    "annotations": {"about": asked.subject, "topic": EXTERNAL},
                }
            ],
        }
        payload = rfc8785.dumps(statement)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise ManifestUnusable(f"the statement has no canonical form in JSON (RFC 8785): {error}") from None
    return ManifestRequested(
        subject=asked.subject,
        payload_type=PAYLOAD_TYPE,
        payload=payload,
        event_topic=EXTERNAL,
        event_id=event_id,
        event_digest=hashlib.sha256(said).digest(),
    )


def _decoded(kind: Any, value: bytes | None) -> Any:
    try:
        return decode(kind, value)
    except InputError:
        return None  # `quantumai verify` tells of it


def _proved(manifest: ManifestSigned, note: str | None) -> Proved:
    path = manifest.inclusion_proof
    return Proved(
        subject=manifest.subject,
        event_id=manifest.event_id,
        event_topic=manifest.event_topic,
        payload_type=manifest.payload_type,
        payload=manifest.payload.decode("utf-8", "replace"),
        log_id=manifest.log_id,
        index=manifest.index,
        tree_size=manifest.tree_size,
        inclusion_proof=[path[at : at + HASH_BYTES].hex() for at in range(0, len(path), HASH_BYTES)],
        checkpoint=note,
    )
