"""Epochs in the key ring: whoever signs sees a new one by the ring's revision, as it sees a new key."""

import json

from kms.epochs import Policy, read_epoch
from kms.errors import KeyRingError
from kms.store import Execute, Store

_TABLE = "CREATE TABLE IF NOT EXISTS epochs (number INTEGER PRIMARY KEY, document TEXT NOT NULL)"
_REVISE = "UPDATE ring SET value = value + 1 WHERE name = 'revision'"


def read_policy(store: Store) -> Policy:
    """The policy of a key ring; the default one where none was ever written.

    Raises:
        KeyRingError: the ring cannot be read.
        MalformedPolicy: somebody has changed it.
    """
    with store.transaction() as execute:
        rows = _documents(store, execute)
    return Policy(tuple(read_epoch(json.loads(row)) for row in rows)) if rows else Policy()


def write_policy(store: Store, policy: Policy) -> None:
    """Adds the epochs that are not there yet; what is there stays. Takes turns with other processes.

    Raises:
        KeyRingError: the ring cannot be written, or another process has added another epoch meanwhile.
    """
    with store.alone(), store.transaction(write=True) as execute:
        execute(_TABLE)
        there = _documents(store, execute)
        wanted = [json.dumps(epoch.document) for epoch in policy.epochs]
        if there != wanted[: len(there)]:
            raise KeyRingError(
                "the policy in the key ring has changed meanwhile: look at it (`quantumai crypto policy show`) and try again"
            )
        for number, document in enumerate(wanted[len(there) :], len(there) + 1):
            execute("INSERT INTO epochs (number, document) VALUES (?, ?)", number, document)
        execute(_REVISE)


def _documents(store: Store, execute: Execute) -> list[str]:
    if not execute(store.columns, "epochs"):
        return []
    return [str(row["document"]) for row in execute("SELECT document FROM epochs ORDER BY number")]
