"""One stream of bytes, a file or a pipe, read from where an earlier run stopped; recognised again by what is in it.

Names and inodes change when logs are rotated, compressed or moved to another machine; the first line does not. Streams that
begin alike are told apart by the last line that was answered for.
"""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

import orjson

from schemas.threats import FeedPosition
from threat.errors import FeedError
from threat.feeds.lines import Line, LineSplitter, documents, unended

CHUNK_BYTES = 1024 * 1024
_CHECKED_BYTES = 1024
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines in their order, and where the stream stands behind them."""

    lines: list[Line]
    position: FeedPosition


class Tail:
    """A stream that is being read.

    Args:
        file: open, at its beginning.
        path: its name, for people.
        final: nothing will be added to it: its first line may be without an end.
    """

    def __init__(self, file: BinaryIO, path: str, *, final: bool) -> None:
        self._file, self.path = file, path
        self._pipe, self._packed = not file.seekable(), isinstance(file, gzip.GzipFile)
        self._passed = 0
        start = file.readline(_CHECKED_BYTES)
        self._pushed = start if self._pipe else b""
        self._read: Callable[[int], bytes] = file.read1 if self._pipe else file.read  # type: ignore[attr-defined]
        whole = final or self._pipe or start.endswith(b"\n") or len(start) == _CHECKED_BYTES
        self.head = hashlib.sha256(start.rstrip(b"\n")).hexdigest()[:32] if start and whole else ""
        """Names the stream; empty while its first line is not there."""
        self.position = FeedPosition(feed=self.head or "empty", path=path, offset=0, line=0)
        self._splitter = LineSplitter()
        self._opened: list[Line] = []

    @classmethod
    def open(cls, path: Path, *, final: bool) -> "Tail":
        """The file's stream; what is gzipped is read unpacked.

        Raises:
            FeedError: it cannot be read.
        """
        try:
            with path.open("rb") as file:
                packed = file.read(2) == _GZIP
            return cls(gzip.open(path) if packed else path.open("rb"), str(path), final=final)  # type: ignore[arg-type]
        except (OSError, EOFError) as error:
            raise FeedError(f"{path} cannot be read: {error}") from error

    def resume(self, known: Mapping[str, FeedPosition]) -> None:
        """Goes to where an earlier run stopped; to the beginning where none was.

        Raises:
            FeedError: a pipe that began as one that was read before, and then went on differently.
        """
        for number in count():
            feed = f"{self.head}.{number}"
            found = known.get(feed, FeedPosition(feed=feed, path=self.path, offset=0, line=0))
            if self._continues(found):
                break
            if self._pipe:
                raise FeedError("what comes in began like a stream that was fed before, and is another: feed it from a file")
        self.position = found.model_copy(update={"path": self.path})
        self._splitter, self._opened = LineSplitter(found.offset, found.line), []
        self._go_to(found.offset)

    def unchanged(self) -> bool:
        """Whether it still is the stream that was read so far: False after it was truncated or written anew."""
        if self._pipe or self._packed:
            return True
        place = self._file.tell()
        self._file.seek(0, os.SEEK_END)
        same = self._file.tell() >= place and self._continues(self.position)
        self._file.seek(place)
        return same

    def read(self, *, final: bool) -> Iterator[Batch]:
        """What has come since the last call.

        Args:
            final: nothing will come any more: what is left without a line end is answered for, too.

        Raises:
            FeedError: it cannot be read any further.
        """
        while chunk := self._chunk():
            before = self.position.offset
            batch = self._batch(documents(self._splitter.feed(chunk), self._opened))
            if batch.position.offset > before:
                yield batch
        if final and (rest := self._rest()) is not None:
            yield rest

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _chunk(self) -> bytes:
        try:
            pushed, self._pushed = self._pushed, b""
            return pushed or self._read(CHUNK_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise FeedError(f"{self.path} cannot be read behind byte {self._splitter.offset:,}: {error}") from error

    def _batch(self, lines: list[Line]) -> Batch:
        """The lines, and the position behind them: before a document that is not closed yet."""
        lines = [line for line in lines if line.content.strip()]
        offset, number = self._splitter.offset, self._splitter.number
        if self._opened:
            offset, number = self._opened[0].offset, self._opened[0].number - 1
        update: dict[str, object] = {"offset": offset, "line": number}
        if offset > self.position.offset:
            update["unfinished"] = 0
        if lines:
            update |= _check(lines[-1])
        self.position = self.position.model_copy(update=update)
        return Batch(lines, self.position)

    def _rest(self) -> Batch | None:
        """What stands behind the last line end. It is read again, whole, should it be completed; unless it is whole already."""
        rest, document = self._splitter.rest(), unended(self._opened)
        left = [line for line in (document, rest) if line is not None]
        if not left:
            return None
        end = left[-1].end
        if len(left) == 1 and left[0].fault is None and _is_json(left[0].content):
            update = {"offset": end, "line": left[0].number, "unfinished": 0, **_check(left[0])}
        elif end - self.position.offset == self.position.unfinished:
            return None
        else:
            update = {"unfinished": end - self.position.offset}
        self.position = self.position.model_copy(update=update)
        return Batch(left, self.position)

    def _continues(self, position: FeedPosition) -> bool:
        """Whether the last line that was answered for stands where it stood."""
        if not position.checked:
            return True
        self._go_to(position.last)
        found = self._take(position.checked)
        return hashlib.sha256(found).hexdigest() == position.check

    def _go_to(self, offset: int) -> None:
        """Seeks; a pipe is read up to there."""
        if not self._pipe:
            self._file.seek(offset)
            return
        while self._passed < offset and self._take(min(CHUNK_BYTES, offset - self._passed)):
            pass

    def _take(self, length: int) -> bytes:
        """So many bytes, or what there is; those first that were looked at to know the stream."""
        pushed, self._pushed = self._pushed[:length], self._pushed[length:]
        taken = pushed + self._file.read(length - len(pushed))
        self._passed += len(taken)
        return taken


def _check(line: Line) -> dict[str, object]:
    covered = line.content[:_CHECKED_BYTES]
    return {"last": line.offset, "checked": len(covered), "check": hashlib.sha256(covered).hexdigest()}


def _is_json(content: bytes) -> bool:
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return True
