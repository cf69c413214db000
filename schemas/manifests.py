"""What is signed, the logs it stands in, and who used which key."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.record import Identifier, Part, Record, Timestamp, now

Digest = Annotated[bytes, Field(min_length=32, max_length=32)]
Size = Annotated[int, Field(ge=0)]
Outcome = Literal["SUCCESS", "FAILURE", "DENIED"]


class ManifestRequested(Record):
    """The exact bytes to be signed, built by whoever decided or ran, in the transaction of the event they are about."""

    topic: ClassVar[str] = "manifest.requested"
    key_field: ClassVar[str] = "subject"

    subject: Identifier
    """What the manifest is about, e.g. the job id."""
    payload_type: str
    """DSSE payloadType."""
    payload: bytes
    event_topic: str
    event_id: str
    """ce_id of the event that the manifest is about."""
    event_digest: Digest
    """`schemas.cloudevents.digest` of that event: value, key and CloudEvents attributes."""


class ManifestSigned(Record):
    """A manifest with its place in a log and the proof of it."""

    topic: ClassVar[str] = "manifest.signed"
    key_field: ClassVar[str] = "subject"

    subject: Identifier
    payload_type: str
    payload: bytes
    event_topic: str
    event_id: str
    event_digest: Digest
    log_id: Identifier
    index: Size
    tree_size: Annotated[int, Field(ge=1)]
    """Size of the checkpoint that `inclusion_proof` leads to."""
    inclusion_proof: bytes
    """RFC 6962 section 2.1.1 audit path, bottom-up, 32 bytes a node."""


class LogCheckpoint(Record):
    """A signed tree head (C2SP tlog-checkpoint), classical and post-quantum."""

    topic: ClassVar[str] = "log.checkpoint"
    key_field: ClassVar[str] = "log_id"

    log_id: Identifier
    """The checkpoint's origin line: one log per partition of manifest.requested."""
    tree_size: Size
    root_hash: Digest
    note: str
    """C2SP signed note: the checkpoint's text and one signature line per key."""
    previous_size: Size
    consistency_proof: bytes
    """RFC 6962 section 2.1.2 proof from `previous_size`, 32 bytes a node."""
    frontier: bytes
    """Roots of the perfect subtrees of the tree, largest first, 32 bytes each: what the log's writer resumes from."""
    heartbeat: bool = False
    """True when no leaf was added: it says that the log still ends here."""
    signed_at: Timestamp = Field(default_factory=now)


class AuditSignature(Part):
    """One signature of a seal."""

    kid: Identifier
    algorithm: str
    signature: str
    """base64"""


class KmsAudit(Record):
    """One use of a key: who, what, outcome."""

    topic: ClassVar[str] = "kms.audit"
    key_field: ClassVar[str] = "kid"

    kid: Identifier
    actor: Identifier
    action: Identifier
    outcome: Outcome
    algorithm: str
    detail: str = ""
    at: Timestamp = Field(default_factory=now)
    source: str = ""
    """Address that the request came from."""
    request_id: str = ""
    status: int = 0
    """Of HTTP; 0 where it was no request."""
    chain: str = ""
    """The chain of entries that this one stands in; empty: in none."""
    sequence: Size = 0
    """Its place there, from 1."""
    previous: str = ""
    """Digest of the entry before it: SHA-256 over its canonical JSON, hex; empty for the first."""
    signatures: tuple[AuditSignature, ...] = ()
    """Of a seal, over itself without them, and by its place in the chain over all entries before it."""
