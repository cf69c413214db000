"""A night: the same circuits as every night, other seeds, in a folder of its own; and all nights before it."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from em.families import FAMILIES as FAMILIES_OF
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
    "cdr",
    "vncdr",
)
"""Dearer to simulate, or variants: a tenth of the circuits, two devices and two budgets are enough to see them break."""

COPIES = ("vd",)
"""Of circuits that fit a device twice: four qubits, on devices of eight and more."""

_COPIED_QUBITS = 4

BUDGETS = (256, 1024, 4096, 16384, 65536)
BACKENDS = ("aer_noisy", "fake_jakarta", "fake_guadalupe", "fake_kolkata")
CIRCUITS = 200

_NAME = re.compile(r"^(\d{4}-\d{2}-\d{2})-([0-9a-f]{8}(?:\+[0-9a-f]{8})?|package)(?:-([0-9a-f]{6}))?$")


@dataclass(frozen=True)
class Night:
    """One night's snapshot.

    Attributes:
        day: when it was begun, UTC.
        code: short commit, with a hash of what differed from it.
        folder: its store, and its report; its name has day, code and a hash of what the night asks for.
    """

    day: date
    code: str
    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def store(self) -> Store:
        """Its results."""
        return Store(self.folder)

    @cached_property
    def rows(self) -> pa.Table:
        """Its results, read once."""
        return self.store.read()

    @property
    def replay(self) -> Store:
        """What was done again under the seed of every night."""
        return Store(self.folder / "replay")

    @cached_property
    def replays(self) -> pa.Table:
        """Its rows, read once; none where the night has no such part."""
        return self.replay.read()

    @cached_property
    def begun(self) -> datetime:
        """When its first task was begun, by what the rows say; the end of time for a night without results."""
        first = pc.min(self.store.read(columns=["started_at"])["started_at"]).as_py()
        return datetime.max.replace(tzinfo=UTC) if first is None else first


def tonight(root: Path, day: date, commit: str, scopes: Sequence[Scope]) -> Night:
    """The night of a day, a commit and all that is asked for, seeds included; the same night again when it is resumed."""
    code = _short(commit)
    asked = hashlib.sha256(repr([*scopes]).encode()).hexdigest()[:6]
    return Night(day, code, root / f"{day}-{code}-{asked}")


def history(root: Path, before: Night, nights: int) -> list[Night]:
    """The latest nights before one, in the order of time: by day, and by when their first tasks were begun."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        match = _NAME.match(folder.name)
        if match and folder.name != before.name and date.fromisoformat(match[1]) <= before.day:
            found.append(Night(date.fromisoformat(match[1]), match[2], folder))
    return sorted(found, key=lambda night: (night.day, night.begun))[-nights:] if nights else []


def seed_of(day: date, commit: str) -> int:
    """Another one each night."""
    return int.from_bytes(hashlib.sha256(f"{day}-{_short(commit)}".encode()).digest()[:4])


def fewer(scope: Scope, methods: tuple[str, ...]) -> Scope:
    """What a night measures of its dearer methods."""
    return replace(
        scope,
        methods=methods,
        circuits=max(1, scope.circuits // 10),
        budgets=scope.budgets[-3:-1] or scope.budgets,
        backends=scope.backends[:2],
    )


def scopes(scope: Scope, more: tuple[str, ...], copies: tuple[str, ...], qubits: Mapping[str, int]) -> list[Scope]:
    """All that a night measures.

    Args:
        scope: of the methods that are measured in full.
        more: methods measured on `fewer` circuits.
        copies: methods that run two copies: the same, on circuits of `_COPIED_QUBITS` in place of any width.
        qubits: how many each backend has.
    """
    found = [scope]
    if more:
        found.append(fewer(scope, more))
    families = tuple(name for name in scope.families if not FAMILIES_OF[name].fixed)
    backends = tuple(name for name in scope.backends if qubits[name] >= 2 * _COPIED_QUBITS)
    if copies and families and backends:
        found.append(replace(fewer(replace(scope, families=families, backends=backends), copies), qubits=_COPIED_QUBITS))
    return found


def replayed(scopes: Sequence[Scope]) -> list[Scope]:
    """One circuit of each family for each method on two devices with one budget, under the same seed every night."""
    return [replace(each, circuits=1, budgets=each.budgets[-1:], backends=each.backends[:2], seed=0) for each in scopes]


def _short(commit: str) -> str:
    head, _, changed = commit.partition("+")
    if not re.fullmatch(r"[0-9a-f]{40}", head):
        return "package"
    return f"{head[:8]}+{changed}" if changed else head[:8]
