"""Refused logins to a token: whoever tries PINs leaves an entry, though he has no key to seal it with. The next seal covers it."""

import getpass
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kms.audit.entry import NO_KEY
from kms.audit.trail import Trail
from kms.errors import AuditUnwritable, TokenLocked, WrongPin
from schemas.manifests import KmsAudit

ACTION = "token.login"
_STRANGE = re.compile(r"[^A-Za-z0-9._@-]")


@contextmanager
def refused_logins(folder: Path, origin: str, actor: str) -> Iterator[None]:
    """While it lasts, a login that the token refuses becomes an entry of the audit; the refusal goes on its way.

    Args:
        folder: where the audit is; of a platform that is not there yet nothing is recorded.
        origin: as in `kms.audit.trail.Trail`.
        actor: who logs in.
    """
    try:
        yield
    except (WrongPin, TokenLocked) as error:
        if folder.is_dir():
            about = KmsAudit(kid=NO_KEY, actor=actor, action=ACTION, outcome="DENIED", algorithm="", detail=str(error))
            with suppress(AuditUnwritable):  # the refusal itself is what must be heard
                Trail(folder, origin, actor).append(about)
        raise


def local_user() -> str:
    """Whose process this is: the user's name on this machine, or the number where it has none, as in many containers."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return _STRANGE.sub("_", name)
