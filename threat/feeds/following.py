"""Files and folders as sets of streams: what an earlier run left behind, what grows, is rotated away or truncated."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from schemas.threats import FeedPosition
from threat.errors import FeedError
from threat.feeds.tail import Batch, Tail

Known = Mapping[str, FeedPosition]
Claim = Callable[[list[Tail]], Known]


class Streams:
    """All streams of one place.

    Args:
        place: a file, a folder (its files, not those of folders inside), or `-`: standard input.
        claim: called with streams that are about to be read; returns how far each known stream has been read. Whoever
            claims later takes over.

    Raises:
        FeedError: there is no such place.
    """

    def __init__(self, place: str, claim: Claim) -> None:
        self._path, self._claim = Path(place), claim
        self._tails: dict[object, Tail] = {}
        self._known: Known = {}
        self._copies: dict[object, int] = {}
        self._first = True
        self._pipe = place == "-"
        if not self._pipe and not self._path.exists():
            raise FeedError(f"there is no file or folder {place}")

    def read(self, *, final: bool) -> Iterator[Batch]:
        """What has come in all streams since the last call, one stream after the other; `final` as in `Tail.read`."""
        listed = self._listed()
        for key, tail in list(self._tails.items()):
            if key not in listed:  # rotated away: nothing will be written to it any more
                yield from tail.read(final=True)
                self._forget(key)
            elif not tail.unchanged():
                self._forget(key)
        for tail in list(self._tails.values()):
            yield from tail.read(final=final)
        for key, tail in self._fresh(listed, final=final):
            if self._begun(key, tail):
                yield from tail.read(final=final)
        self._first = False

    @property
    def heads(self) -> set[str]:
        """The streams that are being read."""
        return {tail.head for tail in self._tails.values()}

    def close(self) -> None:
        """Closes all files."""
        for key in list(self._tails):
            self._forget(key)

    def _forget(self, key: object) -> None:
        self._tails.pop(key).close()

    def _listed(self) -> dict[object, Path]:
        """The files that are there now, by what stays theirs when they are renamed; oldest first."""
        if self._pipe:
            return {"-": self._path}
        found = [(path.stat(), path) for path in self._candidates() if path.is_file() and not path.name.startswith(".")]
        return {(stat.st_dev, stat.st_ino): path for stat, path in sorted(found, key=lambda each: (each[0].st_mtime_ns, each[1]))}

    def _candidates(self) -> list[Path]:
        """A folder's files; a file, and at the start those beside it into which it may have been rotated."""
        if self._path.is_dir():
            return list(self._path.iterdir())
        if self._first:
            return [path for path in self._path.parent.iterdir() if path.name.startswith(self._path.name)]
        return [self._path] if self._path.exists() else []

    def _fresh(self, listed: Mapping[object, Path], *, final: bool) -> list[tuple[object, Tail]]:
        """The streams that are new here and have begun; taken over from whoever fed them."""
        unknown = {key: path for key, path in listed.items() if key not in self._tails and self._copies.get(key) != _size(path)}
        fresh = [(key, self._open(path, final=final)) for key, path in unknown.items()]
        for _, tail in fresh:
            if not tail.head:
                tail.close()
        fresh = [(key, tail) for key, tail in fresh if tail.head]
        if fresh:
            self._known = {**self._claim([tail for _, tail in fresh]), **self._positions()}
        return self._left_behind(fresh)

    def _begun(self, key: object, tail: Tail) -> bool:
        """Goes to where the stream was left; False for a copy of one that is being read. One by one: several may begin alike."""
        reading = self._positions()
        tail.resume({**self._known, **reading})
        if tail.position.feed in reading:
            self._copies[key] = _size(Path(tail.path))
            tail.close()
            return False
        self._tails[key] = tail
        return True

    def _positions(self) -> dict[str, FeedPosition]:
        return {tail.position.feed: tail.position for tail in self._tails.values()}

    def _left_behind(self, fresh: list[tuple[object, Tail]]) -> list[tuple[object, Tail]]:
        """Of the files beside a file only those that it was rotated into since it was last read: from the newest known one on."""
        if self._pipe or self._path.is_dir() or not self._first:
            return fresh
        begun = [place for place, (_, tail) in enumerate(fresh) if f"{tail.head}.0" in self._known]
        own = [place for place, (_, tail) in enumerate(fresh) if Path(tail.path) == self._path]
        first = min(begun[-1] if begun else len(fresh), *(own or [len(fresh)]))
        for _, tail in fresh[:first]:
            tail.close()
        return fresh[first:]

    def _open(self, path: Path, *, final: bool) -> Tail:
        return Tail(sys.stdin.buffer, "-", final=final) if self._pipe else Tail.open(path, final=final)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
