"""IBM devices played by simulators: noise, coupling and gates from the snapshots that ship with qiskit-ibm-runtime."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backends.calibration import from_properties
from backends.errors import BackendError
from backends.local import LocalBackend
from backends.pool import SimulationPool
from backends.terms import Terms, terms_of
from schemas.calibration import CalibrationUpdated

PROVIDER = "ibm_fake"


def snapshot(name: str, terms: Terms | None = None) -> CalibrationUpdated:
    """The calibration of `fake_manila`, `fake_sherbrooke`, ...

    Args:
        name: of the device.
        terms: price and so on, of a device that `backends/data/terms.json` has no row for.

    Raises:
        BackendError: no such device in the installed qiskit-ibm-runtime, or no terms for it.
    """
    device = name.removeprefix("fake_")
    return from_properties(name, PROVIDER, shipped(device, "props"), shipped(device, "conf"), terms or terms_of(name))


def connect(name: str, pool: SimulationPool) -> LocalBackend:
    """The device under its snapshot."""
    return LocalBackend(snapshot(name), pool)


def shipped(device: str, kind: str) -> dict[str, Any]:
    """A file of a snapshot, `props` or `conf`, without importing qiskit-ibm-runtime, which takes two seconds.

    Raises:
        BackendError: no such device in the installed qiskit-ibm-runtime.
    """
    package = find_spec("qiskit_ibm_runtime")
    if package is None or package.origin is None:
        raise BackendError("qiskit-ibm-runtime is not installed; run `make setup`")
    path = Path(package.origin).parent / "fake_provider" / "backends" / device / f"{kind}_{device}.json"
    if not path.is_file():
        raise BackendError(f"qiskit-ibm-runtime ships no snapshot of {device!r}; looked for {path.name}")
    content: dict[str, Any] = json.loads(path.read_text())
    return content
