"""Where the key ring's tables are: an SQLite file, or a PostgreSQL database that several machines share."""

import fcntl
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

from kms.errors import KeyRingError

Execute = Callable[..., Sequence[Mapping[str, Any]]]
"""(SQL with ? for values, values) -> rows."""

_BUSY_SECONDS = 30.0
_CONNECT_SECONDS = 5
_POSTGRES = ("postgresql://", "postgres://")
_LOCK = 0x7175616E74756D  # any number, the same everywhere: pg_advisory_lock is per database


class Store(Protocol):
    """A database with transactions and a lock across processes."""

    where: str
    """Its place, for messages; without a password."""
    blob: str
    """What a column of bytes is declared as."""
    columns: str
    """The query for the `name` of each column of a table; none where there is no such table."""

    def transaction(self, *, write: bool = False) -> AbstractContextManager[Execute]:
        """One transaction: all of it is there at the end, or, after an exception, none of it. Writers take turns."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """While it lasts, no other process is in here."""
        ...


def store(where: Path | str) -> Store:
    """The store at a path or, for postgresql://user@host/name, in that database."""
    return Postgres(where) if isinstance(where, str) and where.startswith(_POSTGRES) else Sqlite(Path(where))


class Sqlite:
    """An SQLite file; the lock is a file beside it."""

    blob = "BLOB"
    columns = "SELECT name FROM pragma_table_info(?)"

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, str(path)

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Execute]:
        """A connection of its own, so that any thread may ask.

        Raises:
            KeyRingError: the file cannot be used.
        """
        with self._told(), closing(self._connect()) as database:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA secure_delete = ON")
            database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            with database:
                yield lambda query, *values: [dict(row) for row in database.execute(query, values).fetchall()]

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """By flock: it ends with the process, whatever happens to it."""
        with self._told(), self.path.with_name(self.path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise KeyRingError(f"the key ring {self.path} cannot be opened or written: {error}") from error


class Postgres:
    """A PostgreSQL database; the lock is an advisory one of the server."""

    blob = "BYTEA"
    columns = "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ?"

    def __init__(self, url: str) -> None:
        self._url = url
        scheme, _, rest = url.partition("://")
        authority, slash, name = rest.partition("/")
        user, _, host = authority.rpartition("@")
        self._password = user.partition(":")[2]
        self.where = f"{scheme}://{host}{slash}{name.partition('?')[0]}"

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[Execute]:
        """A connection of its own; writers take a lock, so that what one has read stays so until it has written.

        Raises:
            KeyRingError: the server does not answer, or refuses.
        """
        with self._connected(_LOCK + 1 if write else None) as database, database.transaction():
            yield lambda query, *values: _rows(database.execute(query.replace("?", "%s"), values))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """It ends with the connection, whatever happens to the process."""
        with self._connected(_LOCK):
            yield

    @contextmanager
    def _connected(self, lock: int | None) -> Iterator["psycopg.Connection[dict[str, Any]]"]:
        try:
            database = psycopg.connect(self._url, row_factory=dict_row, autocommit=True, connect_timeout=_CONNECT_SECONDS)
        except psycopg.Error as error:
            raise KeyRingError(f"the key ring {self.where} does not answer: {self._plain(error)}") from None
        try:
            with closing(database):
                if lock is not None:
                    database.execute("SELECT pg_advisory_lock(%s)", (lock,))
                yield database
        except psycopg.Error as error:
            raise KeyRingError(f"the key ring {self.where} fails: {self._plain(error)}") from None

    def _plain(self, error: Exception) -> str:
        """The error in one line, without the password, which stands in what the driver says of a URL that it cannot read."""
        text = " ".join(str(error).split())
        return text.replace(self._password, "…") if self._password else text


def _rows(cursor: "psycopg.Cursor[dict[str, Any]]") -> Sequence[Mapping[str, Any]]:
    return cursor.fetchall() if cursor.description else []
