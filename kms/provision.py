"""Makes a development token in a folder of the user's choosing, once: configuration, PIN file, initialised token."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kms.errors import ModuleMissing, PinMissing, TokenError
from kms.modules import SoftToken, alone, environment, soft_token

PIN_FILE = "pin"
_DRAFT = "draft"
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Where a development token is.

    Attributes:
        pin_file: holds its PIN, readable by its owner alone; the only secret in clear that this project leaves on a disk.
        environment: what processes that use the token need in their environment.
    """

    module: Path
    label: str
    folder: Path
    pin_file: Path
    environment: dict[str, str]


def init_token(module: Path, label: str, folder: Path, pin: str | None = None, so_pin: str | None = None) -> Provisioned:
    """The token `label` of Kryoptic or SoftHSM2 in `folder`; made when it is not there yet, else left alone.

    Args:
        module: the module's shared library.
        label: the token's label, at most 32 bytes.
        folder: made with mode 0700 when it is not there.
        pin: the user's PIN; None takes the one of the PIN file, or a random one, which then stands in the PIN file.
        so_pin: the security officer's PIN; None takes the user's.

    Raises:
        ModuleMissing: no such module, or a vendor's, whose tokens its own tools make.
        PinMissing: there is a token, and neither a PIN nor the file that held it: a new one would be a wrong one, and use up tries.
        TokenError: it cannot be initialised.
    """
    kind = soft_token(module)
    if not module.is_file() or kind is None:
        raise ModuleMissing(f"{module} is no Kryoptic or SoftHSM2 module here; initialise a vendor's token with the vendor's tool")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(folder):
        kind.write(folder)
        made = kind.made(folder)
        pin = pin or _pin(folder / PIN_FILE, made=made)
        if made:
            _finish(module, label, (pin, so_pin or pin), folder)
        else:
            _make(kind, module, label, (pin, so_pin or pin), folder)
    return Provisioned(module, label, folder, folder / PIN_FILE, environment(module, folder))


def _finish(module: Path, label: str, pins: tuple[str, str], folder: Path) -> None:
    """Does nothing where the token is complete, or gives it the PIN that it lacks."""
    try:
        _initialise(module, label, *pins, folder)
    except TokenError as error:
        raise TokenError(
            f"{error}; {folder} holds another token, or one that was never finished: move that folder away, and a new one is made"
        ) from None


def _make(kind: SoftToken, module: Path, label: str, pins: tuple[str, str], folder: Path) -> None:
    """A token beside its place, which it takes when it is complete: one that was killed over it leaves none."""
    draft = folder / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    kind.write(draft)
    if kind.mark == "softhsm":
        (draft / kind.storage).mkdir(mode=0o700)
    _initialise(module, label, *pins, draft)
    (draft / kind.storage).rename(folder / kind.storage)
    shutil.rmtree(draft)


def _pin(file: Path, *, made: bool) -> str:
    """The PIN in the file; of a token that is not made yet a random one is written there first, and is never there in part."""
    if not file.exists():
        if made:
            raise PinMissing(
                f"{file} is missing, which held the PIN of the token beside it: put it back, or name it by QUANTUMAI_TOKEN_PIN_FILE"
            )
        draft = file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_hex(12))
        draft.rename(file)
    return file.read_text().strip()


def _initialise(module: Path, label: str, pin: str, so_pin: str, folder: Path) -> None:
    # Modules read their configuration once a process, and PyKCS11 would finalise a module that python-pkcs11 uses.
    request = json.dumps({"module": str(module.resolve()), "label": label, "pin": pin, "so_pin": so_pin})
    command, variables = [sys.executable, "-m", "kms.initialise"], {**os.environ, **environment(module, folder)}
    done = subprocess.run(command, input=request, text=True, capture_output=True, timeout=_SECONDS, env=variables, check=False)
    if done.returncode:
        raise TokenError(f"token {label!r} cannot be initialised: {done.stderr.strip() or f'exit {done.returncode}'}")
