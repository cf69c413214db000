"""Models by version, and which of them is asked: a folder for each, and a file that names the present one and those before it.

`models/learned-1+0123456789ab/` holds a model with its card, `models/current` one version a line, the present one last. Where
there is no such file, the model that ships with the package is asked.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from policy.errors import ModelError
from policy.learned import Learned
from policy.model import described, load

SHIPPED = Path(__file__).parent / "data"
_POINTER = "current"

CLOSED_FORM = "closed-form"
LEARNED = "learned"


def versions(root: Path) -> Sequence[str]:
    """Those that were promoted, in order, the present one last; a version that was promoted twice stands there twice."""
    try:
        return [line for line in (root / _POINTER).read_text().splitlines() if line]
    except FileNotFoundError:
        return []


def current(root: Path) -> Path:
    """The folder of the present model."""
    known = versions(root)
    return root / known[-1] if known else SHIPPED


def promote(root: Path, folder: Path) -> str:
    """Makes a copy of the model in the store, and the present one of it.

    Raises:
        ModelError: the model cannot be loaded.
    """
    version = load(folder).version
    place = root / version
    if not place.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, root / f".{version}", dirs_exist_ok=True)
        (root / f".{version}").replace(place)
    _point(root, [*versions(root), version])
    return version


def roll_back(root: Path) -> str:
    """The version before is the present one again; before the first, the one that ships with the package.

    Raises:
        ModelError: nothing was promoted.
    """
    known = versions(root)
    if not known:
        raise ModelError(f"nothing was promoted in {root}: the model that ships with the package is asked, there is none before it")
    _point(root, known[:-1])
    return str(described(current(root))["version"])


class Asked:
    """The model that is asked, loaded again when another one is promoted; call it for each decision.

    Args:
        root: of the store.
        policy: `learned` or `closed-form`.
        threshold: the share of pairs of methods that a model must have ranked rightly on what was held out, from 0 to 1.
    """

    def __init__(self, root: Path, policy: str = LEARNED, threshold: float = 0.8) -> None:
        self._root, self._policy, self._threshold = root, policy, threshold
        self._stamp: tuple[int, int] | None = None
        self._found: Learned | str | None = None

    def __call__(self) -> Learned | str:
        """The model; or why there is none, in words that follow `since`: empty where the closed form is wanted."""
        stamp = self._stamped()
        if self._found is None or stamp != self._stamp:
            self._stamp, self._found = stamp, self._load()
        return self._found

    def _load(self) -> Learned | str:
        if self._policy == CLOSED_FORM:
            return ""
        if self._policy != LEARNED:
            return f"there is no policy {self._policy!r}: {LEARNED} and {CLOSED_FORM} are known"
        if not 0 <= self._threshold <= 1:
            return f"the threshold of acceptance is from 0 to 1, not {self._threshold:g}"
        try:
            model = load(current(self._root))
        except ModelError as error:
            return str(error)
        ranked = float(model.about["figures"]["pairs"])
        if ranked < self._threshold:
            return f"{model.version} ranks {ranked:.0%} of pairs rightly, {self._threshold:.0%} are asked for"
        return Learned(model)

    def _stamped(self) -> tuple[int, int] | None:
        try:
            found = (self._root / _POINTER).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _point(root: Path, known: Sequence[str]) -> None:
    partial = root / f".{_POINTER}"
    partial.write_text("".join(f"{version}\n" for version in known))
    partial.replace(root / _POINTER)
