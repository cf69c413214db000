"""When keys are due for rotation: by age, and by the number of their uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kms.algorithms import algorithm
from kms.keyring import KeyRing
from kms.keys import PublicKey
from kms.ring_rows import Entry
from schemas.record import now

_SET = """
INSERT INTO policies (use, algorithm, max_age_seconds, max_uses) VALUES (?, ?, ?, ?)
ON CONFLICT (use, algorithm) DO UPDATE SET max_age_seconds = excluded.max_age_seconds, max_uses = excluded.max_uses
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long one version may be used; with neither limit it is never due.

    Attributes:
        max_age: since it became active; None: no limit.
        max_uses: signatures or decapsulations, as far as they were counted; None: no limit.
    """

    use: str
    algorithm: str
    max_age: timedelta | None
    max_uses: int | None

    def reason(self, entry: Entry, at: datetime) -> str:
        """Why an active key is due; empty when it is not."""
        begins = entry.public.life.activates
        if self.max_age is not None and begins is not None and at - begins >= self.max_age:
            return f"active since {begins:%Y-%m-%d %H:%M:%S}, longer than {self.max_age}"
        if self.max_uses is not None and entry.uses >= self.max_uses:
            return f"used {entry.uses:,} times of {self.max_uses:,}"
        return ""


def set_policy(ring: KeyRing, policy: Policy) -> None:
    """Writes the policy for a use and algorithm in place of the one that was there.

    Raises:
        UnknownAlgorithm: not in the table.
        KeyRingError: the ring cannot be written.
    """
    algorithm(policy.algorithm)
    seconds = None if policy.max_age is None else int(policy.max_age.total_seconds())
    with ring.store.transaction(write=True) as execute:
        execute(_SET, policy.use, policy.algorithm, seconds, policy.max_uses)


def policies(ring: KeyRing) -> list[Policy]:
    """All policies, by use and algorithm."""
    with ring.store.transaction() as execute:
        rows = execute("SELECT * FROM policies ORDER BY use, algorithm")
    return [
        Policy(
            row["use"],
            row["algorithm"],
            None if row["max_age_seconds"] is None else timedelta(seconds=row["max_age_seconds"]),
            row["max_uses"],
        )
        for row in rows
    ]


def due(ring: KeyRing) -> list[tuple[PublicKey, str]]:
    """Active keys whose policy says that they should be rotated, and why; not those whose successor is scheduled already."""
    entries, at = ring.entries(), now()
    return [
        (entry.public, why) for policy in policies(ring) for entry in _active(entries, policy) if (why := policy.reason(entry, at))
    ]


def _active(entries: Sequence[Entry], policy: Policy) -> list[Entry]:
    mine = [entry for entry in entries if (entry.public.use, entry.public.algorithm) == (policy.use, policy.algorithm)]
    if any(entry.public.state == "pre-active" and entry.public.life.activates is not None for entry in mine):
        return []
    return [entry for entry in mine if entry.public.state == "active"]
