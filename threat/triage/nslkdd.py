"""NSL-KDD for triage: connections as numbers, with a few that the protocol suggests (Tavallaee et al. 2009)."""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from threat.errors import DataError
from threat.vqc.labelled import NSL_KDD, WORDS

Floats = NDArray[np.float64]

LOGIN = ("telnet", "ftp", "pop_3", "imap4", "login", "shell", "exec", "klogin", "kshell", "rje", "ssh", "pop_2", "nntp")
"""Services behind a login."""

_NUMBERS = tuple(name for name in NSL_KDD if name not in WORDS)


@dataclass(frozen=True, slots=True)
class Connections:
    """Labelled connections.

    Attributes:
        numbers: (n, 38) log(1 + x) of the numeric columns, in the order of the files.
        words: (n, 3) protocol, service and flag.
        suggested: (n, 5) refused login, upload to a file server, log ratio of bytes, login service, guest or hot.
        kind: (n,) the type of attack, `normal` for none.
    """

    numbers: Floats
    words: NDArray[np.str_]
    suggested: Floats
    kind: NDArray[np.str_]

    @property
    def attack(self) -> NDArray[np.bool_]:
        """(n,)."""
        return np.asarray(self.kind != "normal")

    @property
    def signature(self) -> NDArray[np.bool_]:
        """(n,): a login service that answered and let nobody in, or a file server that was written to."""
        return np.asarray(self.suggested[:, :2].any(1))

    @property
    def everything(self) -> Floats:
        """(n, 43): all numbers."""
        return np.column_stack([self.numbers, self.suggested])

    def take(self, rows: NDArray[Any]) -> "Connections":
        """Some of them."""
        return Connections(self.numbers[rows], self.words[rows], self.suggested[rows], self.kind[rows])


def read(path: Path) -> Connections:
    """The connections of a file, gzipped or not.

    Raises:
        DataError: it is not NSL-KDD.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt") as file:
            rows = [row for row in csv.reader(file) if row]
        table = np.array([row[: len(NSL_KDD)] for row in rows])
        raw = {name: table[:, place] for place, name in enumerate(NSL_KDD)}
        numbers = {name: raw[name].astype(np.float64) for name in _NUMBERS}
        kind = np.array([row[len(NSL_KDD)].strip().lower() for row in rows])
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{path} is not NSL-KDD, whose lines have 41 features, a label and a difficulty: {error}") from error
    login = np.isin(raw["service"], LOGIN)
    suggested = [
        login & (numbers["logged_in"] == 0) & (numbers["dst_bytes"] > 0),
        (raw["service"] == "ftp_data") & (numbers["src_bytes"] == 0) & (numbers["dst_bytes"] > 0),
        np.log1p(numbers["src_bytes"]) - np.log1p(numbers["dst_bytes"]),
        login,
        (numbers["is_guest_login"] > 0).astype(np.float64) + (numbers["hot"] > 0),
    ]
    words = np.column_stack([raw[name] for name in ("protocol_type", "service", "flag")])
    return Connections(
        np.log1p(np.column_stack(list(numbers.values()))), words, np.column_stack(suggested).astype(np.float64), kind
    )


class Vocabulary:
    """Words to codes; what was not in the training has one code of its own.

    Args:
        words: (n, k) of the training.
    """

    def __init__(self, words: NDArray[np.str_]) -> None:
        self._known = [np.unique(column) for column in words.T]
        self.sizes = [len(known) + 1 for known in self._known]
        """How many codes each column has, the one for the unknown included."""

    def codes(self, words: NDArray[np.str_]) -> NDArray[np.int64]:
        """(n, k)."""
        columns = []
        for known, column in zip(self._known, words.T, strict=True):
            place = np.minimum(np.searchsorted(known, column), len(known) - 1)
            columns.append(np.where(known[place] == column, place, len(known)))
        return np.column_stack(columns)

    def indicators(self, words: NDArray[np.str_]) -> Floats:
        """(n, sum of known words): one column a known word."""
        codes = self.codes(words)
        return np.column_stack([np.eye(size)[codes[:, place], :-1] for place, size in enumerate(self.sizes)])
