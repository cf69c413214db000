"""The backends of a run: those that are simulated here, those that run their tasks themselves, and those that cannot be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backends import registry
from backends.adapter import Backend
from backends.errors import BackendError
from backends.local import LocalBackend
from schemas.calibration import CalibrationUpdated


@dataclass(frozen=True)
class Devices:
    """Each backend of a run is in one of the three.

    Attributes:
        simulated: the snapshots under which circuits are simulated here.
        hardware: what is sent jobs.
        absent: why a backend takes no part, in a sentence.
        instead: of those in `simulated`, the backends that could run jobs themselves.
    """

    simulated: Mapping[str, CalibrationUpdated]
    hardware: Mapping[str, Backend]
    absent: Mapping[str, str]
    instead: frozenset[str]

    def there(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of some names that take part."""
        return tuple(name for name in names if name not in self.absent)

    def said(self, name: str) -> str:
        """What a user should know of a backend before it is used, a line; empty where it goes without saying."""
        if name in self.hardware:
            return f"{name} runs its tasks itself, each as a job\n"
        if name in self.instead:
            return f"{name} is simulated here, under its calibration of {self.simulated[name].taken_at:%Y-%m-%d %H:%M} UTC\n"
        return ""


def connected(names: Sequence[str], simulate: bool) -> Devices:
    """Asks each of the backends for its calibration.

    Args:
        names: of the backends.
        simulate: whether those that could run jobs are simulated as well.

    Raises:
        BackendError: a name that no backend has, or none of them can be reached.
    """
    registry.check(names)
    simulated, hardware, absent, instead = dict[str, CalibrationUpdated](), dict[str, Backend](), dict[str, str](), set[str]()
    for name in names:
        try:
            backend = registry.load([name])[name]
            calibration = backend.calibration()
        except BackendError as error:
            absent[name] = str(error)
            continue
        ours = isinstance(backend, LocalBackend)
        if ours or simulate:
            simulated[name] = calibration
            instead |= set() if ours else {name}
        else:
            hardware[name] = backend
    if len(absent) == len(set(names)):
        raise BackendError("; ".join(absent.values()))
    return Devices(simulated, hardware, absent, frozenset(instead))
