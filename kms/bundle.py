"""One manifest out of a log, complete: DSSE envelope, place, inclusion proof, signed checkpoint, and whose signatures that has.

As with Sigstore's bundles, whoever has the public keys verifies it offline. A manifest in a log has no signature of its own: the
checkpoint's cover it, through the inclusion proof, and the suites that must sign stand in the checkpoint's signed text.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from kms.anchor import ANCHOR_USE, anchor_of, check_carried
from kms.base64_text import read_base64
from kms.cosignature import WitnessKey
from kms.dsse import Envelope, read_envelope
from kms.envelope import Link
from kms.errors import MalformedEnvelope, MalformedNote, MissingCheckpoint, NotWitnessed, WrongBinding
from kms.keys import LOG_USE, PublicKey
from kms.manifest import binds, manifest_leaf
from kms.merkle import HASH_BYTES, verify_inclusion
from kms.note import Note, key_id, read_note, verify_note
from kms.trust import TrustRoot
from schemas.codec import explain
from schemas.manifests import LogCheckpoint, ManifestRequested, ManifestSigned
from schemas.record import Identifier, Part

MEDIA_TYPE = "application/vnd.quantumai.manifest-bundle.v1+json"
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AboutEvent(Part):
    """The event that the manifest is about."""

    topic: str
    id: str
    digest: Hex


class LogEntry(Part):
    """Where the manifest stands.

    Attributes:
        subject: what it is about, a job's id for example.
        proof: the audit path, bottom-up, base64 of 32 bytes each (RFC 6962 section 2.1.1).
        checkpoint: the C2SP signed note that the path leads to.
    """

    log_id: Annotated[Identifier, Field(alias="logId")]
    index: Annotated[int, Field(ge=0, alias="logIndex")]
    subject: Identifier
    event: AboutEvent
    proof: Annotated[tuple[str, ...], Field(max_length=64, alias="inclusionProof")]
    checkpoint: str


class BundleDocument(Part):
    """The bundle as JSON or YAML has it; fields that are not these are refused."""

    media_type: Annotated[Literal["application/vnd.quantumai.manifest-bundle.v1+json"], Field(alias="mediaType")] = (
        "application/vnd.quantumai.manifest-bundle.v1+json"
    )
    envelope: Annotated[dict[str, Any], Field(alias="dsseEnvelope")]
    entry: Annotated[LogEntry, Field(alias="logEntry")]
    keys: Annotated[tuple[str, ...], Field(alias="keyIds")] = ()
    """kids of the keys whose signatures the checkpoint carries, as the exporter's trust root knew them; a hint."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, read but not verified."""

    envelope: Envelope
    entry: LogEntry
    proof: bytes
    note: Note


def bundle(manifest: ManifestSigned, checkpoint: LogCheckpoint, trust: TrustRoot | None = None) -> dict[str, Any]:
    """The document of a manifest and the checkpoint that its proof leads to.

    Raises:
        MissingCheckpoint: it is another log's, or of another size.
    """
    if (checkpoint.log_id, checkpoint.tree_size) != (manifest.log_id, manifest.tree_size):
        raise MissingCheckpoint(
            f"the proof of leaf {manifest.index} of {manifest.log_id} leads to size {manifest.tree_size}, not there"
        )
    hashes = [manifest.inclusion_proof[at : at + HASH_BYTES] for at in range(0, len(manifest.inclusion_proof), HASH_BYTES)]
    entry = {
        "logId": manifest.log_id,
        "logIndex": manifest.index,
        "subject": manifest.subject,
        "event": {"topic": manifest.event_topic, "id": manifest.event_id, "digest": manifest.event_digest.hex()},
        "inclusionProof": [base64.b64encode(one).decode() for one in hashes],
        "checkpoint": checkpoint.note,
    }
    envelope = Envelope(manifest.payload_type, manifest.payload).document()
    signers = _signers(read_note(checkpoint.note), trust.keys if trust else ())
    return {"mediaType": MEDIA_TYPE, "dsseEnvelope": envelope, "logEntry": entry, "keyIds": signers}


def read_bundle(document: Any) -> Bundle:
    """The bundle in a document of JSON or YAML.

    Raises:
        MalformedEnvelope: a field is missing, unknown or no such value; it is named.
        MalformedNote: its checkpoint is none.
    """
    try:
        found = BundleDocument.model_validate(document)
        hashes = [read_base64(one) for one in found.entry.proof]
    except ValidationError as error:
        raise MalformedEnvelope(f"this is no bundle of a manifest: {explain(error)}") from None
    except ValueError:
        raise MalformedEnvelope("this is no bundle of a manifest: logEntry.inclusionProof: a hash is no base64") from None
    return Bundle(read_envelope(found.envelope), found.entry, b"".join(hashes), read_note(found.entry.checkpoint))


def verify_bundle(found: Bundle, trust: TrustRoot, witnesses: Sequence[WitnessKey] = (), quorum: int = 0) -> Iterator[Link]:
    """Checks a bundle; each link is given as soon as it holds.

    Args:
        found: as it was read.
        trust: whose signatures count, and which suites are demanded.
        witnesses: those that are believed.
        quorum: how many of them must have cosigned the checkpoint.

    Raises:
        VerificationError: the next link does not hold. Its class and message say which, and why.
    """
    entry, said = found.entry, found.note.checkpoint
    event = entry.event
    about = ManifestRequested(
        subject=entry.subject,
        payload_type=found.envelope.payload_type,
        payload=found.envelope.payload,
        event_topic=event.topic,
        event_id=event.id,
        event_digest=bytes.fromhex(event.digest),
    )
    if not binds(about):
        raise WrongBinding(f"the payload is not about the {event.topic} event {event.id} of {entry.subject}, as the bundle says")
    yield Link("manifest", f"about the {event.topic} event {event.id} of {entry.subject}")
    if said.origin != entry.log_id:
        raise MalformedNote(f"the bundle is of the log {entry.log_id}, its checkpoint of {said.origin}")
    leaf = manifest_leaf(found.envelope.payload_type, found.envelope.payload)
    verify_inclusion(leaf, entry.index, said.size, found.proof, said.root)
    yield Link("inclusion", f"leaf {entry.index} of {said.size} in {said.origin}")
    verify_note(found.note, trust)
    check_carried(found.note, trust)
    yield Link("checkpoint", f"signed by {' and '.join(said.suites)} at {said.signed_at:%Y-%m-%d %H:%M:%S} UTC")
    if anchor := anchor_of(found.note, trust):
        yield Link("anchor", f"signed by {anchor.key}, too: stands on SHA-2 alone")
    seen = {witness.name: at for witness in witnesses if (at := witness.verify(found.note)) is not None}
    if len(seen) < quorum:
        raise NotWitnessed(f"the checkpoint is cosigned by {len(seen)} of the {quorum} witnesses demanded")
    for name, at in seen.items():
        yield Link("witness", f"{name}, {at:%Y-%m-%d %H:%M:%S} UTC")


def _signers(note: Note, keys: Sequence[PublicKey]) -> list[str]:
    origin, named = note.checkpoint.origin, {line.key_id for line in note.lines}
    return [key.kid for key in keys if key.use in (LOG_USE, ANCHOR_USE) and key_id(origin, key) in named]
