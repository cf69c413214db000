"""Devices of ours whose idle qubits are noisy as well, `idle:DEVICE`; see `backends.idling`."""

from backends import aer, ibm_fake
from backends.idling import PROVIDER
from backends.local import LocalBackend
from backends.pool import SimulationPool
from schemas.calibration import CalibrationUpdated


def snapshot(name: str) -> CalibrationUpdated:
    """The calibration of `idle:DEVICE`: that of the device.

    Raises:
        BackendError: there is no such device.
    """
    device = name.partition(":")[2]
    found = aer.snapshot(device) if device.startswith("aer_") else ibm_fake.snapshot(device)
    return found.model_copy(update={"backend": name, "provider": PROVIDER})


def connect(name: str, pool: SimulationPool) -> LocalBackend:
    """The device of `idle:DEVICE`, simulated."""
    return LocalBackend(snapshot(name), pool)
