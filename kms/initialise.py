"""`python -m kms.initialise`: initialises one token. Reads {module, label, pin, so_pin} from stdin, so that no PIN is on a command
line; a process of its own, because a module reads its configuration once a process."""

import json
import sys

import PyKCS11
from PyKCS11 import CKF_RW_SESSION, CKF_SERIAL_SESSION, CKF_TOKEN_INITIALIZED, CKU_SO


def initialise(module: str, label: str, pin: str, so_pin: str) -> None:
    """Initialises the first free slot as token `label`, unless there is a token of that label; sets the user's PIN where none is.

    Raises:
        PyKCS11.PyKCS11Error: the module refuses.
        LookupError: there is no free slot.
    """
    library = PyKCS11.PyKCS11Lib()
    library.load(module)
    if not _slots(library, label):
        free = [slot for slot in library.getSlotList() if not library.getTokenInfo(slot).flags & CKF_TOKEN_INITIALIZED]
        if not free:
            raise LookupError("the module has no free slot: another token is in this folder")
        library.initToken(free[0], so_pin, label.ljust(32))  # unpadded, the label would end in stray memory
    slot = _slots(library, label)[0]
    if library.getTokenInfo(slot).flags & PyKCS11.CKF_USER_PIN_INITIALIZED:
        return
    session = library.openSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)
    session.login(so_pin, CKU_SO)
    session.initPin(pin)
    session.logout()
    session.closeSession()


def _slots(library: PyKCS11.PyKCS11Lib, label: str) -> list[int]:
    """SoftHSM2 gives a token another slot when it is initialised, so the label alone is what names it."""
    infos = [(slot, library.getTokenInfo(slot)) for slot in library.getSlotList(tokenPresent=True)]
    return [slot for slot, info in infos if info.flags & CKF_TOKEN_INITIALIZED and info.label.strip(" \0") == label]


def main() -> None:
    """Says in one line on stderr what went wrong, and exits with 1."""
    try:
        initialise(**json.load(sys.stdin))
    except (PyKCS11.PyKCS11Error, LookupError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
