"""The writer of a chain. Any number of threads and processes write to one: a lock across processes orders them, and each reads what
the others wrote before it writes. A process that is killed leaves whole entries, or one without its end, which the next cuts off.
"""

import base64
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kms.audit.entry import BEGIN, NO_KEY, REPAIR, SEAL, Mark, digest, line, read, signed_bytes, write_mark
from kms.errors import AuditUnwritable, EntryMalformed
from kms.keys import Key
from schemas.manifests import AuditSignature, KmsAudit

AUDIT_USE = "audit"
"""The use of keys that seal chains."""

FILE, HEAD = "audit.jsonl", "audit.head"
"""The entries, and a copy of where the last seal stood; in the platform's folder."""

_BLOCK = 1 << 20
_SEAL_START = b'{"action":"' + SEAL.encode() + b'"'
_LOG = logging.getLogger(__name__)

Keys = Callable[[], Sequence[Key]]


class Trail:
    """A chain in a folder.

    Args:
        folder: where its files are.
        origin: what the chain's name begins with, `Settings.origin`; taken when the chain begins.
        writer: this process in entries that it writes of itself.
        keys: to seal with, one per suite; None: this process seals nothing, whoever writes next and can does.
    """

    def __init__(self, folder: Path, origin: str, writer: str, keys: Keys | None = None) -> None:
        self.file, self._head, self._origin, self._writer, self._keys = folder / FILE, folder / HEAD, origin, writer, keys
        self._mark = Mark("", 0, "")
        self._read_to = 0
        self.unsealed = 0
        """Entries behind the last seal, as far as this process has looked."""

    def append(self, *entries: KmsAudit) -> list[KmsAudit]:
        """Writes the entries behind the last one, and returns them as they stand there.

        Raises:
            AuditUnwritable: they cannot be written and none of them was; or what stands there does not hang together.
        """
        with self._alone() as file:
            return self._write(file, self._behind(entries))

    def seal(self) -> KmsAudit | None:
        """Signs all entries up to here; None where there is nothing new, or this process has no keys.

        Raises:
            TokenError, KeyRingError: the keys are not there, or refuse.
            AuditUnwritable: as `append`.
        """
        if self._keys is None:
            return None
        keys = self._keys()
        with self._alone() as file:
            if not self.unsealed:
                return None
            suites = " ".join(key.public.algorithm for key in keys)
            about = KmsAudit(kid=keys[0].public.kid, actor=self._writer, action=SEAL, outcome="SUCCESS", algorithm=suites)
            [seal] = self._behind([about])
            message = signed_bytes(seal)
            signed = [(key.public, base64.b64encode(key.sign(message)).decode()) for key in keys]
            signatures = tuple(AuditSignature(kid=key.kid, algorithm=key.algorithm, signature=value) for key, value in signed)
            [seal] = self._write(file, [seal.model_copy(update={"signatures": signatures})])
            os.fsync(file)
            write_mark(self._head, self._mark)
            return seal

    def _behind(self, entries: Sequence[KmsAudit]) -> list[KmsAudit]:
        chain = self._mark.chain or f"{self._origin}/audit/{secrets.token_hex(4)}"
        placed, previous = [], self._mark.digest
        for sequence, entry in enumerate(entries, self._mark.sequence + 1):
            placed.append(entry.model_copy(update={"chain": chain, "sequence": sequence, "previous": previous}))
            previous = digest(line(placed[-1]))
        return placed

    def _write(self, file: int, entries: Sequence[KmsAudit]) -> list[KmsAudit]:
        lines = [line(entry) for entry in entries]
        content = b"\n".join((*lines, b""))
        if os.write(file, content) != len(content):  # a full disk takes a part
            os.ftruncate(file, self._read_to)
            raise AuditUnwritable(f"{self.file} cannot be written: the disk is full")
        for entry, written in zip(entries, lines, strict=True):
            self._passed(entry, written)
        return list(entries)

    def _passed(self, entry: KmsAudit, written: bytes) -> None:
        self._mark = Mark(entry.chain, entry.sequence, digest(written))
        self._read_to += len(written) + 1
        self.unsealed = 0 if entry.action == SEAL else self.unsealed + 1

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """The file, for this thread alone, with all that others wrote read."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AuditUnwritable(f"{self.file} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # of this opening, so it keeps threads apart, too; it ends with the process
            self._catch_up(file)
            yield file
        except OSError as error:
            raise AuditUnwritable(f"{self.file} cannot be written: {error.strerror}") from error
        finally:
            os.close(file)

    def _catch_up(self, file: int) -> None:
        size = os.fstat(file).st_size
        if size < self._read_to:
            raise AuditUnwritable(
                f"{self.file} is shorter than this process left it: `quantumai kms audit verify` says what is gone"
            )
        if not self._mark.chain and size:
            self._read_to = _last_seal(file, size)
            self._mark = _before(file, self._read_to, size)
        if not size and not self._mark.chain and self._head.exists():
            self._begin_again(file)
            return
        content = os.pread(file, size - self._read_to, self._read_to)
        whole, _, torn = content.rpartition(b"\n")
        for written in whole.split(b"\n") if whole else ():
            self._follow(written)
        if torn:
            os.ftruncate(file, self._read_to)
            cut = f"{len(torn)} bytes of an entry that was never finished, sha256 {digest(torn)}, were cut off"
            _LOG.warning("%s: %s", self.file, cut)
            about = KmsAudit(kid=NO_KEY, actor=self._writer, action=REPAIR, outcome="SUCCESS", algorithm="", detail=cut)
            self._write(file, self._behind([about]))

    def _begin_again(self, file: int) -> None:
        """The first entry of a chain that stands in the place of another one names where that was sealed last."""
        was = " ".join(self._head.read_text().split())[:300]
        about = KmsAudit(kid=NO_KEY, actor=self._writer, action=BEGIN, outcome="SUCCESS", algorithm="", detail=f"follows {was}")
        self._write(file, self._behind([about]))

    def _follow(self, written: bytes) -> None:
        try:
            entry = read(written, f"entry {self._mark.sequence + 1}")
        except EntryMalformed as error:
            raise self._broken(str(error)) from None
        if self._mark.chain and (entry.sequence, entry.previous) != (self._mark.sequence + 1, self._mark.digest):
            raise self._broken(f"entry {entry.sequence} does not hang together with the one before it")
        self._passed(entry, written)

    def _broken(self, why: str) -> AuditUnwritable:
        return AuditUnwritable(
            f"nothing is written behind the end of {self.file}, because {why}: `quantumai kms audit verify` says more; move the "
            "file away, to be looked into, and another chain begins"
        )


def _last_seal(file: int, size: int) -> int:
    """Where the last seal begins; 0 where there is none. What stands before it need not be read to go on."""
    span = _BLOCK
    while True:
        begin = max(0, size - span)
        at = os.pread(file, size - begin, begin).rfind(b"\n" + _SEAL_START)
        if at >= 0:
            return begin + at + 1
        if begin == 0:
            return 0
        span *= 4


def _before(file: int, at: int, size: int) -> Mark:
    """The mark that lets the entry at `at` be the next: as that entry says itself."""
    if at == 0:
        return Mark("", 0, "")
    written = os.pread(file, size - at, at).partition(b"\n")[0]
    seal = read(written, "the last seal")
    return Mark(seal.chain, seal.sequence - 1, seal.previous)
