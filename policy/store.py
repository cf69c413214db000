"""Models by version, and which of them is asked: a folder for each, and a file that names the present one and those before it.

`models/learned-1+0123456789ab/` holds a model with its card, `models/current` one version a line, the present one last. Where
there is no such file, the model that ships with the package is asked.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from policy.errors import ModelError, UnknownPolicyError
from policy.fallback import CHOSEN, Fallback
from policy.learned import Learned
from policy.metrics import DRIFT
from policy.model import described, load

SHIPPED = Path(__file__).parent / "data"
_POINTER, _PAST = "current", "performance.json"
_MOST = 4.0  # an expected error is never changed by more, whatever was achieved

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
    """The version before is the present one again, or the last before it that can be loaded; else the one that ships.

    Raises:
        ModelError: nothing was promoted.
    """
    known = versions(root)
    if not known:
        raise ModelError(f"nothing was promoted in {root}: the model that ships with the package is asked, there is none before it")
    before = list(known[:-1])
    while before and not _loads(root / before[-1]):
        before.pop()
    _point(root, before)
    return str(described(current(root))["version"])


def _loads(folder: Path) -> bool:
    try:
        load(folder)
    except ModelError:
        return False
    return True


class Asked:
    """The model that is asked, loaded again when another one is promoted; call it for each decision.

    Args:
        root: of the store.
        policy: `learned` or `closed-form`.
        threshold: the share of pairs of methods that a model must have ranked rightly on what was held out, from 0 to 1.

    Raises:
        UnknownPolicyError: there is no such policy.
    """

    def __init__(self, root: Path, policy: str = LEARNED, threshold: float = 0.8) -> None:
        if policy not in (LEARNED, CLOSED_FORM):
            raise UnknownPolicyError(f"unknown policy {policy!r}: known are {LEARNED} and {CLOSED_FORM}")
        self._root, self._policy, self._threshold = root, policy, threshold
        self._stamp: tuple[int, ...] = ()
        self._found: Learned | Fallback | None = None

    def __call__(self) -> Learned | Fallback:
        """The model, or why there is none."""
        stamp = self._stamped()
        if self._found is None or stamp != self._stamp:
            self._stamp, self._found = stamp, self._load()
        return self._found

    def _load(self) -> Learned | Fallback:
        if self._policy == CLOSED_FORM:
            return CHOSEN
        if not 0 <= self._threshold <= 1:
            return Fallback("setting", f"the threshold of acceptance is from 0 to 1, not {self._threshold:g}")
        try:
            model = load(current(self._root))
            ranked = float(model.about["figures"]["pairs"])
            past = performance(self._root)
        except (ModelError, KeyError, TypeError) as error:
            return Fallback("model", str(error) if isinstance(error, ModelError) else "the model does not say how well it ranks")
        if ranked < self._threshold:
            says = f"{model.version} ranks {ranked:.0%} of pairs rightly, {self._threshold:.0%} are asked for"
            return Fallback("setting", says)
        for backend, ratio in past.items():
            DRIFT.labels(backend).set(ratio)
        return Learned(model, past)

    def _stamped(self) -> tuple[int, ...]:
        found: list[int] = []
        for name in (_POINTER, _PAST):
            try:
                known = (self._root / name).stat()
            except OSError:
                continue
            found += (known.st_mtime_ns, known.st_ino)
        return tuple(found)


def performance(root: Path) -> dict[str, float]:
    """Backend -> achieved / expected errors of its runs so far, where they differ from 1 for sure.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        found = json.loads((root / _PAST).read_text())
        return {str(backend): min(_MOST, max(1 / _MOST, float(ratio))) for backend, ratio in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"what was achieved so far cannot be read from {root / _PAST}: {error}") from error


def remember(root: Path, past: Mapping[str, float]) -> None:
    """Writes what `performance` reads."""
    root.mkdir(parents=True, exist_ok=True)
    _replace(root / _PAST, json.dumps(dict(past), indent=1) + "\n")


def _point(root: Path, known: Sequence[str]) -> None:
    _replace(root / _POINTER, "".join(f"{version}\n" for version in known))


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}")
    partial.write_text(text)
    partial.replace(path)
