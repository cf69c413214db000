"""A night: the same circuits as every night, other seeds, in a folder of its own; and all nights before it."""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from em.harness.plan import Scope
from em.harness.store import Store

FAMILIES = ("random", "ising", "qaoa")
METHODS = (
    "raw",
    "readout",
    "trex",
    "zne-linear",
    "zne-richardson",
    "readout-zne-linear",
    "readout-zne-exponential",
    "trex-zne-exponential",
)
MORE = (
    "zne-quadratic",
    "readout-zne-adaptive",
    "readout-zne-poly-exponential",
    "correlated-zne-exponential",
    "readout-dd",
    "readout-twirl-zne-exponential",
    "readout-pec",
)
"""Dearer to simulate, or variants: a tenth of the circuits, two devices and two budgets are enough to see them break."""

BUDGETS = (256, 1024, 4096, 16384, 65536)
BACKENDS = ("aer_noisy", "fake_jakarta", "fake_guadalupe", "fake_kolkata")
CIRCUITS = 200

_NAME = re.compile(r"^(\d{4}-\d{2}-\d{2})-([0-9a-f]{8}(?:\+[0-9a-f]{8})?|package)$")


@dataclass(frozen=True)
class Night:
    """One night's snapshot.

    Attributes:
        day: when it was begun, UTC.
        code: short commit, with a hash of what differed from it.
        folder: its store, and its report.
    """

    day: date
    code: str
    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.day}-{self.code}"

    @cached_property
    def store(self) -> Store:
        """Its results."""
        return Store(self.folder)

    @cached_property
    def rows(self) -> pa.Table:
        """Its results, read once."""
        return self.store.read()


def tonight(root: Path, day: date, commit: str) -> Night:
    """The night of a day and a commit; the same night again when it is resumed."""
    code = _short(commit)
    return Night(day, code, root / f"{day}-{code}")


def history(root: Path, before: Night, nights: int) -> list[Night]:
    """The latest nights before one, in the order of time; of one day, in the order in which they were begun."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        match = _NAME.match(folder.name)
        if match and folder.name != before.name and date.fromisoformat(match[1]) <= before.day:
            found.append(Night(date.fromisoformat(match[1]), match[2], folder))
    return sorted(found, key=lambda night: (night.day, night.folder.stat().st_ctime_ns))[-nights:] if nights else []


def seed_of(night: Night) -> int:
    """Another one each night."""
    return int.from_bytes(hashlib.sha256(night.name.encode()).digest()[:4])


def fewer(scope: Scope, methods: tuple[str, ...]) -> Scope:
    """What a night measures of its dearer methods."""
    return replace(
        scope,
        methods=methods,
        circuits=max(1, scope.circuits // 10),
        budgets=scope.budgets[-3:-1] or scope.budgets,
        backends=scope.backends[:2],
    )


def _short(commit: str) -> str:
    head, _, changed = commit.partition("+")
    if not re.fullmatch(r"[0-9a-f]{40}", head):
        return "package"
    return f"{head[:8]}+{changed}" if changed else head[:8]
