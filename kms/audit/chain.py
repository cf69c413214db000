"""Verifies a chain from its first entry on: what is dropped, edited, doubled, reordered or truncated is found and named."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from kms.algorithms import LOG_SUITES
from kms.audit.entry import SEAL, Mark, digest, line, read, signed_bytes
from kms.audit.trail import AUDIT_USE
from kms.base64_text import read_base64
from kms.errors import (
    ChainTruncated,
    EntryDoubled,
    EntryDropped,
    EntryEdited,
    EntryReordered,
    SealWrong,
    Unsealed,
    VerificationError,
)
from kms.keys import PublicKey
from schemas.manifests import KmsAudit
from schemas.record import now

Placed = tuple[KmsAudit, str]
"""An entry and its digest."""

UNSEALED = timedelta(minutes=1)
"""How old an entry may be that no seal covers: writers seal each second."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found good.

    Attributes:
        mark: the last entry.
        entries: how many.
        seals: how many of them.
        unsealed: entries behind the last seal: chained, but not signed yet.
    """

    mark: Mark
    entries: int
    seals: int
    unsealed: int


def lines(file: Path) -> Iterator[Placed]:
    """The entries of a file; memory does not grow with it.

    Raises:
        EntryMalformed: a line is no entry, or not in canonical form.
        ChainTruncated: there is no file, or its last line has no end.
    """
    try:
        with file.open("rb") as content:
            for number, written in enumerate(content, 1):
                where = f"line {number} of {file}"
                if not written.endswith(b"\n"):
                    raise ChainTruncated(
                        f"{where} has no end: it was cut off, or its writer was killed (the next writer will say so)"
                    )
                yield read(written[:-1], where), digest(written[:-1])
    except FileNotFoundError:
        raise ChainTruncated(f"there is no audit at {file}") from None


def records(found: Iterable[KmsAudit]) -> dict[str, list[Placed]]:
    """The entries of a topic by chain, in their order there; one that was sent twice, word for word, counts once."""
    by_chain: dict[str, dict[tuple[int, str], Placed]] = {}
    for entry in found:
        if entry.chain:
            placed = entry, digest(line(entry))
            by_chain.setdefault(entry.chain, {})[entry.sequence, placed[1]] = placed
    return {name: [entries[at] for at in sorted(entries)] for name, entries in by_chain.items()}


def verify(entries: Iterable[Placed], keys: Sequence[PublicKey], known: Iterable[Mark] = ()) -> Verified:
    """Checks a chain.

    Args:
        entries: all of it, from the first on.
        keys: public keys of the use `audit`, with their times.
        known: what was seen of it before; behind that it must go on.

    Raises:
        EntryDropped, EntryEdited, EntryDoubled, EntryReordered, EntryMalformed: of entries.
        SealWrong: a seal's signatures are missing or do not verify.
        ChainTruncated: it ends before what was seen of it.
        Unsealed: entries at its end are older than a minute, and nobody has signed them.
    """
    walk = _Walk([key for key in keys if key.use == AUDIT_USE and key.verifies], known)
    rest = iter(entries)
    here = next(rest, None)
    while here is not None:
        following = next(rest, None)
        walk.step(*here, following, rest)
        here = following
    return walk.end()


class _Walk:
    """Where a verifier is."""

    def __init__(self, keys: Sequence[PublicKey], known: Iterable[Mark]) -> None:
        self._keys = {key.kid: key for key in keys}
        self._known = [mark for mark in known if mark.sequence]
        self._at = Mark("", 0, "")
        self._seals, self._sealed = 0, 0
        self._unsealed: KmsAudit | None = None

    def step(self, entry: KmsAudit, found: str, following: Placed | None, rest: Iterator[Placed]) -> None:
        """The next entry, its digest, the one behind it, and what is behind that."""
        self._check_sequence(entry, following, rest)
        if entry.previous != self._at.digest:
            self._edited(entry, intact=self._seals_itself(entry) if following is None else following[0].previous == found)
        self._at = Mark(entry.chain, entry.sequence, found)
        if entry.action == SEAL:
            _check_seal(entry, self._keys)
            self._seals, self._sealed, self._unsealed = self._seals + 1, entry.sequence, None
        elif self._unsealed is None:
            self._unsealed = entry
        for mark in self._known:
            if mark.sequence == entry.sequence and mark != self._at:
                raise EntryEdited(f"entry {entry.sequence} is not the one that was seen there before: the chain was written anew")

    def end(self) -> Verified:
        """What was found good."""
        at = self._at
        for mark in self._known:
            if mark.chain != at.chain:
                there = f"{at.chain} stands in its place" if at.chain else "nothing is"
                raise ChainTruncated(f"the chain {mark.chain}, seen up to entry {mark.sequence}, is not there: {there}")
            if mark.sequence > at.sequence:
                raise ChainTruncated(f"the chain ends too early: {_those(at.sequence + 1, mark.sequence)} missing at its end")
        if self._unsealed is not None and now() - self._unsealed.at > UNSEALED:
            raise Unsealed(
                f"{_those(self._sealed + 1, at.sequence)} signed by nobody, the first of them of {self._unsealed.at}: a seal "
                "was taken away, or no process with the token came since (a `quantumai kms` command that changes a key seals)"
            )
        return Verified(at, at.sequence, self._seals, at.sequence - self._sealed)

    def _check_sequence(self, entry: KmsAudit, following: Placed | None, rest: Iterator[Placed]) -> None:
        expected, chain = self._at.sequence + 1, self._at.chain or entry.chain
        if entry.chain != chain:
            raise EntryEdited(f"entry {expected} is of another chain: {entry.chain}, not {chain}")
        if entry.sequence < expected:
            raise EntryDoubled(f"entry {entry.sequence} ({_about(entry)}) stands twice")
        if entry.sequence > expected:
            behind = [following[0].sequence] if following is not None else []
            if expected in behind or any(later.sequence == expected for later, _ in rest):
                raise EntryReordered(f"entry {expected} stands behind entry {entry.sequence} ({_about(entry)})")
            raise EntryDropped(f"{_those(expected, entry.sequence - 1)} missing before entry {entry.sequence} ({_about(entry)})")

    def _edited(self, entry: KmsAudit, intact: bool) -> None:
        """Which of two neighbours was edited: this one is as it was when the one behind it names it, or its own signatures hold."""
        which = self._at.sequence if intact and self._at.sequence else entry.sequence
        raise EntryEdited(f"entry {which} was edited: it and its neighbour no longer hang together by their digests")

    def _seals_itself(self, entry: KmsAudit) -> bool:
        try:
            _check_seal(entry, self._keys)
        except SealWrong:
            return False
        return True


def _check_seal(seal: KmsAudit, keys: Mapping[str, PublicKey]) -> None:
    message, signed = signed_bytes(seal), set[str]()
    for signature in seal.signatures:
        key = keys.get(signature.kid)
        if key is None:
            continue
        try:
            key.verify(read_base64(signature.signature), message)
            key.check_place(AUDIT_USE, seal.sequence, seal.at)
        except (VerificationError, ValueError) as error:
            raise SealWrong(
                f"the seal at entry {seal.sequence} does not verify, so what it covers may have been edited: {error}"
            ) from None
        signed.add(key.algorithm)
    missing = [suite for suite in LOG_SUITES if suite not in signed]
    if missing:
        raise SealWrong(f"the seal at entry {seal.sequence} has no signature of a trusted key for {', '.join(missing)}")


def _those(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def _about(entry: KmsAudit) -> str:
    return f"{entry.action} by {entry.actor} at {entry.at:%Y-%m-%d %H:%M:%S}"
