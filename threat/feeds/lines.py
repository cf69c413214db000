"""Bytes into lines, with their place: in one pass, in bounded memory, whatever the bytes are.

A JSON document over several lines, as OCSF's examples are printed, begins with a line that is only `{` and ends with one that
is only `}`; it counts as one line.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

MAX_LINE_BYTES = 1024 * 1024
HEAD_BYTES = 4096
"""What is kept of a line over the limit."""


class Line(NamedTuple):
    """A line without its end.

    Attributes:
        number: of its first line in the stream, from 1.
        offset: of its first byte in the stream.
        end: offset behind it, line end included.
        content: the bytes; only the head where it is over the limit.
        fault: why it cannot be read, if that is known already.
    """

    number: int
    offset: int
    end: int
    content: bytes
    fault: str | None = None


@dataclass(slots=True)
class _Overlong:
    """A line over the limit: what is remembered of it while it goes by."""

    head: bytes
    length: int
    sha256: "hashlib._Hash"


class LineSplitter:
    """Cuts chunks of a stream into lines.

    Args:
        offset: of the first byte that will come.
        number: how many lines stand before it.
    """

    def __init__(self, offset: int = 0, number: int = 0) -> None:
        self.offset = offset
        """Where the line under way begins."""
        self.number = number
        """How many lines stand before it."""
        self._rest = b""
        self._overlong: _Overlong | None = None

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that this chunk ends."""
        if self._overlong is not None:
            first, found, chunk = chunk.partition(b"\n")
            self._grow(first)
            if not found:
                return []
            lines = [self._too_long(ended=True)]
        else:
            lines = []
        pieces = (self._rest + chunk).split(b"\n")
        self._rest = pieces.pop()
        offset, number = self.offset, self.number
        for piece in pieces:
            end = offset + len(piece) + 1
            number += 1
            lines.append(_line(number, offset, end, piece))
            offset = end
        self.offset, self.number = offset, number
        if len(self._rest) > MAX_LINE_BYTES:
            self._overlong = _Overlong(self._rest[:HEAD_BYTES], 0, hashlib.sha256())
            rest, self._rest = self._rest, b""
            self._grow(rest)
        return lines

    def rest(self) -> Line | None:
        """The line without an end behind which the stream ended; None where there is none."""
        if self._overlong is not None:
            return self._too_long(ended=False)
        if not self._rest.strip():
            return None
        return Line(self.number + 1, self.offset, self.offset + len(self._rest), self._rest)

    def _grow(self, piece: bytes) -> None:
        if self._overlong is not None:
            self._overlong.length += len(piece)
            self._overlong.sha256.update(piece)

    def _too_long(self, *, ended: bool) -> Line:
        long = self._overlong
        assert long is not None  # noqa: S101 - both callers have just looked
        start, self._overlong = self.offset, None
        self.number += 1
        self.offset = start + long.length + ended
        return Line(self.number, start, self.offset, long.head, _fault(long.length, long.sha256.hexdigest()))


def documents(lines: list[Line], opened: list[Line]) -> list[Line]:
    """The lines, those of a document over several lines put together; `opened` keeps what is not closed yet.

    A document over the limit, or one in which another begins, is given back as a line with a fault.
    """
    if not opened and not any(line.content == b"{" for line in lines):
        return lines
    whole: list[Line] = []
    for line in lines:
        if opened and line.content == b"{":
            whole.append(_joined(opened, "the document is cut off: another one begins before its end"))
        if opened or line.content == b"{":
            opened.append(line)
            if line.content == b"}" or line.end - opened[0].offset > MAX_LINE_BYTES:
                whole.append(_joined(opened, None))
        else:
            whole.append(line)
    return whole


def _joined(opened: list[Line], fault: str | None) -> Line:
    first, last = opened[0], opened[-1]
    content = b"\n".join(line.content for line in opened)
    opened.clear()
    if len(content) > MAX_LINE_BYTES:
        fault, content = _fault(len(content), hashlib.sha256(content).hexdigest()), content[:HEAD_BYTES]
    return Line(first.number, first.offset, last.end, content, fault)


def unended(opened: list[Line]) -> Line | None:
    """The document behind which the stream ended before it did."""
    return _joined(opened, "the document is cut off: the stream ends before it does") if opened else None


def _line(number: int, offset: int, end: int, piece: bytes) -> Line:
    if len(piece) > MAX_LINE_BYTES:
        return Line(number, offset, end, piece[:HEAD_BYTES], _fault(len(piece), hashlib.sha256(piece).hexdigest()))
    return Line(number, offset, end, piece)


def _fault(length: int, sha256: str) -> str:
    return (
        f"{length:,} bytes are over the limit of {MAX_LINE_BYTES:,} for one line; "
        f"here are its first {HEAD_BYTES:,}, the SHA-256 of all is {sha256}"
    )
