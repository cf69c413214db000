"""The platform's key ring as commands open it, and how a key is named on a command line."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from cli import screen
from cli.token import TRUST, open_or_make
from kms.algorithms import ALGORITHMS
from kms.keyring import KeyRing
from kms.keys import LOG_USE, PublicKey
from streams.errors import SettingsError
from streams.settings import Settings


def kind_of(text: str) -> tuple[str, str]:
    """(use, algorithm) of USE/ALGORITHM."""
    use, slash, name = text.partition("/")
    if not slash or name not in ALGORITHMS:
        raise typer.BadParameter(f"{text!r} is no USE/ALGORITHM, as {LOG_USE}/ML-DSA-65; algorithms: {', '.join(ALGORITHMS)}")
    return use, name


KIND = "USE/ALGORITHM"
Kind = Annotated[Any, typer.Argument(parser=kind_of, metavar=KIND, help="What the key is for, and its algorithm: log/ML-DSA-65.")]


def done(ring: KeyRing, chosen: Settings, key: PublicKey | None) -> None:
    """Brings the trust root up to date and says what has become of a key."""
    assert key is not None  # noqa: S101 - what was to be done to it succeeded
    ring.public().save(chosen.home / TRUST)
    begins = key.life.activates
    when = f", active from {time_text(begins)} UTC on" if begins and key.state == "pre-active" else ""
    screen.console().print(f"{escape(key.label)} ({key.kid[:16]}) is {key.state}{when}", highlight=False)


def has_ring(chosen: Settings) -> bool:
    """Whether there is a key ring; one in a database is taken to be there."""
    where = chosen.ring()
    return isinstance(where, str) or where.exists()


def existing_ring(chosen: Settings) -> KeyRing:
    """The key ring without its token: for what needs no private key.

    Raises:
        SettingsError: there is none yet.
    """
    if not has_ring(chosen):
        raise SettingsError(f"there is no key ring {chosen.ring()} yet: `quantumai up` or `quantumai kms create` makes one")
    return KeyRing.open(chosen.ring())


def changer(chosen: Settings) -> KeyRing:
    """The key ring that is there already, with its token: what is changed is recorded, and the record sealed."""
    existing_ring(chosen)
    return writer(chosen)


def writer(chosen: Settings) -> KeyRing:
    """The key ring with its token, both made where there are none yet."""
    return KeyRing.open(chosen.ring(), open_or_make(chosen)[0])


def time_text(time: datetime | None) -> str:
    """A time for people; empty where there is none."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
