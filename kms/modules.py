"""The two PKCS#11 modules that this project sets up itself: what each reads, and what stands in it."""

import json
from dataclasses import dataclass
from pathlib import Path

from kms.errors import ModuleMissing


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A token in software.

    Attributes:
        mark: what its module's file name contains.
        variable: the environment variable that names its configuration.
        configuration: file name of the configuration in the token's folder.
        template: what it says; `{storage}` is the quoted path of the storage, `{plain}` the same unquoted.
        storage: name of the storage in the token's folder.
    """

    mark: str
    variable: str
    configuration: str
    template: str
    storage: str

    def write(self, folder: Path) -> None:
        """Writes the configuration into the token's folder."""
        path = folder.resolve() / self.storage
        text = self.template.format(storage=json.dumps(str(path)), plain=path)
        (folder / self.configuration).write_text(text)


SOFT_TOKENS = (
    SoftToken(
        mark="kryoptic",
        variable="KRYOPTIC_CONF",
        configuration="kryoptic.toml",
        template='[[slots]]\nslot = 0\ndbtype = "sqlite"\ndbargs = {storage}\n',
        storage="kryoptic.sql",
    ),
    SoftToken(
        mark="softhsm",
        variable="SOFTHSM2_CONF",
        configuration="softhsm2.conf",
        template="directories.tokendir = {plain}\nobjectstore.backend = file\nlog.level = ERROR\n",
        storage="softhsm2",
    ),
)


def soft_token(module: Path) -> SoftToken | None:
    """Which of them a module is, by its file's name; None for a vendor's."""
    return next((token for token in SOFT_TOKENS if token.mark in module.name), None)


def environment(module: Path, folder: Path) -> dict[str, str]:
    """The variables that a process needs to find the token in `folder`: merge them into a worker's environment.

    Raises:
        ModuleMissing: it is a vendor's module, which has a configuration of its own.
    """
    token = soft_token(module)
    if token is None:
        raise ModuleMissing(f"{module} is neither Kryoptic nor SoftHSM2: configure it as its vendor says, without a folder of ours")
    return {token.variable: str(folder.resolve() / token.configuration)}
