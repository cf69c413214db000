"""The key store that a local platform signs with: token, PIN file, keys and trust root in the platform's folder."""

from collections.abc import Mapping
from pathlib import Path

from kms.algorithms import LOG_SUITES
from kms.errors import ModuleMissing
from kms.keyring import KeyRing
from kms.keys import LOG_USE
from kms.modules import soft_token
from kms.provision import init_token
from kms.token import open_token
from streams.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]
_MODULES = (
    _ROOT / "build" / "token" / "libkryoptic_token.so",  # post-quantum keys inside the token
    Path("/usr/lib/softhsm/libsofthsm2.so"),  # post-quantum keys sealed by a key of the token
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
)


def prepare(settings: Settings) -> Mapping[str, str]:
    """Makes token and keys where there are none, and writes the trust root; returns what workers need in their environment.

    A vendor's token must exist already: its PIN and module come from the settings.

    Raises:
        KmsError: no module, a wrong PIN, or a token that refuses, in a sentence.
        SettingsError: a vendor's token and no PIN.
    """
    module = settings.pkcs11_module or _found()
    settings.home.mkdir(parents=True, exist_ok=True)
    environment = {"QUANTUMAI_PKCS11_MODULE": str(module.resolve()), "QUANTUMAI_HOME": str(settings.home.resolve())}
    pin = settings.pin() if settings.token_pin or settings.token_pin_file or soft_token(module) is None else None
    folder = None
    if soft_token(module) is not None:
        folder = settings.home / "token"
        made = init_token(module, settings.token_label, folder, pin)
        environment |= made.environment
        if pin is None:
            environment["QUANTUMAI_TOKEN_PIN_FILE"] = str(made.pin_file.resolve())
            pin = made.pin_file.read_text().strip()
    token = open_token(module, settings.token_label, pin or "", folder)
    ring = KeyRing.open(settings.home / "keys.db", token)
    ring.ensure(LOG_USE, LOG_SUITES)
    ring.public().save(settings.home / "trust.json")
    return environment


def _found() -> Path:
    module = next((module for module in _MODULES if module.is_file()), None)
    if module is None:
        raise ModuleMissing("no PKCS#11 module is installed: run `make setup`, or point QUANTUMAI_PKCS11_MODULE at yours")
    return module
