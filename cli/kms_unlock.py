"""`quantumai kms unlock`: a token that was locked after too many wrong PINs."""

from contextlib import suppress

import typer

from cli.key_ring import existing_ring, writer
from cli.kms_audit import record
from cli.options import Home, settings
from cli.token import token_folder
from kms.errors import KmsError
from kms.modules import installed_module, soft_token
from kms.provision import PIN_FILE
from kms.token import unlock_token
from streams.errors import SettingsError
from streams.settings import Settings


def unlock(home: Home = None) -> None:
    """Unlock a token that refuses every PIN after too many wrong ones: the user's PIN is set anew to the one that is configured.

    Asks for the security officer's PIN; of the development token that is the PIN in its PIN file, and nothing is asked.
    """
    chosen = settings(home)
    folder = token_folder(chosen)
    module = (chosen.pkcs11_module or installed_module(folder)).resolve()
    ours = soft_token(module) is not None
    pin, so_pin = _pins(chosen, ours)
    try:
        unlock_token(module, chosen.token_label, so_pin, pin, folder if ours else None)
    except KmsError as error:
        with suppress(KmsError, SettingsError):
            record(chosen, existing_ring(chosen), "unlock", key=None, detail=f"{chosen.token_label}: {error}", outcome="FAILURE")
        raise
    record(chosen, writer(chosen), "unlock", key=None, detail=chosen.token_label)
    typer.echo(f"token {chosen.token_label!r} is unlocked; its PIN is the one that is configured")


def _pins(chosen: Settings, ours: bool) -> tuple[str, str]:
    """(the user's, the security officer's)"""
    file = token_folder(chosen) / PIN_FILE
    if ours and file.is_file() and not (chosen.token_pin or chosen.token_pin_file):
        return file.read_text().strip(), file.read_text().strip()
    so_pin = str(typer.prompt("Security officer's PIN", hide_input=True, err=True))
    return chosen.pin(), so_pin
