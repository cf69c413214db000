"""The two PKCS#11 modules that this project sets up itself: what each reads, and what stands in it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
        modules: where the module may be installed.
    """

    mark: str
    variable: str
    configuration: str
    template: str
    storage: str
    modules: tuple[Path, ...]

    def write(self, folder: Path) -> None:
        """Writes the configuration into the token's folder."""
        path = folder.resolve() / self.storage
        text = self.template.format(storage=json.dumps(str(path)), plain=path)
        (folder / self.configuration).write_text(text)

    def made(self, folder: Path) -> bool:
        """Whether there is a token in the folder, or a part of one."""
        path = folder / self.storage
        return any(path.iterdir()) if path.is_dir() else path.exists()


SOFT_TOKENS = (
    SoftToken(
        mark="kryoptic",
        variable="KRYOPTIC_CONF",
        configuration="kryoptic.toml",
        template='[[slots]]\nslot = 0\ndbtype = "sqlite"\ndbargs = {storage}\n',
        storage="kryoptic.sql",
        modules=(Path(__file__).resolve().parents[1] / "build" / "token" / "libkryoptic_token.so",),
    ),
    SoftToken(
        mark="softhsm",
        variable="SOFTHSM2_CONF",
        configuration="softhsm2.conf",
        template="directories.tokendir = {plain}\nobjectstore.backend = file\nlog.level = ERROR\n",
        storage="softhsm2",
        modules=(Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so")),
    ),
)


def installed_module(folder: Path) -> Path:
    """The module of the token in `folder`; where there is none yet, the installed one that can do most.

    Raises:
        ModuleMissing: none is installed, or not the one that the token in `folder` was made with.
    """
    made = [token for token in SOFT_TOKENS if (folder / token.configuration).is_file()]
    paths = [path for token in made or SOFT_TOKENS for path in token.modules]
    for path in paths:
        if path.is_file():
            return path
    whose = f"the token in {folder} was made with" if made else "we know"
    looked = ", ".join(map(str, paths))
    raise ModuleMissing(f"no PKCS#11 module that {whose} is installed (looked for {looked}); run `make setup`")


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


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While it lasts, no other process of ours makes or opens the token in `folder`."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def login_alone(module: Path) -> Iterator[None]:
    """`alone` in the folder that the environment names; a vendor's module, or one configured elsewhere, needs or gets no lock.

    SoftHSM2 writes its token's file at every login, and whoever reads it then finds it torn: "not initialised".
    """
    token = soft_token(module)
    configuration = Path(os.environ.get(token.variable, "")) if token else Path()
    if not configuration.is_file() or not os.access(configuration.parent, os.W_OK):
        yield
        return
    with alone(configuration.parent):
        yield
