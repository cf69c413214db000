"""Sends the entries of a chain on, to a topic for example: each at least once, in order, from where the last time ended."""

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kms.audit.entry import read
from kms.audit.trail import FILE
from kms.errors import AuditUnwritable
from schemas.manifests import KmsAudit

SENT = "audit.sent"
_BLOCK = 1 << 19
_WIDTH = 512  # one write of this width replaces the last, so that a killed process leaves the one or the other

Send = Callable[[Sequence[KmsAudit]], None]
"""Returns when all of them have been taken."""


@dataclass(frozen=True, slots=True)
class _Sent:
    chain: str = ""
    offset: int = 0


def forward(folder: Path, send: Send) -> int:
    """Sends what was not sent yet, and returns how many entries that were; none while another process does it.

    A process that is killed in between sends some again: same chain, same sequence, same digest.

    Raises:
        AuditUnwritable: the files cannot be read or written.
        EntryMalformed: what stands there is no entry.
        Exception: what `send` raises; what it did not take is sent the next time.
    """
    try:
        state = os.open(folder / SENT, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        audit = os.open(folder / FILE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AuditUnwritable(f"the audit in {folder} cannot be sent on: {error.strerror}") from error
    try:
        fcntl.flock(state, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    else:
        return _forward(state, audit, send)
    finally:
        os.close(state)
        os.close(audit)


def _forward(state: int, audit: int, send: Send) -> int:
    sent, done = _read(state), 0
    first = os.pread(audit, _BLOCK, 0).partition(b"\n")
    if not first[1]:
        return 0
    chain = read(first[0], "the first entry of the audit").chain
    offset = sent.offset if sent.chain == chain else 0
    while whole := os.pread(audit, _BLOCK, offset).rpartition(b"\n")[0]:
        entries = [read(written, f"an entry behind byte {offset} of the audit") for written in whole.split(b"\n")]
        send(entries)
        offset += len(whole) + 1
        os.pwrite(state, json.dumps({"chain": chain, "offset": offset}).encode().ljust(_WIDTH), 0)
        done += len(entries)
    return done


def _read(state: int) -> _Sent:
    try:
        return _Sent(**json.loads(os.pread(state, _WIDTH, 0)))
    except (ValueError, TypeError):
        return _Sent()
