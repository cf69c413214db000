"""Checkpoints as C2SP signed notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), signed by several algorithms at once.

A note's text is the log's origin, its size, its root hash and extension lines: the suites that MUST sign it, so that stripping a
signature line breaks the note; the epoch of the policy that demands them (`kms.epochs`); and the time. The specification assigns
no signature type byte to ECDSA-P384 with SHA-384 or to ML-DSA-65, so both use 0xff, followed by `urn:quantumai:note:<algorithm>`,
in the key id: SHA-256(key name || 0x0A || 0xff || identifier || SPKI)[:4]. The key name is the origin.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kms.base64_text import read_base64
from kms.epoch_rules import demanded
from kms.errors import BrokenAlgorithm, MalformedNote, MissingSuite, OutOfForce, WrongSignature
from kms.keys import LOG_USE, Key, PublicKey
from kms.trust import TrustRoot

MAX_NOTE_CHARACTERS = 256 * 1024
_TEXT = re.compile(
    r"(?P<origin>\S+)\n(?P<size>\d+)\n(?P<root>\S+)\n"
    r"suites (?P<suites>\S+(?: \S+)*)\n(?:epoch (?P<epoch>\d{1,9})\n)?"
    r"(?:anchor (?P<anchor>\S+)\n)?(?:anchored (?P<anchored>\d{1,19} \S+)\n)?time (?P<time>\S+)\n"
)
_LINE = re.compile(r"— (?P<name>\S+) (?P<signature>\S+)")
_KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Anchored:
    """Names an anchored checkpoint, in the text of those that follow it.

    Attributes:
        size: its number of leaves.
        digest: SHA-256 of its text.
    """

    size: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.size} {base64.b64encode(self.digest).decode()}"

    @classmethod
    def read(cls, text: str) -> "Anchored":
        """What `str` has written; raises ValueError."""
        size, _, digest = text.partition(" ")
        return cls(int(size), base64.b64decode(digest, validate=True))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note says.

    Attributes:
        origin: the log's name.
        size: number of leaves.
        root: root hash at that size, 32 bytes.
        suites: algorithms that must all have signed.
        signed_at: when, UTC.
        epoch: the policy epoch under which it is signed; 0, without a line, before there were epochs.
        anchor: the algorithm of the anchor that it carries, beside the suites; empty, without a line, where it carries none.
        anchored: the last checkpoint before it that carries one, so that none can be taken away unseen.
    """

    origin: str
    size: int
    root: bytes
    suites: tuple[str, ...]
    signed_at: datetime
    epoch: int = 0
    anchor: str = ""
    anchored: Anchored | None = None

    @property
    def last_anchored(self) -> Anchored | None:
        """What the next checkpoint names as the last one that is anchored."""
        return Anchored(self.size, hashlib.sha256(self.text().encode()).digest()) if self.anchor else self.anchored

    def text(self) -> str:
        """What is signed."""
        root = base64.b64encode(self.root).decode()
        time = self.signed_at.isoformat(timespec="microseconds")
        epoch = f"epoch {self.epoch}\n" if self.epoch else ""
        anchor = f"anchor {self.anchor}\n" if self.anchor else ""
        anchored = f"anchored {self.anchored}\n" if self.anchored else ""
        return f"{self.origin}\n{self.size}\n{root}\nsuites {' '.join(self.suites)}\n{epoch}{anchor}{anchored}time {time}\n"


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature below a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note, read but not verified."""

    checkpoint: Checkpoint
    text: str
    lines: tuple[SignatureLine, ...]


def sign_note(checkpoint: Checkpoint, keys: Sequence[Key]) -> str:
    """The note, with one signature line per key."""
    text = checkpoint.text()
    lines = [_line(checkpoint.origin, key.public, key.sign(text.encode())) for key in keys]
    return f"{text}\n{''.join(lines)}"


def read_note(note: str) -> Note:
    """The note's parts.

    Raises:
        MalformedNote: it is no checkpoint, or not written in the one way that this checkpoint is written.
    """
    text, blank, below = note.rpartition("\n\n")
    text += "\n"
    found = _TEXT.fullmatch(text)
    if not blank or found is None or len(note) > MAX_NOTE_CHARACTERS or not below.endswith("\n"):
        raise MalformedNote("the note is no checkpoint: origin, size, root, `suites …` and `time …`, a blank line, signature lines")
    try:
        checkpoint = Checkpoint(
            found["origin"],
            int(found["size"]),
            base64.b64decode(found["root"], validate=True),
            tuple(found["suites"].split(" ")),
            datetime.fromisoformat(found["time"]),
            int(found["epoch"] or 0),
            found["anchor"] or "",
            Anchored.read(found["anchored"]) if found["anchored"] else None,
        )
        lines = tuple(_read_line(line) for line in below[:-1].split("\n"))
    except (ValueError, binascii.Error) as error:
        raise MalformedNote(f"the note is no checkpoint: {error}") from error
    if checkpoint.text() != text or len(checkpoint.root) != hashlib.sha256().digest_size:
        raise MalformedNote(
            "the note's text is not in canonical form: leading zeros, padding, spaces, or a root that is not 32 bytes"
        )
    if len(set(lines)) != len(lines):
        raise MalformedNote("a signature line of the note stands twice")
    return Note(checkpoint, text, lines)


def verify_note(note: Note, trust: TrustRoot, *, covered: bool = False) -> None:
    """Checks that every suite that the policy or the note itself demands has signed the note, by keys that are trusted.

    The policy is that of the epoch which the note names. Signatures by unknown keys, and by broken algorithms, are ignored, as the
    specification demands; one by a known key that does not verify breaks the note.

    Args:
        note: what to check.
        trust: whose signatures count.
        covered: a newer checkpoint of the log, which is verified, too, continues this one; then keys count as they stood when it
            was signed, though they were revoked since: a thief who wrote it later would have to write what is covered anyway.

    Raises:
        MissingSuite: a demanded suite has no signature of a trusted key, or the note does not demand what the trust root does.
        UnknownEpoch, NotAllowed, PolicyRollback, ExpiredPolicy: as `kms.epoch_rules.demanded`.
        BrokenAlgorithm: it stands on broken algorithms alone.
        WrongSignature: a trusted key's signature does not verify.
        OutOfForce: a trusted key was not in force then or there.
    """
    checkpoint = note.checkpoint
    where = f"checkpoint of {checkpoint.origin} at size {checkpoint.size}"
    policy = trust.policy
    suites = demanded(policy, checkpoint.epoch, checkpoint.suites, checkpoint.signed_at, where)
    if not suites:
        raise BrokenAlgorithm(
            f"the {where} stands on {', '.join(checkpoint.suites)} alone, which the policy calls broken: it proves nothing; look "
            "for a later checkpoint of the log, or an anchor"
        )
    keys = trust.verified(LOG_USE) if covered else trust.verifying(LOG_USE)
    known = {key_id(checkpoint.origin, key): key for key in keys if key.algorithm not in policy.broken}
    signed: set[str] = set()
    for line in note.lines:
        key = known.get(line.key_id) if line.name == checkpoint.origin else None
        if key is not None:
            try:
                key.verify(line.signature, note.text.encode())
                key.check_place(checkpoint.origin, checkpoint.size, checkpoint.signed_at)
            except (WrongSignature, OutOfForce) as error:
                raise type(error)(f"the {where}: {error}") from error
            signed.add(key.algorithm)
    missing = [suite for suite in suites if suite not in signed]
    if missing:
        raise MissingSuite(f"the {where} has no signature of a trusted key for {', '.join(missing)}")


def revoked(note: Note, trust: TrustRoot) -> bool:
    """Whether one of its signatures is by a key that was revoked since: then they cannot all count any more."""
    lost = [key for key in trust.keys if key.use == LOG_USE and key.life.revoked is not None]
    return any(signed_by(note, key) for key in lost)


def signed_by(note: Note, key: PublicKey) -> bool:
    """Whether there is a signature line that names the key; the signature itself is not looked at."""
    origin = note.checkpoint.origin
    return any((line.name, line.key_id) == (origin, key_id(origin, key)) for line in note.lines)


def key_id(name: str, key: PublicKey) -> bytes:
    """The 4 bytes that name a key in a signature line."""
    identifier = f"urn:quantumai:note:{key.algorithm}".encode()
    return hashlib.sha256(name.encode() + b"\n\xff" + identifier + key.spki).digest()[:_KEY_ID_BYTES]


def _line(name: str, key: PublicKey, signature: bytes) -> str:
    return f"— {name} {base64.b64encode(key_id(name, key) + signature).decode()}\n"


def _read_line(line: str) -> SignatureLine:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"not a signature line: {line[:80]!r}")
    content = read_base64(found["signature"])
    return SignatureLine(found["name"], content[:_KEY_ID_BYTES], content[_KEY_ID_BYTES:])
