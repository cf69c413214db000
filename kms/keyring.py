"""The key ring: which keys there are, in which version and state. Public data and sealed blobs only, in an SQLite file."""

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from kms.algorithms import signature_algorithm
from kms.errors import KeyRingError
from kms.keys import Key, KeySpec, PublicKey, TokenKey
from kms.token import Token
from kms.trust import TrustRoot

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    kid TEXT PRIMARY KEY,
    use TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    spki BLOB NOT NULL,
    object_id BLOB NOT NULL,
    sealed BLOB,
    token TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (use, algorithm, version)
)
"""
_INSERT = """
INSERT INTO keys (kid, use, algorithm, version, state, spki, object_id, sealed, token, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_BUSY_SECONDS = 30.0


class KeyRing:
    """Keys by use, algorithm and version. Any number of processes may share the file; keys are made by one at a time."""

    def __init__(self, path: Path, token: Token | None) -> None:
        self._path, self._token = path, token

    @classmethod
    def open(cls, path: Path, token: Token | None = None) -> "KeyRing":
        """The key ring at `path`, made when it is not there. Without a token it can name keys, but neither make nor use them.

        Raises:
            KeyRingError: the file cannot be opened, or is no key ring.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ring = cls(path, token)
            with ring._database() as database:
                database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise KeyRingError(f"the key ring {path} cannot be opened: {error}") from error
        return ring

    def ensure(self, use: str, algorithms: Sequence[str]) -> list[Key]:
        """One active key per algorithm, in that order; those that are not there are made.

        Raises:
            KeyRingError: the ring was opened without a token, or belongs to another one.
            UnknownAlgorithm: not in the table.
            TokenError: the token refuses.
        """
        if self._token is None:
            raise KeyRingError(f"the key ring {self._path} was opened without a token: it can make and use no keys")
        for algorithm in algorithms:
            signature_algorithm(algorithm)
        with self._alone():
            return [self._active(use, algorithm, self._token) for algorithm in algorithms]

    def public(self) -> TrustRoot:
        """What verifiers need: every key's public half with its state, and the suites that are demanded."""
        with self._database() as database:
            rows = database.execute("SELECT * FROM keys ORDER BY use, algorithm, version").fetchall()
        return TrustRoot(tuple(_public(row) for row in rows))

    def _active(self, use: str, algorithm: str, token: Token) -> Key:
        query = "SELECT * FROM keys WHERE use = ? AND algorithm = ? AND state = 'active' ORDER BY version DESC"
        with self._database() as database:
            row = database.execute(query, (use, algorithm)).fetchone()
        row = row or self._make(use, algorithm, token)
        if row["token"] != token.label:
            raise KeyRingError(f"the key {row['kid']} is in token {row['token']!r}, but {token.label!r} is open; open that one")
        return Key(_public(row), _inside(row), token)

    def _make(self, use: str, algorithm: str, token: Token) -> sqlite3.Row:
        with self._database() as database:
            query = "SELECT coalesce(max(version), 0) + 1 FROM keys WHERE use = ? AND algorithm = ?"
            version = int(database.execute(query, (use, algorithm)).fetchone()[0])
        made = token.generate(KeySpec(use, algorithm, version))
        row = (made.kid, use, algorithm, version, "active", made.spki, made.object_id, made.sealed, token.label, _now())
        with self._database() as database:
            database.execute(_INSERT, row)
            found: sqlite3.Row = database.execute("SELECT * FROM keys WHERE kid = ?", (made.kid,)).fetchone()
        return found

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=_BUSY_SECONDS)) as database, database:
            database.row_factory = sqlite3.Row
            yield database

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._path.with_name(self._path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _public(row: sqlite3.Row) -> PublicKey:
    return PublicKey(row["kid"], row["use"], row["algorithm"], row["version"], row["state"], row["spki"])


def _inside(row: sqlite3.Row) -> TokenKey:
    return TokenKey(KeySpec(row["use"], row["algorithm"], row["version"]), row["spki"], row["object_id"], row["sealed"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
