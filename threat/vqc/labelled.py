"""Labelled events: from files in NSL-KDD's own format, from CSV with a header and a column `label`, or generated."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from threat import synthetic
from threat.errors import DataError
from threat.features import COLUMNS, features
from threat.feeds.normalise import normalise
from threat.vqc.circuit import Floats

NSL_KDD = (
    *("duration", "protocol_type", "service", "flag", "src_bytes", "dst_bytes", "land", "wrong_fragment", "urgent", "hot"),
    *("num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted", "num_root", "num_file_creations"),
    *("num_shells", "num_access_files", "num_outbound_cmds", "is_host_login", "is_guest_login", "count", "srv_count"),
    *("serror_rate", "srv_serror_rate", "rerror_rate", "srv_rerror_rate", "same_srv_rate", "diff_srv_rate"),
    *("srv_diff_host_rate", "dst_host_count", "dst_host_srv_count", "dst_host_same_srv_rate", "dst_host_diff_srv_rate"),
    *("dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate", "dst_host_srv_serror_rate"),
    *("dst_host_rerror_rate", "dst_host_srv_rerror_rate"),
)
"""The 41 features of a line; label and difficulty follow (Tavallaee et al. 2009)."""

WORDS = frozenset({"protocol_type", "service", "flag"})
"""Columns of words rather than numbers."""

BENIGN = frozenset({"normal", "0", "0.0", "false", "benign"})


@dataclass(frozen=True, slots=True)
class Labelled:
    """Events with an answer.

    Attributes:
        columns: (k,) names.
        features: (events, k).
        labels: (events,) 1 for threats, 0 for others.
    """

    columns: tuple[str, ...]
    features: Floats
    labels: Floats

    def take(self, rows: Sequence[int] | Floats) -> "Labelled":
        """Some of them."""
        return Labelled(self.columns, self.features[rows], self.labels[rows])


def read(paths: Sequence[Path]) -> Labelled:
    """The events of all files, which must have the same columns.

    Raises:
        DataError: a file without events or with others' columns, or a line that does not fit; names it.
    """
    parts = [_file(path) for path in paths]
    if len({part.columns for part in parts}) != 1:
        raise DataError("the files have different columns; train on one kind of data at a time")
    return Labelled(parts[0].columns, *(np.concatenate([getattr(part, name) for part in parts]) for name in ("features", "labels")))


def generated(count: int, seed: int) -> Labelled:
    """The project's own events, half of them attacks, in every feed's words in turn; the features are the platform's."""
    made = list(synthetic.events(count, seed, attacks=0.5))
    forms = synthetic.FORMS
    lines = [synthetic.line(event, forms[place % len(forms)]) for place, event in enumerate(made)]
    observed = [normalise(line, f"generated/{seed}/{place}") for place, line in enumerate(lines)]
    labels = np.array([bool(event.scenario.technique) for event in made], dtype=np.float64)
    return Labelled(COLUMNS, features(observed), labels)


def word(text: str) -> float:
    """The code of a word: its CRC-32, which needs no vocabulary and is exact as a float."""
    return float(zlib.crc32(text.strip().lower().encode()))


def halves(labels: Floats, share: float, seed: int) -> tuple[Floats, Floats]:
    """Rows to learn from and to hold out, `share` of each class held out."""
    draw = np.random.default_rng(seed)
    classes = [draw.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]
    cuts = [round(share * len(rows)) for rows in classes]
    held = np.sort(np.concatenate([rows[:cut] for rows, cut in zip(classes, cuts, strict=True)]))
    kept = np.sort(np.concatenate([rows[cut:] for rows, cut in zip(classes, cuts, strict=True)]))
    return kept, held


def _file(path: Path) -> Labelled:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt") as lines:
            rows = csv.reader(lines)
            head = list(islice(rows, 1))
            return _parsed(path, head[0] if head else [], rows)
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error) as error:
        raise DataError(f"{path} is no table of text: {error}") from error


def _parsed(path: Path, head: list[str], rows: Iterator[list[str]]) -> Labelled:
    if len(head) == len(NSL_KDD) + 2 and "label" not in head:
        columns, place, rows = list(NSL_KDD), len(NSL_KDD), chain([head], rows)
    elif "label" in head:
        place = head.index("label")
        columns = head[:place] + head[place + 1 :]
    else:
        raise DataError(f"{path} is neither NSL-KDD (43 columns) nor CSV with a header and a column `label`")
    width = max(len(columns) + 1, len(head))
    features, labels = [], []
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise DataError(f"{path}, event {number}: {len(row)} columns, the others have {width}")
        values = (row[:place] + row[place + 1 :])[: len(columns)]
        try:
            features.append([_number(name, value) for name, value in zip(columns, values, strict=True)])
        except ValueError as error:
            raise DataError(f"{path}, event {number}: {error}") from None
        labels.append(row[place].strip().lower() not in BENIGN)
    if not labels:
        raise DataError(f"{path} holds no events")
    return Labelled(tuple(columns), np.array(features), np.array(labels, dtype=np.float64))


def _number(name: str, value: str) -> float:
    if name in WORDS:
        return word(value)
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name} is {value!r}, no number") from None
