"""The key ring's tables, and how an older ring is brought up to date in place."""

from kms.errors import KeyRingError
from kms.store import Execute, Store

FORMAT = 3

_RING = "CREATE TABLE IF NOT EXISTS ring (name TEXT PRIMARY KEY, value BIGINT NOT NULL)"
_TABLES = (
    """
    CREATE TABLE keys (
        kid TEXT PRIMARY KEY,
        use TEXT NOT NULL,
        algorithm TEXT NOT NULL,
        version INTEGER NOT NULL,
        spki {blob} NOT NULL,
        object_id {blob} NOT NULL,
        sealed {blob},
        token TEXT NOT NULL,
        uses BIGINT NOT NULL DEFAULT 0,
        created TEXT NOT NULL,
        activates TEXT,
        retires TEXT,
        deprecated TEXT,
        revoked TEXT,
        destroyed TEXT,
        imported TEXT,
        UNIQUE (use, algorithm, version)
    )
    """,
    """
    CREATE TABLE log_ranges (
        kid TEXT NOT NULL REFERENCES keys (kid),
        log_id TEXT NOT NULL,
        first_size BIGINT NOT NULL,
        last_size BIGINT,
        PRIMARY KEY (kid, log_id)
    )
    """,
    """
    CREATE TABLE policies (
        use TEXT NOT NULL,
        algorithm TEXT NOT NULL,
        max_age_seconds BIGINT,
        max_uses BIGINT,
        PRIMARY KEY (use, algorithm)
    )
    """,
)

# A first ring had states and one time; that a key left the state it was made in, it knew, but not when.
_FROM_1 = """
INSERT INTO keys (kid, use, algorithm, version, spki, object_id, sealed, token, created, activates, retires, deprecated, revoked)
SELECT kid, use, algorithm, version, spki, object_id, sealed, token, created_at,
    CASE WHEN state <> 'pre-active' THEN created_at END,
    CASE WHEN state IN ('verify-only', 'deprecated') THEN created_at END,
    CASE WHEN state = 'deprecated' THEN created_at END,
    CASE WHEN state = 'revoked' THEN created_at END
FROM keys_1
"""


_FROM_2 = "ALTER TABLE keys ADD COLUMN imported TEXT"


def prepare(store: Store) -> None:
    """Makes the tables where there are none, and upgrades those of an older ring; one process at a time, all of it or nothing.

    Raises:
        KeyRingError: it cannot be opened, is no key ring, or one of a newer version.
    """
    with store.transaction() as execute:
        found = _format(store, execute)
    if found is None or found < FORMAT:
        with store.alone(), store.transaction(write=True) as execute:
            execute(_RING)
            found = _format(store, execute)
            if found is None:
                _make(store, execute)
            elif found < FORMAT:
                _upgrade(execute)
            found = _format(store, execute)
    if found != FORMAT:
        raise KeyRingError(f"the key ring {store.where} has the format {found}, this version reads {FORMAT}: update this program")


def _format(store: Store, execute: Execute) -> int | None:
    if not execute(store.columns, "ring"):
        return None
    rows = execute("SELECT value FROM ring WHERE name = 'format'")
    return int(rows[0]["value"]) if rows else None


def _upgrade(execute: Execute) -> None:
    execute(_FROM_2)
    execute("UPDATE ring SET value = ? WHERE name = 'format'", FORMAT)


def _make(store: Store, execute: Execute) -> None:
    old = {row["name"] for row in execute(store.columns, "keys")}
    if old and "state" not in old:
        raise KeyRingError(f"{store.where} has a table `keys` that is none of ours: name another file or database")
    if old:
        execute("ALTER TABLE keys RENAME TO keys_1")
    for table in _TABLES:
        execute(table.format(blob=store.blob))
    if old:
        execute(_FROM_1)
        execute("DROP TABLE keys_1")
    execute("INSERT INTO ring (name, value) VALUES ('format', ?), ('revision', 1)", FORMAT)
