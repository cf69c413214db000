"""The trust root: which public keys a verifier believes, for what, and which suites it demands. One JSON file."""

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from kms.algorithms import LOG_SUITES, signature_algorithm
from kms.epochs import Epoch, Policy, first, read_epoch
from kms.errors import KmsError, TrustError
from kms.keys import LogRange, PublicKey, kid
from kms.life import KeyState, Life
from kms.whole_file import write_whole

FORMAT = 3
_READ = (1, 2, FORMAT)  # 1 had neither times nor ranges, 2 no epochs
_FIELDS = ("format", "required_suites", "epochs", "keys")


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """Public keys and what is demanded of signatures by them.

    Attributes:
        keys: all keys, whatever their state.
        required_suites: algorithms of which EACH must have signed; dropping one is dropping the protection it gives.
        epochs: which suites were required when; empty: `required_suites` always.
    """

    keys: tuple[PublicKey, ...]
    required_suites: tuple[str, ...] = LOG_SUITES
    epochs: tuple[Epoch, ...] = ()

    def __post_init__(self) -> None:
        if not self.required_suites:
            raise TrustError(
                "a trust root that requires no suite would believe anything; require one classical and one post-quantum"
            )
        for suite in self.required_suites:
            signature_algorithm(suite)
        if self.epochs and self.policy.newest.required != self.required_suites:
            raise TrustError("the trust root requires other suites than its newest policy epoch: one of the two was changed")
        for key in self.keys:
            if key.kid != kid(key.spki, key.algorithm, key.use):
                raise TrustError(f"the key {key.kid} is not named by its contents: public key, algorithm or use were changed")
            if key.state not in get_args(KeyState):
                raise TrustError(f"the key {key.kid} has the unknown state {key.state!r}; known: {', '.join(get_args(KeyState))}")

    @property
    def policy(self) -> Policy:
        """What is demanded, by epoch.

        Raises:
            MalformedPolicy, WeakerPolicy: the epochs do not follow each other.
        """
        return Policy(self.epochs) if self.epochs else first(self.required_suites)

    def verifying(self, use: str) -> list[PublicKey]:
        """The keys of a use whose signatures count, at their times and places: all but revoked ones, and those never scheduled."""
        return [key for key in self.keys if key.use == use and key.verifies]

    def verified(self, use: str) -> list[PublicKey]:
        """These, and those that were in force and revoked since: what they signed before counts where something newer covers it."""
        return [key for key in self.keys if key.use == use and (key.verifies or (key.life.activates and key.life.revoked))]

    def save(self, path: Path) -> None:
        """Writes the JSON file, whole or not at all."""
        document = {
            "format": FORMAT,
            "required_suites": list(self.required_suites),
            "epochs": [epoch.document for epoch in self.epochs],
            "keys": [_entry(key) for key in self.keys],
        }
        write_whole(path, (json.dumps(document, indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "TrustRoot":
        """Reads the JSON file.

        Raises:
            TrustError: it is not there, malformed, or contradicts itself.
            UnknownAlgorithm: it requires a suite that is not in our table.
            MalformedPolicy, WeakerPolicy: its epochs cannot be read, or do not follow each other.
        """
        try:
            document = json.loads(path.read_text())
            if document["format"] not in _READ:
                raise TrustError(f"{path} has the format {document['format']!r}, this version reads {FORMAT}")
            if unknown := sorted(set(document) - set(_FIELDS)):
                raise TrustError(
                    f"{path} is no trust root: it has unknown fields {', '.join(unknown)}; known: {', '.join(_FIELDS)}"
                )
            keys, suites = _list(document["keys"]), _list(document["required_suites"])
            epochs = tuple(read_epoch(entry) for entry in _list(document.get("epochs", [])))
            return cls(tuple(_key(entry) for entry in keys), tuple(suites), epochs)
        except FileNotFoundError:
            raise TrustError(f"there is no trust root at {path}; `quantumai up` writes one, or copy the auditor's") from None
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, KmsError):
                raise
            raise TrustError(f"{path} is no trust root: {type(error).__name__}: {error}") from error


def _entry(key: PublicKey) -> dict[str, Any]:
    life = {name: time.isoformat() for name, time in asdict(key.life).items() if time is not None}
    return {**asdict(key), "spki": base64.b64encode(key.spki).decode(), "life": life}


def _key(entry: dict[str, Any]) -> PublicKey:
    life = Life(**{name: _time(time) for name, time in entry.get("life", {}).items()})
    ranges = tuple(LogRange(**part) for part in _list(entry.get("ranges", [])))
    return PublicKey(**{**entry, "spki": base64.b64decode(entry["spki"], validate=True), "life": life, "ranges": ranges})


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return time


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return value
