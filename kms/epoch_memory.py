"""What a verifier remembers: the highest policy epoch that it has seen, of the policy and of each log. One small JSON file.

Without it somebody who broke an old policy's algorithm could show an old trust root, or a log that ends before its epoch changed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kms.epochs import Policy
from kms.errors import MalformedPolicy, PolicyRollback
from kms.whole_file import write_whole

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """The highest epochs seen.

    Attributes:
        number: of the policy; 0: none yet.
        digest: of that epoch, hex.
        logs: log -> the highest epoch that it was seen under.
    """

    number: int = 0
    digest: str = ""
    logs: Mapping[str, int] = field(default_factory=dict)

    def check(self, policy: Policy) -> None:
        """Does nothing where a policy is the one remembered, or a continuation of it.

        Raises:
            PolicyRollback: it is older, or another.
        """
        newest = policy.newest.number
        if newest < self.number:
            raise PolicyRollback(
                f"the trust root's policy ends with epoch {newest}, and epoch {self.number} was seen before: it is an old copy, "
                "or somebody replays it; take the current trust root"
            )
        if self.number and policy.epoch(self.number).digest.hex() != self.digest:
            raise PolicyRollback(
                f"policy epoch {self.number} of the trust root is another than the one seen before: compare it with its owner"
            )

    def check_log(self, log_id: str, number: int) -> None:
        """Does nothing where a log stands under the epoch that it was seen under, or a later one.

        Raises:
            PolicyRollback: it does not.
        """
        if number < self.logs.get(log_id, 0):
            raise PolicyRollback(
                f"{log_id} ends under policy epoch {number}, and was seen under epoch {self.logs[log_id]} before: it is cut off, "
                "forged under the old policy, or an export of that time (then say --past)"
            )

    def seen(self, policy: Policy, logs: Mapping[str, int]) -> "Memory":
        """What is remembered after a verification that held."""
        newest = policy.newest
        highest = {log: max(number, self.logs.get(log, 0)) for log, number in logs.items()}
        return Memory(newest.number, newest.digest.hex(), {**self.logs, **highest})

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        known = {"format": _FORMAT, "epoch": self.number, "digest": self.digest, "logs": dict(self.logs)}
        write_whole(path, (json.dumps(known, indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "Memory":
        """Reads the file; nothing is remembered where there is none.

        Raises:
            MalformedPolicy: it is damaged.
        """
        try:
            known = json.loads(path.read_text())
            if known["format"] != _FORMAT:
                raise ValueError(f"format {known['format']!r}, this version reads {_FORMAT}")
            return cls(int(known["epoch"]), str(known["digest"]), {str(log): int(number) for log, number in known["logs"].items()})
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MalformedPolicy(
                f"{path}, where verifiers remember the policy that they saw, is damaged ({error}): restore it, or delete it if you "
                "know that the trust root is the current one"
            ) from error


def beside(trust: Path) -> Path:
    """Where the verifier of a trust root remembers."""
    return trust.with_name(f"{trust.stem}.seen.json")
