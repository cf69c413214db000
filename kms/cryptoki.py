"""One logged-in PKCS#11 session by `python-pkcs11`, under one lock, with errors in sentences."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from pkcs11 import TokenFlag, exceptions

from kms.errors import MechanismMissing, ModuleMissing, TokenBusy, TokenError, TokenLocked, TokenMissing, WrongPin
from kms.inside import attributes
from kms.modules import soft_token

T = TypeVar("T")

# SoftHSM2 2.6 crashes when two threads use two sessions: every call of this process goes through one lock.
_LOCK = threading.RLock()

_UNTOLD = "how many tries are left it does not say (PKCS#11 has flags only: few, one, none), and too many wrong PINs lock it"
_FINAL, _LOW, _MORE = TokenFlag.USER_PIN_FINAL_TRY, TokenFlag.USER_PIN_COUNT_LOW, TokenFlag(0)
_TRIES = {_FINAL: "one more wrong PIN locks it", _LOW: "a few more wrong PINs lock it", _MORE: _UNTOLD}
_NEVER = "this token counts no tries and is never locked"
_KNOWN_TRIES: Mapping[str, Mapping[TokenFlag, str]] = {
    "kryoptic": {_FINAL: "1 of 10 tries is left", _LOW: "2 or 3 of 10 tries are left", _MORE: "4 or more of 10 tries are left"},
    "softhsm": {_FINAL: _NEVER, _LOW: _NEVER, _MORE: _NEVER},
}
"""What the flags mean where that is known: by tokens of this project."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a token and its module say of themselves.

    Attributes:
        interface: version of PKCS#11 that the module speaks, "3.2" for example.
        library: the module's own description.
    """

    module: Path
    label: str
    manufacturer: str
    model: str
    interface: str
    library: str


class Cryptoki:
    """A session of one token, read-write and logged in."""

    def __init__(self, module: Path, label: str, slot: pkcs11.Slot, session: pkcs11.Session) -> None:
        self.label = label
        self._module, self._slot, self._session, self._process = module, slot, session, os.getpid()

    @classmethod
    def login(cls, module: Path, label: str, pin: str) -> "Cryptoki":
        """Loads the module, finds the token and logs in.

        A PKCS#11 login is the process's, not the session's: a second login takes part in the first, whatever its PIN.
        """
        with _LOCK:
            token = _find(_load(module), module, label)
            with told(label):
                try:
                    session = token.open(rw=True, user_pin=pin, attribute_mapper=attributes())
                except exceptions.UserAlreadyLoggedIn:
                    session = token.open(rw=True, attribute_mapper=attributes())
                except exceptions.PinIncorrect:
                    raise _wrong_pin(module, label, token.slot.get_token().flags) from None
            return cls(module, label, token.slot, session)

    def device(self) -> Device:
        """What the token and its module say of themselves."""
        library, token = _load(self._module), self._slot.get_token()
        version = ".".join(map(str, library.cryptoki_version))
        return Device(self._module, self.label, token.manufacturer_id, token.model, version, library.library_description)

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
    except exceptions.PinLocked:
        raise _locked(label) from None
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


def unlock(module: Path, label: str, so_pin: str, pin: str) -> None:
    """Sets the user's PIN of a token, which also opens one that was locked after wrong ones.

    Raises:
        ModuleMissing, TokenMissing: as `Cryptoki.login`.
        WrongPin: the token refuses the security officer's PIN.
        TokenError: it refuses otherwise.
    """
    with _LOCK:
        token = _find(_load(module), module, label)
        with told(label):
            try:
                session = token.open(rw=True, so_pin=so_pin)
            except exceptions.PinIncorrect:
                raise WrongPin(
                    f"token {label!r} refuses the security officer's PIN; too many wrong ones may lock that one, too, and only "
                    "initialising the token anew, without its keys, opens it then"
                ) from None
            try:
                session.init_pin(pin)
            finally:
                session.close()


def _wrong_pin(module: Path, label: str, flags: TokenFlag) -> WrongPin | TokenLocked:
    """PKCS#11 has no number of the tries that are left, only flags: few, one, none. Not every token raises the first two."""
    if flags & TokenFlag.USER_PIN_LOCKED:
        return _locked(label)
    kind = soft_token(module)
    tries = _KNOWN_TRIES[kind.mark] if kind else _TRIES
    left = next((said for flag, said in tries.items() if flags & flag), tries[_MORE])
    return WrongPin(f"token {label!r} refuses the PIN; check QUANTUMAI_TOKEN_PIN or the PIN file: {left}")


def _locked(label: str) -> TokenLocked:
    return TokenLocked(f"token {label!r} is locked after too many wrong PINs; `quantumai kms unlock` unlocks it (needs the SO PIN)")


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
