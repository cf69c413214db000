"""The token and the key ring of the settings, opened; of a platform on this machine, made where there is none yet."""

from collections.abc import Mapping
from pathlib import Path

from kms.audit.logins import local_user, refused_logins
from kms.modules import installed_module, soft_token
from kms.provision import init_token
from kms.token import Token, open_token
from streams.errors import SettingsError
from streams.settings import Settings

TRUST = "trust.json"
"""The trust root, in the platform's folder."""


def token_folder(settings: Settings) -> Path:
    """Where the platform's own token is, or will be."""
    return settings.home.resolve() / "token"


def open_or_make(settings: Settings) -> tuple[Token, Mapping[str, str]]:
    """The token of the settings, made where it is one of ours and not there yet; and what workers need in their environment.

    A login that the token refuses is an entry of the audit.

    A vendor's token must exist already: its PIN and module come from the settings.

    Raises:
        KmsError: no module, a wrong PIN, or a token that refuses, in a sentence.
        SettingsError: a vendor's token and no PIN.
    """
    home = settings.home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"the folder {home} cannot be made ({error.strerror}): choose another with --home") from error
    folder = token_folder(settings)
    module = (settings.pkcs11_module or installed_module(folder)).resolve()
    if not module.is_file():
        raise SettingsError(f"there is no PKCS#11 module {module}: check QUANTUMAI_PKCS11_MODULE")
    environment = {"QUANTUMAI_HOME": str(home), "QUANTUMAI_PKCS11_MODULE": str(module)}
    ours = soft_token(module) is not None
    pin = settings.pin() if settings.token_pin or settings.token_pin_file or not ours else None
    if ours:
        made = init_token(module, settings.token_label, folder, pin)
        environment |= made.environment
        if pin is None:
            environment["QUANTUMAI_TOKEN_PIN_FILE"] = str(made.pin_file.resolve())
            pin = made.pin_file.read_text().strip()
    with refused_logins(home, settings.origin, f"local:{local_user()}"):
        return open_token(module, settings.token_label, pin or "", folder if ours else None), environment
