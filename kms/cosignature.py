"""Cosignatures of witnesses below a checkpoint, c2sp.org/tlog-cosignature: timestamped Ed25519 (0x04) or ML-DSA-44 (0x06).

A cosignature says that its witness has seen the log grow to this tree and no other. The Ed25519 one is over the note's text; the
ML-DSA-44 one over the witness's name, the time, and the log's origin, size and root alone.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from kms.algorithms import algorithm, raw_public_key, signature_algorithm
from kms.errors import MalformedNote, WrongSignature
from kms.keys import Key
from kms.note import Checkpoint, Note, SignatureLine
from kms.spki import wrap

KINDS: Mapping[str, int] = MappingProxyType({"Ed25519": 0x04, "ML-DSA-44": 0x06})
"""Algorithm -> the specification's signature type byte."""

_NAME = re.compile(r"[^\s+]{1,255}")
_TIME_BYTES, _KEY_ID_BYTES = 8, 4


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness as verifiers know it.

    Attributes:
        name: the witness's name, a URL without a scheme as a rule.
        algorithm: Ed25519 or ML-DSA-44.
        raw: its public key.
    """

    name: str
    algorithm: str
    raw: bytes

    def __post_init__(self) -> None:
        if self.algorithm not in KINDS or len(self.raw) != algorithm(self.algorithm).public_bytes:
            raise MalformedNote(f"{self.name!r} is no witness: its key is no {' or '.join(KINDS)} key")
        if not _NAME.fullmatch(self.name):
            raise MalformedNote(f"{self.name!r} is no name of a witness: 1 to 255 characters without blanks and plus signs")

    @classmethod
    def of(cls, name: str, key: Key) -> "WitnessKey":
        """The witness of a key."""
        return cls(name, key.public.algorithm, raw_public_key(key.public.algorithm, key.public.spki))

    @classmethod
    def read(cls, vkey: str) -> "WitnessKey":
        """The witness of a C2SP verifier key: NAME+KEY ID+BASE64.

        Raises:
            MalformedNote: it is none, or its parts contradict each other.
        """
        name, _, rest = vkey.partition("+")
        key_id, _, encoded = rest.partition("+")
        names = {kind: algorithm for algorithm, kind in KINDS.items()}
        try:
            material = base64.b64decode(encoded, validate=True)
            found = cls(name, names[material[0]], material[1:])
        except (binascii.Error, ValueError, KeyError, IndexError):
            raise MalformedNote(f"{vkey[:60]!r} is no verifier key of a witness: NAME+KEY ID+BASE64 of {_kinds()}") from None
        if found.key_id.hex() != key_id:
            raise MalformedNote(f"the verifier key of {name} has the key id {key_id}, its contents are {found.key_id.hex()}")
        return found

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that name the key in a signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._material()).digest()[:_KEY_ID_BYTES]

    @property
    def vkey(self) -> str:
        """What is given to verifiers."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self._material()).decode()}"

    def verify(self, note: Note) -> datetime | None:
        """When it cosigned the note; None where it did not.

        Raises:
            WrongSignature: a line names the key, and its signature does not verify.
        """
        for line in note.lines:
            if (line.name, line.key_id) == (self.name, self.key_id):
                return self._verify(line, note)
        return None

    def _verify(self, line: SignatureLine, note: Note) -> datetime:
        seconds, signature = int.from_bytes(line.signature[:_TIME_BYTES], "big"), line.signature[_TIME_BYTES:]
        row = signature_algorithm(self.algorithm)
        checkpoint = note.checkpoint
        try:
            row.verify(wrap(row.oid, self.raw), signature, _message(self, note, seconds))
            return datetime.fromtimestamp(seconds, UTC)
        except (WrongSignature, OverflowError, ValueError, OSError) as error:
            what = f"the cosignature of {self.name} below the checkpoint of {checkpoint.origin} at size {checkpoint.size}"
            raise WrongSignature(f"{what}: {error}") from error

    def _material(self) -> bytes:
        return bytes((KINDS[self.algorithm],)) + self.raw


def cosign(note: Note, witness: WitnessKey, key: Key, at: datetime) -> str:
    """The signature line of a witness, to be put below the note.

    Raises:
        TokenError: the token refuses.
    """
    seconds = int(at.timestamp())
    signature = seconds.to_bytes(_TIME_BYTES, "big") + key.sign(_message(witness, note, seconds))
    return f"— {witness.name} {base64.b64encode(witness.key_id + signature).decode()}\n"


def _message(witness: WitnessKey, note: Note, seconds: int) -> bytes:
    if witness.algorithm == "Ed25519":
        return f"cosignature/v1\ntime {seconds}\n{note.text}".encode()
    return _subtree(witness.name, note.checkpoint, seconds)


def _subtree(name: str, checkpoint: Checkpoint, seconds: int) -> bytes:
    """The specification's `cosigned_message`, of a tree from its first leaf on."""
    parts = (_opaque(name), seconds.to_bytes(8, "big"), _opaque(checkpoint.origin), bytes(8), checkpoint.size.to_bytes(8, "big"))
    return b"subtree/v1\n\0" + b"".join(parts) + checkpoint.root


def _opaque(text: str) -> bytes:
    content = text.encode()
    if not 0 < len(content) < 256:
        raise MalformedNote(f"{text[:40]!r}… has {len(content)} bytes; a cosignature has room for 255")
    return bytes((len(content),)) + content


def _kinds() -> str:
    return " or ".join(f"0x{kind:02x} ({name})" for name, kind in KINDS.items())
