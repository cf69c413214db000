"""Results on disk: Parquet by day and family, each file complete under its final name and named by its own hash.

`results/day=2026-11-21/family=random/<batch>-<sha256>.parquet` holds what was measured, `failed/` in the same way what failed,
`corrupt/` what no longer is what its name says. Any program that reads Parquet reads `results/` as one table.
"""

import fcntl
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from em.errors import EmError
from em.harness.columns import SCHEMA

RESULTS, FAILED, CORRUPT, _PARTIAL = "results", "failed", "corrupt", "partial"
_FILES = "day=*/family=*/*.parquet"


class StoreError(EmError):
    """The store cannot be used; the sentence says what to do."""


@dataclass
class Store:
    """The results of one or many runs.

    Attributes:
        root: its folder; made when something is written.

    Raises:
        StoreError: something that is no folder stands in its place.
    """

    root: Path
    _unfit: dict[Path, str] = field(default_factory=dict, init=False)
    _writes: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for place in (self.root, *self.root.parents):
            if place.exists() and not place.is_dir():
                raise StoreError(f"{place} is a file; results need a folder: name one, or one that can be made")

    @contextmanager
    def writing(self, waiting: Callable[[], None]) -> Iterator[None]:
        """The right to write, for one process at a time; however that ends, the system releases it.

        Args:
            waiting: called if another process has it, before waiting for that.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in (self.root / _PARTIAL).glob("*"):
                left.unlink()  # of a writer that was killed
            self._writes = True
            try:
                yield
            finally:
                self._writes = False

    def write(self, kind: str, family: str, batch: str, rows: pa.Table) -> Path:
        """Adds a batch's rows as one file: either whole under its name, or not at all."""
        content = _encoded(rows)
        name = f"{batch}-{hashlib.sha256(content).hexdigest()[:32]}.parquet"
        folder = self.root / kind / f"day={datetime.now(UTC):%Y-%m-%d}" / f"family={family}"
        partial = self.root / _PARTIAL / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            partial.parent.mkdir(exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(folder / name)
            _sync(folder)
        except OSError as error:
            raise StoreError(f"{folder / name} cannot be written: {error.strerror}; what was measured before is kept") from error
        return folder / name

    def read(self, kind: str = RESULTS, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a kind, with `day` and `family`. Corrupt files are left out, and named by `problems`; who writes moves them.

        Args:
            kind: `RESULTS` or `FAILED`.
            columns: those of `em.harness.columns`, all by default.
        """
        tables = [self._table(path, columns) for path in sorted((self.root / kind).glob(_FILES))]
        schema = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
        schema = schema.append(pa.field("day", pa.string())).append(pa.field("family", pa.string())).remove_metadata()
        empty = pa.table({name: [] for name in schema.names}, schema=schema)
        return pa.concat_tables([empty, *filter(None, tables)], promote_options="default")  # older files lack newer columns

    def done(self) -> set[str]:
        """Ids of the tasks that have results."""
        return set(self.read(RESULTS, ["task_id"])["task_id"].unique().to_pylist())

    def failures(self) -> pa.Table:
        """The failed tasks that have no result since, the latest attempt of each."""
        rows, done, latest = self.read(FAILED), self.done(), dict[str, int]()
        order = rows.sort_by("finished_at")
        for index, task_id in enumerate(order["task_id"].to_pylist()):
            if task_id not in done:
                latest[task_id] = index
        return order.take(pa.array(sorted(latest.values()), pa.int64()))

    def problems(self) -> list[str]:
        """What is in the folder and should not be, as far as it was read: a sentence each."""
        strays = sorted(set((self.root / RESULTS).rglob("*.parquet")) - set((self.root / RESULTS).glob(_FILES)))
        found = [f"{path} is none of ours, but whoever reads the folder reads it, too: move it away" for path in strays]
        aside = sum(path.is_file() for path in (self.root / CORRUPT).rglob("*"))
        if aside:
            found.append(f"{self.root / CORRUPT} holds what was set aside ({aside} files); look at it, and delete it")
        return [*self._unfit.values(), *found]

    def _table(self, path: Path, columns: Sequence[str] | None) -> pa.Table | None:
        content = path.read_bytes()
        if not path.stem.endswith(f"-{hashlib.sha256(content).hexdigest()[:32]}"):
            self._set_aside(path)
            return None
        rows = pq.read_table(io.BytesIO(content), columns=None if columns is None else list(columns)).replace_schema_metadata()
        bare = pa.table(list(rows.columns), schema=pa.schema([column.remove_metadata() for column in rows.schema]))
        for part in (path.parent.parent, path.parent):
            name, _, value = part.name.partition("=")
            bare = bare.append_column(name, pa.array([value] * len(bare), pa.string()))
        return bare

    def _set_aside(self, path: Path) -> None:
        """Names a corrupt file; moves it, where nobody else can be reading or moving it."""
        place = self.root / CORRUPT / path.relative_to(self.root)
        what = f"{path} is not what its name says it is; "
        if self._writes:
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
            self._unfit[path] = f"{what}it was moved to {place}, its tasks run again"
        else:
            self._unfit[path] = f"{what}it is left out, and the next run measures its tasks again"


def _encoded(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _sync(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
