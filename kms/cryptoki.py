"""One logged-in PKCS#11 session by `python-pkcs11`, under one lock, with errors in sentences."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import exceptions

from kms.errors import MechanismMissing, ModuleMissing, TokenBusy, TokenError, TokenLocked, TokenMissing, WrongPin

T = TypeVar("T")

# SoftHSM2 2.6 crashes when two threads use two sessions: every call of this process goes through one lock.
_LOCK = threading.RLock()


class Cryptoki:
    """A session of one token, read-write and logged in."""

    def __init__(self, label: str, slot: pkcs11.Slot, session: pkcs11.Session) -> None:
        self.label = label
        self._slot, self._session, self._process = slot, session, os.getpid()

    @classmethod
    def login(cls, module: Path, label: str, pin: str) -> "Cryptoki":
        """Loads the module, finds the token and logs in.

        A PKCS#11 login is the process's, not the session's: a second login takes part in the first, whatever its PIN.
        """
        with _LOCK:
            token = _find(_load(module), module, label)
            with told(label):
                try:
                    session = token.open(rw=True, user_pin=pin)
                except exceptions.UserAlreadyLoggedIn:
                    session = token.open(rw=True)
            return cls(label, token.slot, session)

    def offers(self, mechanism: pkcs11.Mechanism) -> bool:
        """Whether the token has the mechanism."""
        try:
            self.use(lambda _: self._slot.get_mechanism_info(mechanism))
        except MechanismMissing:
            return False
        return True

    def use(self, work: Callable[[pkcs11.Session], T]) -> T:
        """What `work` returns for the session, alone in this process.

        Raises:
            TokenError: the token refuses, or the process forked since the login.
        """
        if os.getpid() != self._process:
            raise TokenError(f"token {self.label!r} was opened before a fork; open it in the process that uses it")
        with _LOCK, told(self.label):
            return work(self._session)


@contextmanager
def told(label: str) -> Iterator[None]:
    """Turns the module's errors into sentences about the token `label`."""
    try:
        yield
    except exceptions.PinIncorrect:
        raise WrongPin(
            f"token {label!r} refuses the PIN; check QUANTUMAI_TOKEN_PIN or the PIN file, for too many tries lock it"
        ) from None
    except exceptions.PinLocked:
        raise TokenLocked(f"token {label!r} is locked after too many wrong PINs; its security officer must set a new one") from None
    except (exceptions.PinLenRange, exceptions.PinInvalid):
        raise WrongPin(f"token {label!r} refuses a PIN of this length or these characters") from None
    except exceptions.DeviceMemory:  # what Kryoptic says when its SQLite file is locked
        raise TokenBusy(f"token {label!r} is being written by another process, or its disk is full; try again") from None
    except exceptions.MechanismInvalid:
        raise MechanismMissing(f"token {label!r} does not know the mechanism") from None
    except (exceptions.DeviceRemoved, exceptions.TokenNotPresent, exceptions.SessionHandleInvalid) as error:
        raise TokenError(f"token {label!r} is gone ({type(error).__name__}); put it back and restart the worker") from None
    except exceptions.PKCS11Error as error:
        raise TokenError(f"token {label!r} failed with {type(error).__name__}{f': {error}' if str(error) else ''}") from error


def _load(module: Path) -> Any:
    if not module.is_file():
        raise ModuleMissing(f"there is no PKCS#11 module at {module}; run `make setup`, or set QUANTUMAI_PKCS11_MODULE to one")
    try:
        return pkcs11.lib(str(module.resolve()))
    except (exceptions.PKCS11Error, RuntimeError) as error:
        raise ModuleMissing(f"the PKCS#11 module {module} does not load or start: {error or type(error).__name__}") from error


def _find(library: Any, module: Path, label: str) -> pkcs11.Token:
    tokens: list[pkcs11.Token] = []
    with told(label):
        for slot in library.get_slots(token_present=True):
            token = slot.get_token()
            if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                tokens.append(token)
    found = [token for token in tokens if token.label.strip(" \0") == label]
    if len(found) != 1:
        there = ", ".join(repr(token.label) for token in tokens) or "none"
        what = "no token" if not found else f"{len(found)} tokens"
        raise TokenMissing(f"{module} has {what} of the label {label!r} (initialised: {there}); run `make setup`, or name another")
    return found[0]
