"""One entry: its canonical bytes, its digest, its line in the file."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import rfc8785
from pydantic import ValidationError

from kms.errors import EntryMalformed
from kms.whole_file import write_whole
from schemas.codec import explain
from schemas.manifests import KmsAudit

SEAL = "audit.seal"
"""The action of an entry that signs all before it."""

REPAIR = "audit.repair"
"""The action of an entry that stands where one was never finished."""

BEGIN = "audit.begin"
"""The action of the first entry of a chain that stands where another one was."""

NOBODY, NO_KEY = "anonymous", "none"
"""The actor of who proved nothing; the key of what touched none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a chain is known: its entry `sequence` has this digest."""

    chain: str
    sequence: int
    digest: str


def write_mark(file: Path, mark: Mark) -> None:
    """Writes a mark, whole or not at all."""
    write_whole(file, (json.dumps(asdict(mark)) + "\n").encode())


def read_mark(file: Path) -> Mark | None:
    """The mark in a file; None where there is no file.

    Raises:
        EntryMalformed: it is none.
    """
    try:
        found = Mark(**json.loads(file.read_text()))
        if not isinstance(found.sequence, int) or not isinstance(found.digest, str):
            raise TypeError("sequence or digest")
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise EntryMalformed(f"{file} does not say how far an audit was seen: {error}") from None
    return found


def line(entry: KmsAudit) -> bytes:
    """The entry in canonical JSON (RFC 8785), which is what is hashed, and its line in the file.

    Fields that have their default are left out, so that a field that a later version adds changes no earlier entry.
    """
    return rfc8785.dumps(entry.model_dump(mode="json", exclude_defaults=True))


def signed_bytes(seal: KmsAudit) -> bytes:
    """What the signatures of a seal are over."""
    return line(seal.model_copy(update={"signatures": ()}))


def digest(content: bytes) -> str:
    """Of a line, for the entry behind it: SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes, where: str) -> KmsAudit:
    """The entry in a line.

    Raises:
        EntryMalformed: it is none, or not written in the one way that an entry is written.
    """
    try:
        entry = KmsAudit.model_validate_json(content)
        canonical = line(entry) == content
    except ValidationError as error:
        raise EntryMalformed(f"{where} is no entry of an audit: {explain(error)}") from None
    except ValueError as error:
        raise EntryMalformed(f"{where} is no entry of an audit: {error}") from None
    if not canonical:
        raise EntryMalformed(f"{where} is not in canonical form: it was edited")
    return entry
